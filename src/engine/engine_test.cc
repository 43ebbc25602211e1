#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "engine/testing/run_engine.h"

namespace localai::engine {
namespace {

using testing::Door;
using ::testing::ElementsAre;
using testing::expect_all_correct;
using testing::fake_loaded;
using testing::FakeModel;
using testing::FakeModelOptions;
using testing::greedy;
using ::testing::HasSubstr;
using testing::Job;
using testing::kBlockBytes;
using testing::make_engine;
using testing::mixed_jobs;
using testing::prompt_of;
using testing::Recorder;
using testing::run;

TEST(Engine, AnswersLikeTheModelWithoutAnyCache) {
  const auto engine = make_engine();
  const auto prompt = prompt_of(70, 1);
  const auto answer = run(*engine, greedy(prompt, 50));
  EXPECT_EQ(answer->tokens_, FakeModel::expected_answer(prompt, 50));
  ASSERT_TRUE(answer->finished_);
  EXPECT_EQ(answer->finished_->timings.prompt_tokens, 70u);
}

struct Setting {
  uint32_t parallel, chunk;
  bool prefix_cache;
  uint64_t blocks;  // 0: the default
};
class EngineSettings : public ::testing::TestWithParam<Setting> {};

TEST_P(EngineSettings, ManyRequestsGetTheSameBitsUnderEverySetting) {
  EngineOptions options;
  options.parallel = GetParam().parallel;
  options.prefill_chunk = GetParam().chunk;
  options.prefix_cache = GetParam().prefix_cache;
  options.kv_bytes = GetParam().blocks * kBlockBytes;
  const auto engine = make_engine(options);
  const auto jobs = mixed_jobs(40);
  expect_all_correct(*engine, jobs);
  expect_all_correct(*engine, jobs);  // again, over what the first round left in the cache
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.waiting, 0u);
}

INSTANTIATE_TEST_SUITE_P(All, EngineSettings,
                         ::testing::Values(Setting{1, 256, true, 0}, Setting{8, 256, true, 0},
                                           Setting{8, 256, false, 0}, Setting{3, 1, true, 0},
                                           Setting{16, 7, true, 0}, Setting{16, 32, true, 9},
                                           Setting{16, 32, false, 9}, Setting{40, 100, true, 20}));

TEST(Engine, ATinyPoolEvictsAndPreemptsAndStillAnswersRight) {
  EngineOptions options;
  options.parallel = 16;
  options.kv_bytes = 9 * kBlockBytes;
  const auto engine = make_engine(options);
  std::vector<Job> jobs;
  for (uint64_t i = 0; i < 12; ++i) jobs.push_back({prompt_of(20, i), 150});
  expect_all_correct(*engine, jobs);
  EXPECT_GT(engine->stats().preemptions, 0u);
  EXPECT_GT(engine->stats().evictions, 0u);
}

TEST(Engine, CountsWhatThePrefixCacheGave) {
  const auto engine = make_engine();
  auto prompt = prompt_of(100, 5);
  EXPECT_EQ(run(*engine, greedy(prompt, 4))->finished_->timings.cached_tokens, 0u);
  EXPECT_EQ(run(*engine, greedy(prompt, 4))->finished_->timings.cached_tokens, 96u);
  prompt[40] ^= 1;  // the second block differs in the middle
  const auto parted = run(*engine, greedy(prompt, 4));
  EXPECT_EQ(parted->finished_->timings.cached_tokens, 40u);
  EXPECT_EQ(parted->tokens_, FakeModel::expected_answer(prompt, 4));
  // All of a prompt but its last token can come from the cache.
  EXPECT_EQ(run(*engine, greedy(prompt_of(64, 6), 4))->finished_->timings.cached_tokens, 0u);
  EXPECT_EQ(run(*engine, greedy(prompt_of(64, 6), 4))->finished_->timings.cached_tokens, 63u);
}

// A pool that a prompt fills to the last block has none to spare for what it could copy from.
TEST(Engine, APartIsOnlyTakenWhereAllBlocksAreThere) {
  EngineOptions options;
  options.parallel = 1;
  options.kv_bytes = 4 * kBlockBytes;
  const auto engine = make_engine(options);
  auto prompt = prompt_of(120, 5);
  for (const uint32_t cached : {0u, 96u}) {
    EXPECT_EQ(run(*engine, greedy(prompt, 8))->finished_->timings.cached_tokens, cached);
  }
  for (const size_t at : {70, 10, 0}) {
    prompt[at] ^= 1;
    const auto answer = run(*engine, greedy(prompt, 8));
    EXPECT_EQ(answer->tokens_, FakeModel::expected_answer(prompt, 8));
    EXPECT_LE(answer->finished_->timings.cached_tokens, at);
  }
}

// LongRoPE: K of a sequence that may grow long is of another kind from its first position.
TEST(Engine, SequencesOfDifferentReachShareNoBlocks) {
  FakeModelOptions model;
  model.long_rope_after = 110;
  std::vector<uint32_t> reaches;
  model.on_step = [&](const models::Step& step) { reaches.push_back(step.sequences[0].reach); };
  const auto engine = make_engine({}, model);
  const auto prompt = prompt_of(100, 5);
  const auto cached = [&](uint32_t max_tokens) {
    return run(*engine, greedy(prompt, max_tokens))->finished_->timings.cached_tokens;
  };
  EXPECT_EQ(cached(4), 0u);
  EXPECT_EQ(reaches, std::vector<uint32_t>(4, 103));
  EXPECT_EQ(cached(11), 96u);  // the last token sampled takes no position
  EXPECT_EQ(cached(12), 0u);
  EXPECT_EQ(reaches.back(), 111u);
  EXPECT_EQ(cached(0), 96u);
  EXPECT_EQ(reaches.back(), engine->context_length() - 1);
  EXPECT_EQ(cached(11), 96u);
}

TEST(Engine, RequestsOfDifferentSaltsShareNoPrefixes) {
  const auto engine = make_engine();
  const auto cached = [&](const char* salt) {
    Request request = greedy(prompt_of(100, 5), 4);
    request.cache_salt = salt;
    const auto answer = run(*engine, request);
    EXPECT_EQ(answer->tokens_, FakeModel::expected_answer(prompt_of(100, 5), 4));
    return answer->finished_->timings.cached_tokens;
  };
  for (const uint32_t expected : {0u, 96u})
    for (const char* salt : {"", "tenant a", "tenant b"}) EXPECT_EQ(cached(salt), expected);
}

TEST(Engine, AnAnswerIsCachedForTheNextTurn) {
  const auto engine = make_engine();
  auto conversation = prompt_of(50, 3);
  const auto first = run(*engine, greedy(conversation, 40));
  conversation.insert(conversation.end(), first->tokens_.begin(), first->tokens_.end());
  const size_t computed = conversation.size() - 1;  // the last sampled token has no K and V yet
  conversation.push_back(1);
  const auto second = run(*engine, greedy(conversation, 4));
  EXPECT_EQ(second->finished_->timings.cached_tokens, computed / 32 * 32);
  EXPECT_EQ(second->tokens_, FakeModel::expected_answer(conversation, 4));
}

TEST(Engine, AStepHoldsAllDecodeRowsAndAtMostOneChunkOfPrompts) {
  std::atomic<size_t> most{0}, widest{0};
  FakeModelOptions model;
  model.on_step = [&](const models::Step& step) {
    most = std::max<size_t>(most, step.tokens.size());
    widest = std::max<size_t>(widest, step.sequences.size());
  };
  EngineOptions options;
  options.parallel = 4;
  options.prefill_chunk = 20;
  const auto engine = make_engine(options, model);
  expect_all_correct(*engine, mixed_jobs(20));
  EXPECT_LE(most, 20u + 4u);
  EXPECT_EQ(widest, 4u);
}

TEST(Engine, APoolOfExactlyTheRightSizeRunsAllAtOnce) {
  std::atomic<size_t> widest{0};
  Door door;
  FakeModelOptions model;
  model.on_step = [&](const models::Step& step) {
    door.pass();
    widest = std::max<size_t>(widest, step.sequences.size());
  };
  EngineOptions options;
  options.parallel = 3;
  options.kv_bytes = 3 * kBlockBytes;
  const auto engine = make_engine(options, model);
  std::vector<Recorder> recorders(3);
  std::vector<std::unique_ptr<Ticket>> tickets;
  for (Recorder& recorder : recorders)
    tickets.push_back(std::move(*engine->submit(greedy(prompt_of(20, 8), 12), recorder.sink())));
  door.open();
  for (Recorder& recorder : recorders) {
    recorder.wait();
    EXPECT_EQ(recorder.tokens_, FakeModel::expected_answer(prompt_of(20, 8), 12));
  }
  EXPECT_EQ(widest, 3u);
  EXPECT_EQ(engine->stats().preemptions, 0u);
}

TEST(Engine, AShortPromptDoesNotWaitForALongOne) {
  FakeModelOptions model;
  Door door;
  model.on_step = [&](const models::Step&) { door.pass(); };
  EngineOptions options;
  options.prefill_chunk = 16;
  const auto engine = make_engine(options, model);
  Recorder long_one, short_one;
  std::vector<std::string> ended;  // on the engine's thread, in order
  const auto noting = [&ended](Recorder& recorder, const char* name) {
    return [&ended, name, sink = recorder.sink()](Event event) {
      if (!std::holds_alternative<TextEvent>(event)) ended.emplace_back(name);
      sink(std::move(event));
    };
  };
  const auto a = engine->submit(greedy(prompt_of(900, 1), 2), noting(long_one, "long"));
  const auto b = engine->submit(greedy(prompt_of(8, 2), 2), noting(short_one, "short"));
  door.open();
  short_one.wait();
  long_one.wait();
  EXPECT_EQ(ended, (std::vector<std::string>{"short", "long"}));
  EXPECT_EQ(long_one.tokens_, FakeModel::expected_answer(prompt_of(900, 1), 2));
}

TEST(Engine, CancelledWhileWaitingPrefillingAndDecoding) {
  for (const size_t tokens_before : {0u, 3u}) {
    FakeModelOptions model;
    Door door;
    model.on_step = [&](const models::Step&) { door.pass(); };
    EngineOptions options;
    options.parallel = 1;
    options.prefill_chunk = 8;
    const auto engine = make_engine(options, model);
    Recorder running, waiting, after;
    Request long_request = greedy(prompt_of(tokens_before > 0 ? 8 : 800, 1), 0);
    long_request.ignore_eos = true;
    auto first = engine->submit(std::move(long_request), running.sink());
    door.let(tokens_before);
    running.wait_for_tokens(tokens_before);
    door.wait_for_arrival();
    auto second = engine->submit(greedy(prompt_of(8, 2), 5), waiting.sink());
    auto third = engine->submit(greedy(prompt_of(8, 3), 5), after.sink());
    (*second)->cancel();
    first->reset();  // dropping the ticket cancels too
    door.open();
    running.wait();
    waiting.wait();
    after.wait();
    EXPECT_EQ(running.finished_->reason, FinishReason::kCancelled);
    EXPECT_EQ(running.tokens_.size(), tokens_before);
    EXPECT_EQ(waiting.finished_->reason, FinishReason::kCancelled);
    EXPECT_TRUE(waiting.tokens_.empty());
    EXPECT_EQ(after.tokens_, FakeModel::expected_answer(prompt_of(8, 3), 5));
    run(*engine, greedy(prompt_of(3, 9), 1));  // so that the queue below is of an idle engine
    EXPECT_EQ(engine->stats().waiting, 0u);
  }
}

TEST(Engine, TheQueueIsBounded) {
  FakeModelOptions model;
  Door door;
  model.on_step = [&](const models::Step&) { door.pass(); };
  EngineOptions options;
  options.parallel = 1;
  options.queue_max = 2;
  const auto engine = make_engine(options, model);
  std::vector<Recorder> recorders(4);
  std::vector<std::unique_ptr<Ticket>> tickets;
  tickets.push_back(std::move(*engine->submit(greedy({1}, 3), recorders[0].sink())));
  door.wait_for_arrival();
  for (size_t i = 1; i <= 2; ++i)
    tickets.push_back(std::move(*engine->submit(greedy({2}, 3), recorders[i].sink())));
  EXPECT_EQ(engine->stats().waiting, 2u);
  const auto refused = engine->submit(greedy({3}, 3), recorders[3].sink());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kExhausted);
  EXPECT_EQ(refused.error().message, "the queue is full: 2 requests wait already (queue_max)");
  door.open();
  for (size_t i = 0; i <= 2; ++i) recorders[i].wait();
  tickets.push_back(std::move(*engine->submit(greedy({3}, 3), recorders[3].sink())));
  recorders[3].wait();
  EXPECT_EQ(recorders[3].tokens_, FakeModel::expected_answer({3}, 3));
}

