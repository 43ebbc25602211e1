#include "engine/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "engine/random.h"

namespace localai::engine {
namespace {

constexpr uint32_t kTopLogprobsMax = 128;
// Below this many, a heap over one pass beats a selection over a copy of the row.
constexpr size_t kHeapMax = 512;
// exp(-50) = 2e-22: all of a vocabulary below it together is less than a draw can resolve.
constexpr double kNegligible = -50.0;

Error out_of_range(const char* name, double value, const char* allowed) {
  return invalid(std::string(name) + ": " + std::to_string(value) + " is not within " + allowed);
}

// False for NaN too.
bool within(float value, float low, float high) { return value >= low && value <= high; }

// Four floats at a time wherever the compiler has vectors (GCC and clang extension); a maximum or a
// comparison has no rounding, so the width changes no result.
using Float4 = float __attribute__((vector_size(16)));
using Int4 = int32_t __attribute__((vector_size(16)));
constexpr size_t kLanes = 4;

Float4 load4(const float* from) {
  Float4 out;
  std::memcpy(&out, from, sizeof out);
  return out;
}
bool any(Int4 mask) { return (mask[0] | mask[1] | mask[2] | mask[3]) != 0; }

struct RowScan {
  float max;
  bool finite;
};

// Largest value, and whether all are finite.
RowScan scan(std::span<const float> row) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  constexpr int32_t kExponent = 0x7f800000;
  Float4 max0 = {kLowest, kLowest, kLowest, kLowest}, max1 = max0;
  Int4 bad = {};
  size_t at = 0;
  for (; at + 2 * kLanes <= row.size(); at += 2 * kLanes) {
    const Float4 a = load4(&row[at]), b = load4(&row[at + kLanes]);
    max0 = a > max0 ? a : max0;
    max1 = b > max1 ? b : max1;
    bad |= (std::bit_cast<Int4>(a) & kExponent) == kExponent;
    bad |= (std::bit_cast<Int4>(b) & kExponent) == kExponent;
  }
  RowScan out = {kLowest, !any(bad)};
  for (size_t lane = 0; lane < kLanes; ++lane)
    out.max = std::max({out.max, max0[lane], max1[lane]});
  for (; at < row.size(); ++at) {
    out.max = std::max(out.max, row[at]);
    out.finite &= std::isfinite(row[at]);
  }
  return out;
}

// The first index from `at` on whose value is at least `value`, or row.size().
size_t next_at_least(std::span<const float> row, size_t at, float value) {
  const Float4 wanted = {value, value, value, value};
  for (; at + 4 * kLanes <= row.size(); at += 4 * kLanes)
    if (any((load4(&row[at]) >= wanted) | (load4(&row[at + kLanes]) >= wanted) |
            (load4(&row[at + 2 * kLanes]) >= wanted) | (load4(&row[at + 3 * kLanes]) >= wanted)))
      break;
  while (at < row.size() && !(row[at] >= value)) ++at;
  return at;
}

// log(sum(exp(x))) in double over ids ascending.
double log_sum_exp(std::span<const float> row, float max) {
  double sum = 0;
  for (const float x : row) {
    const double shifted = double{x} - max;
    if (shifted > kNegligible) sum += std::exp(shifted);
  }
  return max + std::log(sum);
}

}  // namespace

Status check_sampling(const SamplingParams& params, size_t vocabulary) {
  if (!within(params.temperature, 0.f, 100.f))
    return out_of_range("temperature", params.temperature, "0..100");
  if (params.top_k < 0) return out_of_range("top_k", params.top_k, "0..2147483647 (0: off)");
  if (!within(params.top_p, 0.f, 1.f)) return out_of_range("top_p", params.top_p, "0..1");
  if (!within(params.min_p, 0.f, 1.f)) return out_of_range("min_p", params.min_p, "0..1");
  if (!within(params.repetition_penalty, 0.01f, 100.f))
    return out_of_range("repetition_penalty", params.repetition_penalty, "0.01..100");
  if (!within(params.presence_penalty, -2.f, 2.f))
    return out_of_range("presence_penalty", params.presence_penalty, "-2..2");
  if (!within(params.frequency_penalty, -2.f, 2.f))
    return out_of_range("frequency_penalty", params.frequency_penalty, "-2..2");
  for (const auto& [id, bias] : params.logit_bias) {
    if (id < 0 || static_cast<size_t>(id) >= vocabulary)
      return invalid("logit_bias: token " + std::to_string(id) + " is not within 0.." +
                     std::to_string(vocabulary - 1));
    if (!within(bias, -std::numeric_limits<float>::infinity(), 10000.f))
      return out_of_range("logit_bias", bias, "-infinity (never) .. 10000");
  }
  return Ok{};
}

