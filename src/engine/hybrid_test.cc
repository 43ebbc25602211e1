// A real tiny model of Mamba2, attention and experts in the engine: the same tokens and the same
// log-probabilities, bit for bit, however the work was cut, shared and cached.
#include <gtest/gtest.h>

#include "engine/testing/fake_model.h"
#include "models/testing/temporary.h"
#include "models/testing/tiny_model.h"

namespace localai::engine {
namespace {

using models::testing::TinyConfig;
using testing::Recorder;

class HybridEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    TinyConfig config = models::testing::tiny_granite_hybrid_moe();
    config.vocab = testing::kVocabulary;
    config.mamba_groups = 2;
    ASSERT_TRUE(models::testing::TinyModel(config).write_safetensors(directory_.path()).ok());
  }

  std::unique_ptr<Engine> engine(const EngineOptions& options) {
    auto opened = formats::Checkpoint::open(directory_.path());
    LoadedModel loaded;
    loaded.checkpoint = std::make_shared<const formats::Checkpoint>(std::move(*opened));
    loaded.model = std::move(*models::Model::load(loaded.checkpoint, {}));
    loaded.tokenizer = std::make_shared<testing::FakeTokenizer>();
    auto engine = Engine::create(std::move(loaded), options);
    EXPECT_TRUE(engine.ok()) << engine.error().message;
    return std::move(*engine);
  }

  models::testing::TemporaryDirectory directory_;
};

// Prompts that share a beginning, some twice over.
Request request_of(uint64_t i) {
  Request request;
  for (uint64_t at = 0; at < 40 + i * 17; ++at)
    request.prompt.push_back(
        static_cast<TokenId>(testing::mix(at < 70 ? 1 : i % 4, at) % testing::kVocabulary));
  request.sampling.seed = i % 4;
  request.sampling.temperature = 1.f;
  request.max_tokens = 40;
  request.ignore_eos = true;
  request.logprobs = true;
  return request;
}

struct Answer {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  bool operator==(const Answer&) const = default;
};

Answer answer_of(const Recorder& recorder) {
  Answer answer{recorder.tokens_, {}};
  for (const auto& logprob : recorder.logprobs_) answer.logprobs.push_back(logprob->logprob);
  return answer;
}

TEST_F(HybridEngineTest, SameBitsAloneAndBatchedCachedAndNotOnAnyNumberOfThreads) {
  constexpr uint64_t kRequests = 6;
  std::vector<Answer> expected;
  {
    EngineOptions options;
    options.threads = 1;
    options.parallel = 1;
    options.prefix_cache = false;
    const auto alone = engine(options);
    for (uint64_t i = 0; i < kRequests; ++i) {
      Recorder recorder;
      const auto ticket = alone->submit(request_of(i), recorder.sink());
      recorder.wait();
      EXPECT_EQ(recorder.finished_->timings.cached_tokens, 0u);
      expected.push_back(answer_of(recorder));
      EXPECT_EQ(expected.back().tokens.size(), 40u);
    }
  }
  EngineOptions options;
  options.threads = 2;
  options.parallel = 4;
  options.prefill_chunk = 24;
  options.context_length = 256;
  options.kv_bytes = 9 * 2 * 2 * 32 * 8 * 2;  // 9 blocks: some are set back
  const auto shared = engine(options);
  uint32_t cached = 0;
  for (int round = 0; round < 2; ++round) {
    std::vector<Recorder> recorders(kRequests);
    std::vector<std::unique_ptr<Ticket>> tickets;
    for (uint64_t i = 0; i < kRequests; ++i)
      tickets.push_back(std::move(*shared->submit(request_of(i), recorders[i].sink())));
    for (uint64_t i = 0; i < kRequests; ++i) {
      recorders[i].wait();
      EXPECT_TRUE(answer_of(recorders[i]) == expected[i]) << "request " << i << ", " << round;
      cached += recorders[i].finished_->timings.cached_tokens;
    }
  }
  EXPECT_GT(cached, 0u);
  EXPECT_GT(shared->stats().preemptions, 0u);
}

}  // namespace
}  // namespace localai::engine
