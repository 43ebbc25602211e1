#include "engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/random.h"

namespace localai::engine {
namespace {

TEST(Random, PhiloxKnownAnswers) {  // Random123's kat_vectors, philox4x32 10
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

std::vector<float> random_logits(size_t count, uint64_t seed, double spread = 8) {
  std::vector<float> logits(count);
  for (size_t i = 0; i < count; ++i)
    logits[i] = static_cast<float>((uniform_at(seed, i, 1) - 0.5) * spread);
  return logits;
}

// The definition, in double, with full sorts: probability of each id.
std::vector<double> reference(const std::vector<float>& logits, const SamplingParams& params,
                              const std::vector<TokenId>& tokens) {
  std::vector<double> x(logits.begin(), logits.end());
  for (const auto& [id, bias] : params.logit_bias) x[static_cast<size_t>(id)] += bias;
  std::vector<int> counts(x.size());
  const size_t window = std::min<size_t>(params.penalty_window, tokens.size());
  for (size_t i = tokens.size() - window; i < tokens.size(); ++i)
    ++counts[static_cast<size_t>(tokens[i])];
  for (size_t i = 0; i < x.size(); ++i) {
    if (counts[i] == 0) continue;
    x[i] = x[i] > 0 ? x[i] / params.repetition_penalty : x[i] * params.repetition_penalty;
    x[i] -= params.presence_penalty + counts[i] * double{params.frequency_penalty};
  }
  std::vector<size_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return x[a] > x[b]; });
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < order.size())
    order.resize(static_cast<size_t>(params.top_k));
  const double max = x[order[0]];
  const auto weight = [&](size_t id) { return std::exp((x[id] - max) / params.temperature); };
  double total = 0, sum = 0;
  for (const size_t id : order) total += weight(id);
  if (params.top_p < 1.f)
    for (size_t i = 0; i < order.size(); ++i)
      if ((sum += weight(order[i])) >= params.top_p * total) order.resize(i + 1);
  std::vector<double> p(x.size(), 0.0);
  total = 0;
  for (const size_t id : order)
    if (weight(id) >= params.min_p) total += p[id] = weight(id);
  for (double& value : p) value /= total;
  return p;
}

struct Case {
  const char* name;
  SamplingParams params;
};
std::vector<Case> cases() {
  const auto with = [](auto change) {
    SamplingParams params;
    params.temperature = 1.f, params.top_k = 0, params.top_p = 1.f;
    change(params);
    return params;
  };
  return {
      {"plain", with([](auto&) {})},
      {"defaults", SamplingParams{}},
      {"hot", with([](auto& p) { p.temperature = 3.f; })},
      {"cold", with([](auto& p) { p.temperature = 0.2f; })},
      {"top_k", with([](auto& p) { p.top_k = 7; })},
      {"top_k_all", with([](auto& p) { p.top_k = 1000000; })},
      {"top_k_large", with([](auto& p) { p.top_k = 600, p.temperature = 4.f; })},
      {"top_p", with([](auto& p) { p.top_p = 0.7f; })},
      {"top_p_deep", with([](auto& p) { p.top_p = 0.97f, p.temperature = 20.f; })},
      {"top_p_zero", with([](auto& p) { p.top_p = 0.f; })},
      {"min_p", with([](auto& p) { p.min_p = 0.2f; })},
      {"min_p_one", with([](auto& p) { p.min_p = 1.f; })},
      {"all_three", with([](auto& p) { p.top_k = 50, p.top_p = 0.9f, p.min_p = 0.05f; })},
      {"penalties", with([](auto& p) {
         p.repetition_penalty = 1.3f, p.presence_penalty = 0.5f, p.frequency_penalty = 0.7f;
       })},
      {"window", with([](auto& p) { p.repetition_penalty = 2.f, p.penalty_window = 3; })},
      {"bias", with([](auto& p) {
         p.logit_bias = {{3, 6.f}, {5, -std::numeric_limits<float>::infinity()}, {3, 1.f}};
       })},
  };
}