Result<Sample> Sampler::sample(std::span<float> logits, const SampleRequest& request) {
  const SamplingParams& params = *request.params;
  RowScan row = scan(logits);
  if (!row.finite) return Error{Code::kInternal, "model produced non-finite logits"};
  Sample sample;
  const bool report = request.logprobs || request.top_logprobs > 0;
  const double normalizer = report ? log_sum_exp(logits, row.max) : 0;
  if (request.top_logprobs > 0) {
    select_top(logits, std::min<size_t>(request.top_logprobs, kTopLogprobsMax));
    for (const Candidate& c : candidates_)
      sample.top_logprobs.push_back({c.id, static_cast<float>(c.logit - normalizer)});
  }
  adjust(logits, request);
  if (!adjusted_.empty()) row = scan(logits);
  if (row.max == -std::numeric_limits<float>::infinity())
    return invalid("logit_bias: every token is banned");
  sample.token = params.temperature == 0.f || params.top_k == 1
                     ? static_cast<TokenId>(next_at_least(logits, 0, row.max))
                     : draw(logits, row.max, params, request.tokens.size());
  if (report) {
    float raw = logits[static_cast<size_t>(sample.token)];
    for (const Adjustment& a : adjusted_)
      if (a.id == sample.token) {
        raw = a.raw;  // the first entry of an id is the model's own
        break;
      }
    sample.logprob = TokenLogprob{sample.token, static_cast<float>(raw - normalizer)};
  }
  return sample;
}

void Sampler::adjust(std::span<float> logits, const SampleRequest& request) {
  adjusted_.clear();
  for (const auto& [id, bias] : request.params->logit_bias) {
    float& logit = logits[static_cast<size_t>(id)];
    adjusted_.push_back({id, logit});
    logit += bias;
  }
  const SamplingParams& params = *request.params;
  if (params.repetition_penalty != 1.f || params.presence_penalty != 0.f ||
      params.frequency_penalty != 0.f)
    penalize(logits, request);
}

// Repetition: Keskar et al. 2019 (CTRL). Presence and frequency: OpenAI's API reference.
void Sampler::penalize(std::span<float> logits, const SampleRequest& request) {
  const SamplingParams& params = *request.params;
  const size_t window = std::min<size_t>(params.penalty_window, request.tokens.size());
  const auto recent = request.tokens.last(window);
  window_.assign(recent.begin(), recent.end());
  std::sort(window_.begin(), window_.end());
  for (auto begin = window_.begin(); begin != window_.end();) {
    const TokenId id = *begin;
    const auto end = std::find_if(begin, window_.end(), [id](TokenId t) { return t != id; });
    const auto count = static_cast<float>(end - begin);
    begin = end;
    if (static_cast<size_t>(id) >= logits.size()) continue;  // a prompt may hold padding ids
    float& logit = logits[static_cast<size_t>(id)];
    adjusted_.push_back({id, logit});
    logit = logit > 0.f ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    logit -= params.presence_penalty + count * params.frequency_penalty;
  }
}

