#pragma once
// From the vector of a text to how likely each domain is: a linear discriminant (Fisher 1936, with
// a covariance shrunk as by Ledoit and Wolf 2004), fitted to vectors of texts whose domain is
// known.
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace localai::runtime {

// One domain's share of it: logit = weights . vector + bias.
struct HeadRow {
  std::string domain;
  float bias = 0;
  std::vector<float> weights;
};

struct RoutingHead {
  std::string embedder;  // name of the model whose vectors it reads
  std::vector<HeadRow> rows;

  // By row: the softmax of the logits; they add up to 1. Sums in order: the same bits everywhere.
  [[nodiscard]] std::vector<float> probabilities(const std::vector<float>& vector) const;
};

struct FitSample {
  const std::vector<float>* vector = nullptr;
  size_t domain = 0;  // index of its name
};

// Domains without a sample get no row. Errors: kInvalidArgument (no samples, vectors of different
// lengths).
Result<RoutingHead> fit_routing_head(std::string embedder, const std::vector<std::string>& domains,
                                     std::span<const FitSample> samples);

// The file format: JSON {"embedder", "dimension", "domains": {id: {"bias", "weights"}}}.
std::string write_routing_head(const RoutingHead& head);
// Errors: kInvalidArgument, naming the member.
Result<RoutingHead> parse_routing_head(std::string_view json);

}  // namespace localai::runtime
