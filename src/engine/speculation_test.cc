// Speculation changes the pace and nothing else.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

#include "engine/draft_policy.h"
#include "engine/prompt_lookup.h"
#include "engine/testing/run_engine.h"

namespace localai::engine {
namespace {

using testing::expect_all_correct;
using testing::FakeModelOptions;
using testing::greedy;
using testing::kBlockBytes;
using testing::kEnd;
using testing::make_engine;
using testing::mix;
using testing::mixed_jobs;
using testing::prompt_of;
using testing::Recorder;
using testing::run;

std::vector<TokenId> looked_up(const std::vector<TokenId>& tokens, uint32_t most,
                               uint32_t matched) {
  std::vector<TokenId> draft;
  EXPECT_EQ(look_up(tokens, most, draft), matched);
  return draft;
}

TEST(PromptLookup, TakesWhatFollowedTheLongestLatestMatch) {
  using Tokens = std::vector<TokenId>;
  EXPECT_EQ(looked_up({1, 2, 3, 4, 5, 1, 2}, 2, 2), (Tokens{3, 4}));
  EXPECT_EQ(looked_up({1, 2, 3, 9, 1, 2, 4, 9, 1, 2}, 1, 3), Tokens{4});          // 9 1 2
  EXPECT_EQ(looked_up({7, 1, 2, 3, 8, 1, 2, 4, 1, 2}, 3, 2), (Tokens{4, 1, 2}));  // the later one
  EXPECT_EQ(looked_up({5, 6, 5, 6}, 5, 2), (Tokens{5, 6, 5, 6, 5}));              // goes on and on
  EXPECT_EQ(looked_up({3, 3, 3}, 3, 2), (Tokens{3, 3, 3}));
  for (const Tokens& none :
       {Tokens{}, Tokens{1}, Tokens{1, 1}, Tokens{1, 2, 3}, Tokens{1, 2, 3, 2}})
    EXPECT_EQ(looked_up(none, 4, 0), Tokens{});
  const std::vector<TokenId> loop(1000, 4);
  EXPECT_EQ(looked_up(loop, 2, kLookupLongest), (Tokens{4, 4}));
}

TEST(DraftPolicy, DraftsWhereRowsAreCheapAndDraftsAreRight) {
  DraftPolicy policy;
  for (int i = 0; i < 50; ++i)
    for (uint32_t rows = 1; rows <= 9; ++rows) policy.took(rows, 10 + 0.1 * rows);
  EXPECT_EQ(policy.choose(1, 0.9, 8), 8u);
  EXPECT_EQ(policy.choose(1, 0.9, 3), 3u);
  EXPECT_EQ(policy.choose(1, 0.001, 8), 0u);
  EXPECT_EQ(policy.choose(1, 0.9, 0), 0u);
  for (int i = 0; i < 50; ++i)
    for (uint32_t rows = 2; rows <= 9; ++rows) policy.took(rows, 10.0 * rows);
  EXPECT_EQ(policy.choose(1, 0.9, 8), 0u);  // a row costs as much as a step
}

TEST(DraftPolicy, TriesAgainWhatWasSlowOnce) {
  DraftPolicy policy;
  policy.took(1, 10);
  policy.took(2, 1000);
  EXPECT_EQ(policy.choose(1, 0.8, 1), 0u);
  int tries = 0;
  while (policy.choose(1, 0.8, 1) == 0 && tries < 1000) ++tries;
  EXPECT_LT(tries, 1000);
}

TEST(DraftPolicy, ARecordFollowsWhatHappens) {
  DraftRecord record;
  const double before = record.rate(16);
  for (int i = 0; i < 100; ++i) record.count(16, 0, true);
  EXPECT_LT(record.rate(16), 0.05);
  EXPECT_EQ(record.rate(2), DraftRecord().rate(2));
  for (int i = 0; i < 100; ++i) record.count(16, 8, false);
  EXPECT_GT(record.rate(16), before);
}

// A model that says the same eight tokens over and over, with a slip now and then.
std::vector<TokenId> repeating_script(size_t length) {
  std::vector<TokenId> script;
  for (size_t i = 0; i < length; ++i)
    script.push_back(static_cast<TokenId>(mix(i, 5) % 11 == 0 ? 100 + mix(i, 6) % 50 : 10 + i % 8));
  return script;
}

EngineOptions with(Speculation speculation, uint32_t parallel = 1) {
  EngineOptions options;
  options.parallel = parallel;
  options.speculation = speculation;
  return options;
}

enum class Kind { kKv, kRecurrent, kHybrid };
class SpeculationKinds : public ::testing::TestWithParam<Kind> {
 protected:
  static FakeModelOptions model() {
    FakeModelOptions options;
    options.recurrent = GetParam() == Kind::kRecurrent;
    options.hybrid = GetParam() == Kind::kHybrid;
    return options;
  }
};

TEST_P(SpeculationKinds, AnyMixOfRequestsGetsTheSameAnswers) {
  for (const uint32_t drafts : {1u, 3u, 8u, 64u}) {
    EngineOptions options = with(Speculation::kAlways, 5);
    options.draft_tokens = drafts;
    options.prefill_chunk = 16;
    options.context_length = 256;
    options.kv_bytes = 20 * kBlockBytes;
    const auto engine = make_engine(options, model());
    const auto jobs = mixed_jobs(40);
    expect_all_correct(*engine, jobs);
    expect_all_correct(*engine, jobs);
  }
}

TEST_P(SpeculationKinds, ARepetitiveAnswerTakesFewerStepsAndIsTheSame) {
  FakeModelOptions options = model();
  options.script = repeating_script(300);
  options.script_from = 20;
  const auto plain = make_engine(with(Speculation::kOff), options);
  const auto drafting = make_engine(with(Speculation::kAlways), options);
  for (uint32_t length : {1u, 2u, 40u, 299u}) {
    const auto expected = run(*plain, greedy(prompt_of(20, 3), length));
    const auto answer = run(*drafting, greedy(prompt_of(20, 3), length));
    EXPECT_EQ(answer->tokens_, expected->tokens_);
    EXPECT_EQ(answer->text(), expected->text());
    EXPECT_EQ(answer->finished_->reason, expected->finished_->reason);
    EXPECT_EQ(answer->finished_->timings.completion_tokens,
              expected->finished_->timings.completion_tokens);
  }
  EXPECT_EQ(plain->stats().drafted, 0u);
  EXPECT_GT(drafting->stats().accepted, 150u);
  EXPECT_LT(drafting->stats().accepted, drafting->stats().drafted);  // the slips
  EXPECT_LT(drafting->stats().steps, plain->stats().steps * 3 / 4);
}

TEST_P(SpeculationKinds, TheAnswerIsCachedForTheNextTurn) {
  FakeModelOptions options = model();
  options.script = repeating_script(200);
  options.script_from = 50;
  const auto engine = make_engine(with(Speculation::kAlways), options);
  auto conversation = prompt_of(50, 3);
  const auto first = run(*engine, greedy(conversation, 90));
  conversation.insert(conversation.end(), first->tokens_.begin(), first->tokens_.end());
  const size_t computed = conversation.size() - 1;
  conversation.push_back(1);
  const auto second = run(*engine, greedy(conversation, 4));
  EXPECT_EQ(second->finished_->timings.cached_tokens, computed / 32 * 32);
  const auto fresh = make_engine(with(Speculation::kOff), options);
  EXPECT_EQ(second->tokens_, run(*fresh, greedy(conversation, 4))->tokens_);
}

INSTANTIATE_TEST_SUITE_P(All, SpeculationKinds,
                         ::testing::Values(Kind::kKv, Kind::kRecurrent, Kind::kHybrid));

// Draws depend on the position alone, so a draft is checked against what would be drawn there.
TEST(Speculation, SampledAnswersLogprobsAndPenaltiesAreTheSameBits) {
  FakeModelOptions model;
  model.script = repeating_script(200);
  model.script_from = 20;
  const auto plain = make_engine(with(Speculation::kOff), model);
  const auto drafting = make_engine(with(Speculation::kAlways), model);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Request request = greedy(prompt_of(20, seed), 120);
    request.sampling.temperature = 20.f;  // slips of its own
    request.sampling.top_k = 50;
    request.sampling.seed = seed;
    request.sampling.repetition_penalty = seed % 2 == 0 ? 1.f : 1.05f;
    request.logprobs = true;
    request.top_logprobs = 3;
    const auto expected = run(*plain, request);
    const auto answer = run(*drafting, request);
    ASSERT_EQ(answer->tokens_, expected->tokens_);
    for (size_t i = 0; i < answer->tokens_.size(); ++i)
      EXPECT_EQ(answer->logprobs_[i]->logprob, expected->logprobs_[i]->logprob);
  }
  EXPECT_GT(drafting->stats().accepted, 100u);
}

TEST(Speculation, AnAnswerEndsInsideADraft) {
  FakeModelOptions model;
  model.script = std::vector<TokenId>(60, 65);
  model.script[50] = kEnd;
  model.script_from = 20;
  const auto engine = make_engine(with(Speculation::kAlways), model);
  const auto ended = run(*engine, greedy(prompt_of(20, 3), 0));
  EXPECT_EQ(ended->finished_->reason, FinishReason::kStop);
  EXPECT_EQ(ended->tokens_.size(), 50u);
  Request request = greedy(prompt_of(20, 3), 0);
  request.stop = {std::string(13, 'A')};  // complete with the thirteenth
  const auto stopped = run(*engine, request);
  EXPECT_EQ(stopped->finished_->stop_string, request.stop[0]);
  EXPECT_EQ(stopped->finished_->timings.completion_tokens, 13u);
  EXPECT_EQ(stopped->text(), "");
}

TEST(Speculation, AFullPoolGetsNoDraftsAndNoPreemptions) {
  FakeModelOptions model;
  model.script = std::vector<TokenId>(200, 65);
  model.script_from = 20;
  EngineOptions options = with(Speculation::kAlways, 2);
  options.kv_bytes = 2 * kBlockBytes;
  options.draft_tokens = 64;
  const auto engine = make_engine(options, model);
  Recorder first, second;
  // Each reaches the end of one block, and drafts would need another.
  const auto a = engine->submit(greedy(prompt_of(20, 1), 13), first.sink());
  const auto b = engine->submit(greedy(prompt_of(20, 2), 13), second.sink());
  first.wait();
  second.wait();
  EXPECT_EQ(first.tokens_, std::vector<TokenId>(13, 65));
  EXPECT_EQ(second.tokens_, first.tokens_);
  EXPECT_EQ(engine->stats().preemptions, 0u);
}

TEST(Speculation, AStepHoldsNoMoreDraftsThanAllowed) {
  std::atomic<size_t> most{0};
  FakeModelOptions model;
  model.script = std::vector<TokenId>(200, 65);
  model.script_from = 20;
  model.on_step = [&](const models::Step& step) {
    if (step.positions[0] >= 20) most = std::max<size_t>(most, step.output_rows.size());
  };
  EngineOptions options = with(Speculation::kAlways, 4);
  options.draft_tokens = 5;
  const auto engine = make_engine(options, model);
  std::vector<std::unique_ptr<Recorder>> answers;
  std::vector<std::unique_ptr<Ticket>> tickets;
  for (uint64_t i = 0; i < 4; ++i) {
    answers.push_back(std::make_unique<Recorder>());
    tickets.push_back(
        std::move(*engine->submit(greedy(prompt_of(20, i), 100), answers.back()->sink())));
  }
  for (const auto& answer : answers) {
    answer->wait();
    EXPECT_EQ(answer->tokens_, std::vector<TokenId>(100, 65));
  }
  EXPECT_LE(most, 4u + 5u);
  EXPECT_GT(most, 4u);
}

TEST(Speculation, OptionsAreChecked) {
  for (const uint32_t drafts : {0u, 65u}) {
    EngineOptions options;
    options.draft_tokens = drafts;
    const auto engine = Engine::create(testing::fake_loaded(), options);
    ASSERT_FALSE(engine.ok());
    EXPECT_EQ(engine.error().message,
              "draft_tokens: " + std::to_string(drafts) + " is not within 1..64");
  }
}

}  // namespace
}  // namespace localai::engine
