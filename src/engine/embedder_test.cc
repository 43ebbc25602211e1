#include "engine/embedder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "engine/testing/fake_model.h"
#include "models/testing/temporary.h"
#include "models/testing/tiny_bert.h"

namespace localai::engine {
namespace {

using ::testing::HasSubstr;
using Tokens = std::vector<TokenId>;

// A tiny BERT of 16 positions over the fake tokenizer: one token a byte.
class EmbedderTest : public ::testing::Test {
 protected:
  std::unique_ptr<Embedder> make(
      uint32_t threads = 1, const std::function<void(models::testing::TinyModel&)>& change =
                                [](models::testing::TinyModel&) {}) {
    models::testing::TinyConfig config = models::testing::tiny_bert();
    config.vocab = static_cast<uint32_t>(testing::kVocabulary);
    models::testing::TinyModel model = models::testing::make_bert(config);
    change(model);
    EXPECT_TRUE(model.write_safetensors(directory_.path()).ok());
    auto opened = formats::Checkpoint::open(directory_.path());
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    auto encoder =
        models::Encoder::load(std::make_shared<const formats::Checkpoint>(std::move(*opened)), {});
    EXPECT_TRUE(encoder.ok()) << encoder.error().message;
    return std::make_unique<Embedder>(
        std::move(*encoder), std::make_shared<testing::FakeTokenizer>(), "safetensors", threads);
  }

  models::testing::TemporaryDirectory directory_;
};

TEST_F(EmbedderTest, TextsAndTheirTokensGiveTheSameVectorInAnyBatch) {
  const auto embedder = make(2);
  std::vector<EmbeddingInput> inputs;
  for (int i = 0; i < 80; ++i)  // 80 of 14 tokens are several passes
    inputs.emplace_back("text number " + std::to_string(10 + i));
  const auto all = embedder->embed(inputs);
  ASSERT_TRUE(all.ok()) << all.error().message;
  EXPECT_EQ(all->dimension, 32u);
  EXPECT_EQ(all->tokens, 80u * 14u);
  ASSERT_EQ(all->values.size(), 80u * 32u);
  for (const size_t i : {0u, 36u, 79u}) {
    Tokens tokens;
    for (const char c : std::get<std::string>(inputs[i])) tokens.push_back(c);
    const std::vector<EmbeddingInput> alone = {std::move(tokens)};
    const auto one = make(1)->embed(alone);
    ASSERT_TRUE(one.ok());
    EXPECT_TRUE(std::equal(one->values.begin(), one->values.end(),
                           all->values.begin() + static_cast<ptrdiff_t>(i) * 32));
  }
  const auto none = embedder->embed({});
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->values.empty());
}

TEST_F(EmbedderTest, RefusesOrCutsWhatIsTooLong) {
  const auto embedder = make();
  Tokens tokens(17, 'a');
  tokens.back() = testing::kEnd;
  const std::vector<EmbeddingInput> inputs = {std::string("fits"), tokens};
  const auto refused = embedder->embed(inputs);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kContextLength);
  EXPECT_EQ(refused.error().message, "input[1]: has 17 tokens, the model takes at most 16");

  const auto cut = embedder->embed(inputs, TooLong::kCut);
  ASSERT_TRUE(cut.ok()) << cut.error().message;
  Tokens kept(16, 'a');
  kept.back() = testing::kEnd;  // the special token at the end stays
  const std::vector<EmbeddingInput> expected = {std::string("fits"), kept};
  EXPECT_TRUE(cut->values == embedder->embed(expected)->values);
  EXPECT_EQ(cut->tokens, 20u);
}

TEST_F(EmbedderTest, RefusesBadInputsAndNumbers) {
  const auto embedder = make();
  const auto error_of = [&](EmbeddingInput input) {
    const std::vector<EmbeddingInput> inputs = {std::move(input)};
    return embedder->embed(inputs).error();
  };
  EXPECT_EQ(error_of(Tokens{}).message, "input[0]: has no tokens");
  EXPECT_EQ(error_of(Tokens{1, 300}).message, "input[0]: token 300 is not within 0..299");
  EXPECT_EQ(error_of(Tokens{-1}).code, Code::kInvalidArgument);
  const std::vector<EmbeddingInput> input = {std::string("a")};
  EXPECT_EQ(embedder->embed(input, TooLong::kRefuse, [] { return true; }).error().code,
            Code::kCancelled);

  const auto broken = make(1, [](models::testing::TinyModel& model) {
    model.tensor("encoder.layer.1.output.dense.bias").values[3] =
        std::numeric_limits<float>::infinity();
  });
  EXPECT_EQ(broken->embed(input).error().message, "the model produced non-finite values");
}

TEST_F(EmbedderTest, MemoryCoversItsScratch) {
  const auto embedder = make();
  const EngineMemory memory = embedder->memory();
  EXPECT_GT(memory.weights_mapped_bytes, 0u);
  EXPECT_GT(memory.scratch_bytes, 512u * 32u * 4u);
  EXPECT_THAT(std::string(embedder->format()), HasSubstr("safetensors"));
}

}  // namespace
}  // namespace localai::engine