// candidates_ = the `count` first in the order of before(), sorted.
void Sampler::select_top(std::span<const float> logits, size_t count) {
  candidates_.clear();
  count = std::min(count, logits.size());
  if (count > kHeapMax) {
    for (size_t id = 0; id < logits.size(); ++id)
      candidates_.push_back({logits[id], static_cast<TokenId>(id), 0});
    const auto cut = candidates_.begin() + static_cast<ptrdiff_t>(count);
    std::nth_element(candidates_.begin(), cut - 1, candidates_.end(), before);
    candidates_.erase(cut, candidates_.end());
    std::sort(candidates_.begin(), candidates_.end(), before);
  } else {
    for (size_t id = 0; id < count; ++id)
      candidates_.push_back({logits[id], static_cast<TokenId>(id), 0});
    // The front of the heap is the worst kept. Ids ascend, so an equal logit never replaces one.
    std::make_heap(candidates_.begin(), candidates_.end(), before);
    for (size_t id = count; count > 0; ++id) {
      id = next_at_least(logits, id, candidates_.front().logit);
      if (id >= logits.size()) break;
      if (!(logits[id] > candidates_.front().logit)) continue;
      std::pop_heap(candidates_.begin(), candidates_.end(), before);
      candidates_.back() = {logits[id], static_cast<TokenId>(id), 0};
      std::push_heap(candidates_.begin(), candidates_.end(), before);
    }
    std::sort_heap(candidates_.begin(), candidates_.end(), before);
  }
  sorted_ = candidates_.size();
}

// candidates_ = all that can be drawn, by id: those that min_p keeps, or whose weight counts at
// all.
void Sampler::select_all(std::span<const float> logits, float max, const SamplingParams& params) {
  // top_p looks at the whole before min_p cuts. A little below min_p: the weights decide exactly.
  const bool by_min_p = params.min_p > 0.f && params.top_p >= 1.f;
  const double cutoff = by_min_p ? std::log(double{params.min_p}) - 1e-3 : kNegligible;
  const double lowest = max + cutoff * params.temperature;
  candidates_.clear();
  // Rounded to float, the bound may let in or keep out one that weighs nothing.
  const auto bound = static_cast<float>(lowest);
  for (size_t id = next_at_least(logits, 0, bound); id < logits.size();
       id = next_at_least(logits, id + 1, bound))
    candidates_.push_back({logits[id], static_cast<TokenId>(id), 0});
  sorted_ = 0;
}

double Sampler::weigh(float max, float temperature) {
  double total = 0;
  for (Candidate& c : candidates_) {
    c.weight = std::exp((double{c.logit} - max) / temperature);
    total += c.weight;
  }
  return total;
}

// Keeps the fewest first candidates whose weights reach top_p of the total, at least one. Sorts
// only as far as it must: the sums are the same as over the fully sorted row.
void Sampler::cut_top_p(double total, float top_p) {
  const double wanted = double{top_p} * total;
  double sum = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (i == sorted_) {
      const size_t grown = std::min(candidates_.size(), std::max<size_t>(256, sorted_ * 8));
      const auto begin = candidates_.begin() + static_cast<ptrdiff_t>(sorted_);
      const auto end = candidates_.begin() + static_cast<ptrdiff_t>(grown);
      if (end != candidates_.end()) std::nth_element(begin, end - 1, candidates_.end(), before);
      std::sort(begin, end, before);
      sorted_ = grown;
    }
    sum += candidates_[i].weight;
    if (sum >= wanted) {
      candidates_.resize(i + 1);
      return;
    }
  }
}

TokenId Sampler::draw(std::span<const float> logits, float max, const SamplingParams& params,
                      uint64_t position) {
  const auto top_k = static_cast<size_t>(params.top_k);
  if (top_k > 0 && top_k < logits.size())
    select_top(logits, top_k);
  else
    select_all(logits, max, params);
  const double total = weigh(max, params.temperature);
  if (params.top_p < 1.f) cut_top_p(total, params.top_p);
  if (params.min_p > 0.f)
    std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < params.min_p; });
  double kept = 0;
  for (const Candidate& c : candidates_) kept += c.weight;
  const double target = uniform_at(params.seed, position) * kept;
  double sum = 0;
  for (const Candidate& c : candidates_) {
    sum += c.weight;
    if (sum > target) return c.id;
  }
  return candidates_.front().id;  // not reached: target < kept, and the sums are the same
}

}  // namespace localai::engine