class SamplerCases : public ::testing::TestWithParam<Case> {};

// Draws often; the frequencies must fit the independent probabilities. The bound is five standard
// deviations of a binomial: with ~10^4 comparisons a right sampler fails once in ~200 seeds, and
// the seeds are fixed.
TEST_P(SamplerCases, DrawsFromTheDefinedDistribution) {
  constexpr int kDraws = 10000;
  const std::vector<float> logits = random_logits(700, 11);
  std::vector<TokenId> tokens = {1, 2, 3, 3, 3, 600, 17, 17};
  SamplingParams params = GetParam().params;
  const std::vector<double> expected = reference(logits, params, tokens);
  std::vector<int> counts(logits.size());
  Sampler sampler;
  for (int i = 0; i < kDraws; ++i) {
    params.seed = static_cast<uint64_t>(i);
    std::vector<float> row = logits;
    const auto sample = sampler.sample(row, {&params, tokens, false, 0});
    ASSERT_TRUE(sample.ok());
    ++counts[static_cast<size_t>(sample->token)];
  }
  for (size_t id = 0; id < logits.size(); ++id) {
    const double mean = kDraws * expected[id];
    if (expected[id] == 0) {
      EXPECT_EQ(counts[id], 0) << "id " << id << " must never be drawn";
      continue;
    }
    EXPECT_NEAR(counts[id], mean, 5 * std::sqrt(mean * (1 - expected[id])) + 3) << "id " << id;
  }
}
INSTANTIATE_TEST_SUITE_P(All, SamplerCases, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Sampler, GreedyTakesTheLargestAndTheLowestIdOnTies) {
  Sampler sampler;
  SamplingParams params;
  params.temperature = 0.f;
  for (size_t size = 1; size < 70; ++size)
    for (size_t best = 0; best < size; ++best) {
      std::vector<float> row(size, -1.f);
      row[best] = row[size - 1] = 2.f;
      EXPECT_EQ(sampler.sample(row, {&params, {}, false, 0})->token, static_cast<TokenId>(best));
    }
}

TEST(Sampler, TopKBreaksTiesByTheLowestId) {
  Sampler sampler;
  for (const int32_t k : {2, 600}) {
    SamplingParams params;
    params.temperature = 1.f, params.top_p = 1.f, params.top_k = k;
    std::vector<int> drawn(800);
    for (uint64_t seed = 0; seed < 10000; ++seed) {
      params.seed = seed;
      std::vector<float> row(800, 1.f);
      ++drawn[static_cast<size_t>(sampler.sample(row, {&params, {}, false, 0})->token)];
    }
    for (size_t id = 0; id < drawn.size(); ++id)
      EXPECT_EQ(drawn[id] > 0, id < static_cast<size_t>(k)) << id;
  }
}

TEST(Sampler, TheDrawDependsOnSeedAndPositionAlone) {
  const std::vector<float> logits = random_logits(500, 3);
  SamplingParams params;
  params.seed = 42;
  const auto draw = [&](Sampler& sampler, size_t position) {
    std::vector<float> row = logits;
    const std::vector<TokenId> tokens(position, 1);
    return sampler.sample(row, {&params, tokens, false, 0})->token;
  };
  Sampler one, other;
  std::vector<TokenId> forwards, backwards(50);
  for (size_t p = 0; p < 50; ++p) forwards.push_back(draw(one, p));
  for (size_t p = 50; p-- > 0;) backwards[p] = draw(other, p);
  EXPECT_EQ(forwards, backwards);
  std::sort(backwards.begin(), backwards.end());
  EXPECT_GT(std::unique(backwards.begin(), backwards.end()) - backwards.begin(), 5);
}

