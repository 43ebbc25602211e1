#pragma once
// From one row of logits to one token: deterministic, a pure function of (logits, parameters,
// tokens so far, position). See SamplingParams for the order of the steps.
//
// Every sum is a double in one fixed order: over ids ascending where the whole vocabulary takes
// part, over candidates by descending logit (equal ones by ascending id) where top_k or top_p cut
// it. The draw takes the first candidate in that order whose cumulative weight passes
// uniform_at(seed, position) * total.
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace localai::engine {

// Errors: kInvalidArgument, naming the parameter, its value and what is allowed.
Status check_sampling(const SamplingParams& params, size_t vocabulary);

struct SampleRequest {
  const SamplingParams* params = nullptr;
  std::span<const TokenId>
      tokens;  // prompt and answer so far; the new token's position is its size
  bool logprobs = false;
  uint32_t top_logprobs = 0;
};

struct Sample {
  TokenId token = 0;
  std::optional<TokenLogprob> logprob;
  std::vector<TokenLogprob> top_logprobs;
};

// Holds scratch only. One thread.
class Sampler {
 public:
  // `logits`: one per id that may be sampled (rows past the tokenizer's vocabulary cut off by the
  // caller), changed in place. Log-probabilities are the log-softmax of the logits as the model
  // gave them, before biases, penalties and temperature.
  // Errors: kInternal "model produced non-finite logits"; kInvalidArgument (logit_bias bans all).
  Result<Sample> sample(std::span<float> logits, const SampleRequest& request);

 private:
  struct Candidate {
    float logit;
    TokenId id;
    double weight;  // exp((logit - max) / temperature)
  };
  struct Adjustment {
    TokenId id;
    float raw;  // the logit before it was changed
  };
  static bool before(const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  }

  void adjust(std::span<float> logits, const SampleRequest& request);
  void penalize(std::span<float> logits, const SampleRequest& request);
  void select_top(std::span<const float> logits, size_t count);
  void select_all(std::span<const float> logits, float max, const SamplingParams& params);
  double weigh(float max, float temperature);
  void cut_top_p(double total, float top_p);
  TokenId draw(std::span<const float> logits, float max, const SamplingParams& params,
               uint64_t position);

  std::vector<Candidate> candidates_;
  size_t sorted_ = 0;  // of candidates_, from the front, in the order of before()
  std::vector<TokenId> window_;
  std::vector<Adjustment> adjusted_;
};

}  // namespace localai::engine