TEST(Engine, DestructionCancelsWhatRunsAndWaits) {
  Recorder running, waiting;
  std::unique_ptr<Ticket> first, second;
  {
    EngineOptions options;
    options.parallel = 1;
    FakeModelOptions model;
    const auto engine = make_engine(options, model);
    first = std::move(*engine->submit(greedy(prompt_of(8, 1), 0), running.sink()));
    second = std::move(*engine->submit(greedy(prompt_of(8, 2), 0), waiting.sink()));
  }
  EXPECT_EQ(running.last_events_, 1);
  EXPECT_EQ(waiting.last_events_, 1);
}

TEST(Engine, NonFiniteLogitsFailTheirRequestAlone) {
  const auto engine = make_engine();
  auto poisoned = prompt_of(100, 4);
  poisoned[70] = testing::kPoison;
  Recorder bad, good;
  const auto a = engine->submit(greedy(poisoned, 10), bad.sink());
  const auto b = engine->submit(greedy(prompt_of(60, 5), 10), good.sink());
  bad.wait();
  good.wait();
  ASSERT_TRUE(bad.failed_);
  EXPECT_EQ(bad.failed_->code, Code::kInternal);
  EXPECT_EQ(bad.failed_->message, "model produced non-finite logits");
  EXPECT_EQ(good.tokens_, FakeModel::expected_answer(prompt_of(60, 5), 10));
  // Nothing of the failed sequence is found again, not even its healthy first blocks.
  auto healthy = prompt_of(100, 4);
  healthy[70] = 1;
  const auto later = run(*engine, greedy(healthy, 3));
  EXPECT_EQ(later->finished_->timings.cached_tokens, 0u);
  EXPECT_EQ(later->tokens_, FakeModel::expected_answer(healthy, 3));
}

