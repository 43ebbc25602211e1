#include "runtime/router_similarity.h"

#include <algorithm>

#include "base/utf8.h"

namespace localai::runtime {
namespace {

// Scalar and in order: the same bits on every machine.
float dot(const std::vector<float>& a, const std::vector<float>& b) {
  float sum = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

Similarity::Similarity(const DomainConfig& config, std::shared_ptr<Embedder> embedder)
    : embedder_(std::move(embedder)),
      domains_(config.domains.size()),
      prototypes_(std::make_unique<Prototypes>()) {
  for (size_t i = 0; i < domains_; ++i) {
    const auto add = [&](const std::string& text) {
      if (text.empty()) return;
      texts_.push_back(sanitize_utf8(text));
      owner_.push_back(i);
    };
    add(config.domains[i].description);
    for (const std::string& example : config.domains[i].examples) add(example);
  }
}

Status Similarity::prepare() const {
  const std::lock_guard lock(prototypes_->mutex);
  if (!prototypes_->vectors) prototypes_->vectors = embedder_->embed(texts_);
  if (!prototypes_->vectors->ok()) return prototypes_->vectors->error();
  return Ok{};
}

Result<std::vector<float>> Similarity::of(const std::string& text) const {
  LAI_TRY_STATUS(prepare());
  const std::vector<std::vector<float>>& vectors = **prototypes_->vectors;
  LAI_TRY(const auto asked, embedder_->embed(std::span(&text, 1)));
  std::vector<float> best(domains_, -1.f);
  for (size_t i = 0; i < vectors.size() && !asked.empty(); ++i)
    best[owner_[i]] = std::max(best[owner_[i]], dot(asked.front(), vectors[i]));
  return best;
}

}  // namespace localai::runtime
