#pragma once
// The native engine beside transformers: how far two sets of logits are from each other, and the
// calls of a Transformers service that give its side (`localai verify`).
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/service_model.h"
#include "runtime/transformers_service.h"

namespace localai::runtime {

// Over the positions of one text, or of several.
struct LogitDistance {
  uint64_t positions = 0, same_first = 0;  // same_first: both would take the same token
  double sum_kl = 0, max_kl = 0;           // KL(reference || other), in nats

  [[nodiscard]] double mean_kl() const {
    return positions == 0 ? 0 : sum_kl / static_cast<double>(positions);
  }
  // Adds rows of `vocab` logits each; both spans have the same whole number of them. A logit that
  // is no number makes the distance infinite.
  void add(std::span<const float> reference, std::span<const float> other, size_t vocab);
  void add(const LogitDistance& more);
};

// Where two rows of tokens part: the first index at which they differ, also by one's end; nothing
// when they are the same.
std::optional<size_t> first_difference(std::span<const int32_t> a, std::span<const int32_t> b);

// What the service says of one model, whatever it was started with. These wait. Errors:
// kUnsupported (the service does not offer this: it has to be started with TRANSFORMERS_VERIFY=1),
// kUnavailable, kCorrupt (an answer that is none), or what the service says.
struct ServiceVerifier {
  TransformersService& service;
  const ServiceModel& model;

  // Of rows [first, tokens.size()): [rows, vocab].
  Result<std::vector<float>> logits(std::span<const int32_t> tokens, size_t first, size_t vocab);
  struct Greedy {
    std::vector<int32_t> prompt;  // `text` as its tokenizer has it
    std::vector<int32_t> tokens;  // what follows `prompt_tokens`
    std::string answer;           // their text
  };
  Result<Greedy> greedy(std::string_view text, std::span<const int32_t> prompt_tokens,
                        uint32_t max_tokens);

 private:
  Result<std::string> post(const char* path, Json body, size_t bytes_max);
};

}  // namespace localai::runtime