TEST(Engine, ASinkThatThrowsEndsOnlyItsOwnRequest) {
  const auto engine = make_engine();
  Recorder good;
  int calls = 0;
  const auto bad = engine->submit(greedy({5, 6}, 10), [&calls](Event) {
    ++calls;
    throw std::runtime_error("full");
  });
  const auto ticket = engine->submit(greedy({7}, 10), good.sink());
  good.wait();
  EXPECT_EQ(good.tokens_, FakeModel::expected_answer({7}, 10));
  run(*engine, greedy({8}, 1));
  EXPECT_EQ(calls, 1);
}

FakeModelOptions scripted(std::vector<TokenId> script, size_t prompt_tokens) {
  FakeModelOptions options;
  options.script = std::move(script);
  options.script_from = prompt_tokens;
  return options;
}

TEST(Engine, EndsBeforeAStopStringThatSpansTokens) {
  const auto engine = make_engine({}, scripted({'a', 'b', 256, 257, 'c'}, 1));
  Request request = greedy({1}, 5);
  request.stop = {"bSTOP", "never"};
  const auto answer = run(*engine, std::move(request));
  EXPECT_EQ(answer->text(), "a");
  EXPECT_EQ(answer->finished_->reason, FinishReason::kStop);
  EXPECT_EQ(answer->finished_->stop_string, "bSTOP");
  EXPECT_THAT(answer->tokens_, ElementsAre('a', 'b', 256, 257));
}

