// Engines over models with recurrent state: what is kept of it, and for how long.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

#include "engine/testing/run_engine.h"

namespace localai::engine {
namespace {

using testing::expect_all_correct;
using testing::fake_loaded;
using testing::FakeModel;
using testing::FakeModelOptions;
using testing::greedy;
using testing::Job;
using testing::kBlockBytes;
using testing::make_engine;
using testing::mixed_jobs;
using testing::prompt_of;
using testing::run;

FakeModelOptions with_state(bool hybrid) {
  FakeModelOptions model;
  (hybrid ? model.hybrid : model.recurrent) = true;
  return model;
}

uint32_t cached_of(Engine& engine, const std::vector<TokenId>& prompt, uint32_t answer = 4) {
  const auto done = run(engine, greedy(prompt, answer));
  EXPECT_EQ(done->tokens_, FakeModel::expected_answer(prompt, answer));
  return done->finished_->timings.cached_tokens;
}

TEST(RecurrentState, IsRightInAnyMixOfRequests) {
  for (const bool hybrid : {false, true}) {
    for (const uint32_t states : {1u, 2u, 4u, 100u}) {
      EngineOptions options;
      options.parallel = 2;
      options.prefill_chunk = 16;
      options.recurrent_bytes = states * sizeof(uint64_t);
      const auto engine = make_engine(options, with_state(hybrid));
      expect_all_correct(*engine, mixed_jobs(40));
      EXPECT_EQ(engine->stats().states, states);
      EXPECT_LE(engine->stats().checkpoints, states == 1 ? 0 : states);
    }
  }
}

TEST(RecurrentState, SurvivesPreemptionAndEviction) {
  EngineOptions options;
  options.context_length = 256;
  options.parallel = 4;
  options.kv_bytes = 12 * kBlockBytes;
  const auto engine = make_engine(options, with_state(true));
  std::vector<Job> jobs;
  for (uint64_t i = 0; i < 12; ++i) jobs.push_back({prompt_of(20, i % 5), 150});
  expect_all_correct(*engine, jobs);
  EXPECT_GT(engine->stats().preemptions, 0u);
  EXPECT_GT(engine->stats().evictions, 0u);
}

TEST(RecurrentState, APrefixIsReusedAsFarAsACheckpointReaches) {
  for (const bool hybrid : {false, true}) {
    const auto engine = make_engine({}, with_state(hybrid));
    auto prompt = prompt_of(100, 5);
    EXPECT_EQ(cached_of(*engine, prompt), 0u);
    EXPECT_EQ(cached_of(*engine, prompt), 96u);
    // Others share two blocks: the first of them shows it, the next has it.
    prompt[70] ^= 1;
    EXPECT_EQ(cached_of(*engine, prompt), 0u);
    prompt[70] ^= 2;
    EXPECT_EQ(cached_of(*engine, prompt), 64u);
    EXPECT_EQ(cached_of(*engine, prompt_of(33, 6)), 0u);
    EXPECT_EQ(cached_of(*engine, prompt_of(33, 6)), 32u);
    EXPECT_EQ(cached_of(*engine, prompt_of(32, 7)), 0u);  // the last token is always computed
    EXPECT_EQ(cached_of(*engine, prompt_of(32, 7)), 0u);
  }
}

TEST(RecurrentState, AnAnswerLeavesACheckpointForTheNextTurn) {
  const auto engine = make_engine({}, with_state(true));
  auto conversation = prompt_of(50, 3);
  const auto first = run(*engine, greedy(conversation, 60));
  conversation.insert(conversation.end(), first->tokens_.begin(), first->tokens_.end());
  const auto computed = static_cast<uint32_t>(conversation.size()) - 1;
  conversation.push_back(1);
  EXPECT_EQ(cached_of(*engine, conversation), computed / 32 * 32);
}

TEST(RecurrentState, WithoutRoomForACheckpointNothingIsReused) {
  EngineOptions options;
  options.recurrent_bytes = sizeof(uint64_t);
  const auto engine = make_engine(options, with_state(true));
  EXPECT_EQ(cached_of(*engine, prompt_of(100, 5)), 0u);
  EXPECT_EQ(cached_of(*engine, prompt_of(100, 5)), 0u);
  EXPECT_EQ(engine->stats().checkpoints, 0u);
}

// One state is for checkpoints, one for what a draft may go back to.
TEST(RecurrentState, AsManySequencesRunAsThereAreStatesButTwo) {
  std::atomic<size_t> most{0};
  FakeModelOptions model = with_state(true);
  model.on_step = [&](const models::Step& step) {
    most = std::max(most.load(), step.sequences.size());
  };
  EngineOptions options;
  options.parallel = 8;
  const auto engine = make_engine(options, model);
  EXPECT_EQ(engine->stats().states, 6u);
  std::vector<Job> jobs;
  for (uint64_t i = 0; i < 12; ++i) jobs.push_back({prompt_of(20, i), 60});
  expect_all_correct(*engine, jobs);
  EXPECT_EQ(most, 4u);
}

TEST(RecurrentState, CheckpointsOfASequenceWithNonFiniteLogitsAreDropped) {
  const auto engine = make_engine({}, with_state(true));
  auto poisoned = prompt_of(100, 4);
  poisoned[99] = testing::kPoison;
  EXPECT_TRUE(run(*engine, greedy(poisoned, 4))->failed_);
  EXPECT_EQ(engine->stats().checkpoints, 0u);
  poisoned[99] = 1;
  EXPECT_EQ(cached_of(*engine, poisoned), 0u);
}

TEST(RecurrentState, IsPartOfThePredictedMemory) {
  EngineOptions options;
  options.parallel = 2;
  options.recurrent_bytes = uint64_t{1} << 13;
  const LoadedModel loaded = fake_loaded(with_state(true));
  const EngineMemory predicted = Engine::predicted_memory(*loaded.model, options);
  const auto engine = make_engine(options, with_state(true));
  run(*engine, greedy({1}, 1));
  const EngineMemory memory = engine->memory();
  EXPECT_EQ(engine->stats().states, 1024u);
  EXPECT_EQ(memory.kv_bytes, 2 * 1024 / 32 * kBlockBytes + (1u << 13));
  EXPECT_EQ(memory.kv_bytes, predicted.kv_bytes);
  EXPECT_EQ(memory.scratch_bytes, predicted.scratch_bytes);
}

TEST(RecurrentState, RefusesLessThanOneState) {
  EngineOptions options;
  options.recurrent_bytes = 7;
  const auto engine = Engine::create(fake_loaded(with_state(true)), options);
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().message, "recurrent_bytes: 7 is less than one state of 8 bytes");
}

}  // namespace
}  // namespace localai::engine