TEST(Sampler, LogprobsAreOfTheRawLogits) {
  const std::vector<float> logits = random_logits(3000, 9);
  double sum = 0;
  for (const float x : logits) sum += std::exp(double{x});
  SamplingParams params;
  params.repetition_penalty = 3.f, params.logit_bias = {{7, 50.f}, {7, 1.f}};
  const std::vector<TokenId> tokens = {7, 8};
  std::vector<float> row = logits;
  Sampler sampler;
  const auto sample = sampler.sample(row, {&params, tokens, true, 5});
  ASSERT_TRUE(sample.ok());
  EXPECT_EQ(sample->token, 7);
  EXPECT_NEAR(sample->logprob->logprob, logits[7] - std::log(sum), 1e-5);
  ASSERT_EQ(sample->top_logprobs.size(), 5u);
  std::vector<float> sorted = logits;
  std::sort(sorted.rbegin(), sorted.rend());
  for (size_t i = 0; i < 5; ++i) {
    const auto& top = sample->top_logprobs[i];
    EXPECT_EQ(logits[static_cast<size_t>(top.id)], sorted[i]);
    EXPECT_NEAR(top.logprob, sorted[i] - std::log(sum), 1e-5);
  }
}

TEST(Sampler, NonFiniteLogitsAreAnErrorWhereverTheyStand) {
  Sampler sampler;
  SamplingParams params;
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()})
    for (size_t at = 0; at < 37; ++at) {
      std::vector<float> row = random_logits(37, at);
      row[at] = bad;
      const auto sample = sampler.sample(row, {&params, {}, false, 0});
      ASSERT_FALSE(sample.ok());
      EXPECT_EQ(sample.error().code, Code::kInternal);
      EXPECT_EQ(sample.error().message, "model produced non-finite logits");
    }
}

TEST(Sampler, ABanOfEverythingIsAnError) {
  Sampler sampler;
  SamplingParams params;
  std::vector<float> row(3, 1.f);
  for (TokenId id = 0; id < 3; ++id)
    params.logit_bias.emplace_back(id, -std::numeric_limits<float>::infinity());
  EXPECT_EQ(sampler.sample(row, {&params, {}, false, 0}).error().message,
            "logit_bias: every token is banned");
}

TEST(Sampler, RefusesParametersOutOfRange) {
  const auto message = [](auto change) {
    SamplingParams params;
    change(params);
    const Status status = check_sampling(params, 100);
    return status.ok() ? std::string("accepted") : status.error().message;
  };
  EXPECT_EQ(message([](auto&) {}), "accepted");
  EXPECT_EQ(message([](auto& p) { p.temperature = -1.f; }),
            "temperature: -1.000000 is not within 0..100");
  EXPECT_EQ(message([](auto& p) { p.temperature = std::nanf(""); }),
            "temperature: nan is not within 0..100");
  EXPECT_EQ(message([](auto& p) { p.top_k = -1; }),
            "top_k: -1.000000 is not within 0..2147483647 (0: off)");
  EXPECT_EQ(message([](auto& p) { p.top_p = 1.1f; }), "top_p: 1.100000 is not within 0..1");
  EXPECT_EQ(message([](auto& p) { p.min_p = -0.5f; }), "min_p: -0.500000 is not within 0..1");
  EXPECT_EQ(message([](auto& p) { p.repetition_penalty = 0.f; }),
            "repetition_penalty: 0.000000 is not within 0.01..100");
  EXPECT_EQ(message([](auto& p) { p.presence_penalty = 3.f; }),
            "presence_penalty: 3.000000 is not within -2..2");
  EXPECT_EQ(message([](auto& p) { p.frequency_penalty = -3.f; }),
            "frequency_penalty: -3.000000 is not within -2..2");
  EXPECT_EQ(message([](auto& p) {
              p.logit_bias = {{100, 1.f}};
            }),
            "logit_bias: token 100 is not within 0..99");
  EXPECT_EQ(message([](auto& p) {
              p.logit_bias = {{1, std::nanf("")}};
            }),
            "logit_bias: nan is not within -infinity (never) .. 10000");
}

}  // namespace
}  // namespace localai::engine