TEST(Engine, TextHeldForAStopStringComesOutAtTheEnd) {
  const auto engine = make_engine({}, scripted({'a', 256, 256, 'x'}, 1));
  Request request = greedy({1}, 3);
  request.stop = {"STOP"};
  const auto answer = run(*engine, std::move(request));
  EXPECT_THAT(answer->texts_, ElementsAre("a", "", "STO"));
  EXPECT_EQ(answer->finished_->text, "STO");
  EXPECT_EQ(answer->finished_->reason, FinishReason::kLength);
}

TEST(Engine, NeverSplitsACharacter) {
  const std::string text = "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";  // e acute, euro, a smiley
  std::vector<TokenId> script;
  for (const char c : text) script.push_back(static_cast<unsigned char>(c));
  const auto engine = make_engine({}, scripted(script, 1));
  const auto answer = run(*engine, greedy({1}, 9));
  EXPECT_THAT(answer->texts_,
              ElementsAre("", "\xC3\xA9", "", "", "\xE2\x82\xAC", "", "", "", "\xF0\x9F\x98\x80"));
  const auto cut = run(*engine, greedy({1}, 3));
  EXPECT_EQ(cut->text(), "\xC3\xA9\xEF\xBF\xBD");
}

TEST(Engine, TheEndTokenStopsAndIsNotPrinted) {
  const auto engine = make_engine({}, scripted({'h', 'i', testing::kEnd, '!'}, 1));
  const auto answer = run(*engine, greedy({1}, 9));
  EXPECT_EQ(answer->text(), "hi");
  EXPECT_THAT(answer->tokens_, ElementsAre('h', 'i'));
  EXPECT_EQ(answer->finished_->reason, FinishReason::kStop);
  EXPECT_EQ(answer->finished_->timings.completion_tokens, 3u);
  Request on = greedy({1}, 4);
  on.ignore_eos = true;
  EXPECT_EQ(run(*engine, std::move(on))->text(), "hi!");
}

