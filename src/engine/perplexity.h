#pragma once
// How well a model predicts a text, and how far its predictions are from a reference model's.
// Method: docs/MODELS.md, "Perplexity".
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/result.h"
#include "base/thread_pool.h"
#include "models/model.h"

namespace localai::engine {

// A loaded model and the precision that it was loaded with.
struct Measured {
  const models::Model* model = nullptr;
  models::Precision precision = models::Precision::kExact;
};

struct PerplexityOptions {
  uint32_t context = 512;      // tokens of a window
  std::optional<int32_t> bos;  // stands first in every window, in place of the text's own token
};

struct Perplexity {
  double perplexity = 0;  // exp of the mean negative log-likelihood
  uint64_t tokens = 0;    // that were predicted and counted
  uint64_t windows = 0;
  // With a reference: mean KL(reference || model) in nats over the same positions, and the share of
  // them where both have the same first choice.
  std::optional<double> mean_kl, top1_agreement;
};

// Called after each window with what was measured so far.
using PerplexityProgress =
    std::function<void(const Perplexity& so_far, uint64_t done, uint64_t windows)>;

// `reference.model` may be null. Both models run window by window, so memory does not grow with the
// text. The numbers do not depend on the number of threads.
// Errors: kInvalidArgument (a context that no window fits; ids that are not of the vocabulary; a
// reference with another vocabulary).
Result<Perplexity> measure_perplexity(const Measured& model, const Measured& reference,
                                      std::span<const int32_t> tokens,
                                      const PerplexityOptions& options, ThreadPool& pool,
                                      const PerplexityProgress& progress = nullptr);

}  // namespace localai::engine