TEST(Engine, AFullContextEndsWithLength) {
  EngineOptions options;
  options.context_length = 64;
  const auto engine = make_engine(options);
  EXPECT_EQ(engine->context_length(), 64u);
  Request request = greedy(prompt_of(60, 1), 0);
  request.ignore_eos = true;
  const auto answer = run(*engine, std::move(request));
  EXPECT_EQ(answer->tokens_.size(), 4u);
  EXPECT_EQ(answer->finished_->reason, FinishReason::kLength);
}

TEST(Engine, SeedsReproduceAndDiffer) {
  const auto engine = make_engine();
  const auto sampled = [&](uint64_t seed) {
    Request request = greedy(prompt_of(10, 1), 40);
    request.sampling = {};
    request.sampling.temperature = 5.f;
    request.sampling.seed = seed;
    request.ignore_eos = true;
    return run(*engine, std::move(request))->tokens_;
  };
  EXPECT_EQ(sampled(1), sampled(1));
  EXPECT_NE(sampled(1), sampled(2));
}

TEST(Engine, RefusesWhatItCannotDo) {
  EngineOptions options;
  options.context_length = 128;
  options.kv_bytes = 3 * kBlockBytes;
  const auto engine = make_engine(options);
  const auto message = [&](Request request) {
    Recorder unused;
    auto ticket = engine->submit(std::move(request), unused.sink());
    return ticket.ok() ? std::string("accepted") : ticket.error().message;
  };
  EXPECT_EQ(message(greedy({}, 1)), "the prompt is empty");
  EXPECT_EQ(message(greedy({1, 320}, 1)), "prompt: token 320 is not within 0..319");
  EXPECT_EQ(message(greedy({-1}, 1)), "prompt: token -1 is not within 0..319");
  EXPECT_EQ(message(greedy(prompt_of(128, 1), 1)), "prompt has 128 tokens, the context is 128");
  EXPECT_EQ(message(greedy(prompt_of(90, 1), 30)),
            "prompt and answer of 120 tokens need 4 KV blocks, the pool has 3 (kv_bytes)");
  Request bad_top_p = greedy({1}, 1);
  bad_top_p.sampling.top_p = 1.5f;
  EXPECT_THAT(message(std::move(bad_top_p)), HasSubstr("top_p: 1.5"));
  Request bad_stop = greedy({1}, 1);
  bad_stop.stop = {""};
  EXPECT_EQ(message(std::move(bad_stop)), "bytes of a stop string: 0 is not within 1..1024");
}

TEST(Engine, RefusesBadOptions) {
  const auto message = [](const EngineOptions& options) {
    auto engine = Engine::create(fake_loaded(), options);
    return engine.ok() ? std::string("accepted") : engine.error().message;
  };
  EngineOptions options;
  options.threads = 257;
  EXPECT_EQ(message(options), "threads: 257 is not within 0..256");
  options = {};
  options.parallel = 0;
  EXPECT_EQ(message(options), "parallel: 0 is not within 1..1024");
  options = {};
  options.kv_bytes = 100;
  EXPECT_EQ(message(options), "kv_bytes: 100 is less than one block of 512 bytes");
  options = {};
  options.kv_dtype = DType::kQ8_0;
  EXPECT_EQ(message(options), "kv_dtype: Q8_0 is not F16 or F32");
}

TEST(Engine, PredictsTheMemoryItTakes) {
  EngineOptions options;
  options.parallel = 2;
  const LoadedModel loaded = fake_loaded();
  const EngineMemory predicted = Engine::predicted_memory(*loaded.model, options);
  const auto engine = make_engine(options);
  run(*engine, greedy({1}, 1));
  const EngineMemory memory = engine->memory();
  EXPECT_EQ(memory.kv_bytes, 2 * 1024 / 32 * kBlockBytes);
  EXPECT_EQ(memory.kv_bytes, predicted.kv_bytes);
  EXPECT_EQ(memory.scratch_bytes, predicted.scratch_bytes);
}

TEST(Engine, ReportsLogprobs) {
  const auto engine = make_engine();
  Request request = greedy({1, 2}, 3);
  request.logprobs = true;
  request.top_logprobs = 4;
  const auto answer = run(*engine, std::move(request));
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(answer->logprobs_[i]);
    ASSERT_EQ(answer->top_logprobs_[i].size(), 4u);
    EXPECT_EQ(answer->logprobs_[i]->id, answer->tokens_[i]);
    EXPECT_EQ(answer->top_logprobs_[i][0].id, answer->tokens_[i]);
    EXPECT_EQ(answer->top_logprobs_[i][0].logprob, answer->logprobs_[i]->logprob);
    EXPECT_LE(answer->top_logprobs_[i][1].logprob, answer->logprobs_[i]->logprob);
  }
}

}  // namespace
}  // namespace localai::engine
