// Same bits: a row's logits do not depend on the batch, the split into steps or the threads.
#include <gtest/gtest.h>

#include <random>

#include "base/cpu.h"
#include "models/testing/run_model.h"
#include "models/testing/temporary.h"
#include "models/testing/tiny_model.h"

namespace localai::models {
namespace {

using testing::run_alone;
using testing::Runner;
using testing::TinyConfig;
using testing::TinyModel;

constexpr uint32_t kVocab = 72;

// Wide enough for every block type: rows of whole 32- and 256-element blocks.
TinyConfig quantizable(TinyConfig c) {
  c.hidden = 256;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 64;
  c.ffn = 256;
  c.vocab = kVocab;
  c.layers = 2;
  return c;
}

// A local and a global layer, the window shorter than the sequences.
TinyConfig quantizable_gemma3() {
  TinyConfig c = quantizable(testing::tiny_gemma3());
  c.metadata = [](formats::testing::GgufBuilder& builder) {
    builder.add("gemma3.attention.sliding_window", uint32_t{9})
        .add("gemma3.attention.sliding_window_pattern", uint32_t{2});
  };
  return c;
}

// Mamba2, attention and experts, the last layer once of each kind of mixer.
TinyConfig quantizable_hybrid(std::vector<uint32_t> mamba_layers) {
  TinyConfig c = quantizable(testing::tiny_granite_hybrid_moe());
  c.layers = 3;
  c.mamba_layers = std::move(mamba_layers);
  c.mamba_heads = 4;
  c.mamba_head_dim = 64;
  c.mamba_groups = 2;
  c.mamba_state = 12;
  c.experts = 3;
  c.expert_ffn = 256;
  return c;
}

TinyConfig config_of(int which) {
  if (which == 0) return quantizable(testing::tiny_llama());
  if (which == 1) return quantizable_gemma3();
  return quantizable_hybrid(which == 2 ? std::vector<uint32_t>{0, 2} : std::vector<uint32_t>{0, 1});
}
const char* const kConfigNames[] = {"llama", "gemma3", "hybrid", "hybrid_ends_in_attention"};

const std::map<std::string, DType> kMixedTypes = {
    {"attn_q.weight", DType::kQ4_0},        {"attn_k.weight", DType::kQ5_0},
    {"attn_v.weight", DType::kQ8_0},        {"attn_output.weight", DType::kQ4_1},
    {"ffn_gate.weight", DType::kQ4_K},      {"ffn_up.weight", DType::kQ5_K},
    {"ffn_down.weight", DType::kQ6_K},      {"weight", DType::kQ5_1},
    {"ssm_in.weight", DType::kQ4_K},        {"ssm_out.weight", DType::kQ8_0},
    {"ffn_gate_exps.weight", DType::kQ4_K}, {"ffn_up_exps.weight", DType::kQ4_0},
    {"ffn_down_exps.weight", DType::kQ6_K}};  // the embedding

std::vector<int32_t> random_tokens(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> out(count);
  for (int32_t& t : out) t = static_cast<int32_t>(random() % kVocab);
  return out;
}

class DeterminismTest : public ::testing::TestWithParam<int> {
 protected:
  // Calls check(model, kv_dtype) for the parameter's model in both precisions, both KV
  // types and every kernel set this CPU runs.
  template <class F>
  void for_each_model(F&& check) {
    const TinyConfig config = config_of(GetParam());
    const Status written = TinyModel(config).write_gguf(path(), kMixedTypes);
    ASSERT_TRUE(written.ok()) << written.error().message;
    auto opened = formats::Checkpoint::open(path());
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    const auto checkpoint = std::make_shared<const formats::Checkpoint>(std::move(*opened));
    for (const kernels::KernelSet* set : kernels::kernel_sets()) {
      if ((set->needs & ~cpu_features()) != 0) continue;
      for (const Precision precision : {Precision::kExact, Precision::kFast}) {
        SCOPED_TRACE(std::string(set->name) +
                     (precision == Precision::kExact ? " exact" : " fast"));
        auto model = Model::load(checkpoint, {.precision = precision, .kernels = set});
        ASSERT_TRUE(model.ok()) << model.error().message;
        check(**model, precision == Precision::kExact ? DType::kF32 : DType::kF16);
      }
    }
  }

  [[nodiscard]] std::filesystem::path path() const { return directory_.path() / "tiny.gguf"; }

  testing::TemporaryDirectory directory_;
};

TEST_P(DeterminismTest, DecodingOneByOneEqualsPrefill) {
  const std::vector<int32_t> tokens = random_tokens(37, 1);
  for_each_model([&](const Model& model, DType kv) {
    const std::vector<float> expected = run_alone(model, tokens, kv);
    Runner runner(model, {tokens}, kv, 1);
    for (size_t i = 0; i < tokens.size(); ++i) runner.step({1});
    EXPECT_TRUE(runner.logits() == expected);
  });
}

// In panels or in file layout: the same logits, and the same bytes in all, but for whole panels.
TEST_P(DeterminismTest, PackingChangesNoBits) {
  const std::vector<int32_t> tokens = random_tokens(21, 8);
  ASSERT_TRUE(TinyModel(config_of(GetParam())).write_gguf(path(), kMixedTypes).ok());
  auto opened = formats::Checkpoint::open(path());
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const auto checkpoint = std::make_shared<const formats::Checkpoint>(std::move(*opened));
  for (const kernels::KernelSet* set : kernels::kernel_sets()) {
    if ((set->needs & ~cpu_features()) != 0) continue;
    ModelOptions options{.kernels = set, .pack = false};
    const auto mapped = Model::load(checkpoint, options);
    options.pack = true;
    options.threads = 3;
    const auto packed = Model::load(checkpoint, options);
    options.pack_later = true;
    const auto later = Model::load(checkpoint, options);
    options.predict_only = true;
    const auto predicted = Model::load(checkpoint, options);
    ASSERT_TRUE(mapped.ok() && packed.ok() && later.ok() && predicted.ok());
    ThreadPool pool(2);
    const std::vector<float> expected = run_alone(**mapped, tokens, DType::kF16);
    size_t matrices = 0;
    do {
      EXPECT_TRUE(run_alone(**later, tokens, DType::kF16) == expected)
          << set->name << " after " << matrices << " matrices";
    } while ((*later)->pack_more(pool) && ++matrices > 0);
    EXPECT_TRUE(run_alone(**later, tokens, DType::kF16) == expected);
    EXPECT_EQ((*later)->info().weights_private_bytes, (*packed)->info().weights_private_bytes);
    EXPECT_TRUE(run_alone(**packed, tokens, DType::kF16) ==
                run_alone(**mapped, tokens, DType::kF16))
        << set->name;
    const ModelInfo &before = (*mapped)->info(), &after = (*packed)->info();
    const bool packs = set->matmul_packed[static_cast<size_t>(DType::kQ4_K)] != nullptr;
    EXPECT_EQ(matrices > 1, packs) << set->name;
    EXPECT_EQ(after.weights_mapped_bytes < before.weights_mapped_bytes, packs);
    EXPECT_EQ(after.weights_mapped_bytes, (*predicted)->info().weights_mapped_bytes);
    EXPECT_EQ(after.weights_private_bytes, (*predicted)->info().weights_private_bytes);
  }
}

TEST_P(DeterminismTest, AnySplitOnAnyNumberOfThreads) {
  const std::vector<int32_t> tokens = random_tokens(45, 2);
  std::mt19937 random(3);
  for_each_model([&](const Model& model, DType kv) {
    const std::vector<float> expected = run_alone(model, tokens, kv);
    for (const uint32_t threads : {1u, 2u, 3u}) {
      Runner runner(model, {tokens}, kv, threads);
      for (size_t left = tokens.size(); left > 0;) {
        const size_t count = std::min<size_t>(left, 1 + random() % 16);
        runner.step({count});
        left -= count;
      }
      EXPECT_TRUE(runner.logits() == expected) << threads << " threads";
    }
  });
}

TEST_P(DeterminismTest, BatchedEqualsAlone) {
  const std::vector<std::vector<int32_t>> sequences = {random_tokens(41, 4), random_tokens(41, 5),
                                                       random_tokens(41, 6)};
  for_each_model([&](const Model& model, DType kv) {
    Runner runner(model, sequences, kv, 2);
    runner.step({20, 1, 0});  // a prompt, a short one, one that has not started
    runner.step({1, 30, 7});
    runner.step({19, 9, 33});
    runner.step({1, 1, 1});
    for (size_t s = 0; s < sequences.size(); ++s)
      EXPECT_TRUE(runner.logits(s) == run_alone(model, sequences[s], kv)) << "sequence " << s;
  });
}

TEST_P(DeterminismTest, LogitsOfTheLastRowAloneAreThoseOfAllRows) {
  const std::vector<int32_t> tokens = random_tokens(33, 7);
  for_each_model([&](const Model& model, DType kv) {
    const std::vector<float> all = run_alone(model, tokens, kv);
    Runner runner(model, {tokens}, kv, 2);
    runner.step({32}, true);
    runner.step({1}, true);
    const std::vector<float> expected(all.end() - 2 * kVocab, all.end());
    EXPECT_TRUE(runner.logits() == expected);
  });
}

TEST_P(DeterminismTest, NoWorkspaceGrowthAfterTheLargestStep) {
  const std::vector<int32_t> tokens = random_tokens(60, 8);
  for_each_model([&](const Model& model, DType kv) {
    Runner runner(model, {tokens}, kv, 2);
    runner.step({30});
    const uint64_t bytes = runner.workspace().bytes();
    EXPECT_GT(bytes, 0u);
    for (size_t i = 0; i < 30; ++i) runner.step({1});
    EXPECT_EQ(runner.workspace().bytes(), bytes);
  });
}

TEST_P(DeterminismTest, TheWorkspaceTakesNoMoreThanPredicted) {
  const std::vector<int32_t> tokens = random_tokens(90, 8);
  for_each_model([&](const Model& model, DType kv) {
    Runner runner(model, {tokens}, kv, 2);
    for (const size_t rows : {1, 17, 40}) runner.step({rows});
    const uint64_t bytes = runner.workspace().bytes();
    const uint64_t predicted = model.workspace_bytes(40, 3, 2);
    EXPECT_LE(bytes, predicted);
    EXPECT_GE(bytes, predicted / 2);
  });
}

// Attention runs over chunks of 256 positions: here three of them, with borders inside steps.
TEST(DeterminismOverLongContexts, AnySplitOnAnyNumberOfThreads) {
  const testing::TemporaryDirectory directory;
  for (TinyConfig config :
       {testing::tiny_llama(), testing::tiny_gemma3(), testing::tiny_granite_hybrid()}) {
    ASSERT_TRUE(TinyModel(config).write_safetensors(directory.path(), DType::kBF16).ok());
    auto opened = formats::Checkpoint::open(directory.path());
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    auto model = Model::load(std::make_shared<const formats::Checkpoint>(std::move(*opened)), {});
    ASSERT_TRUE(model.ok()) << model.error().message;
    std::vector<int32_t> tokens = random_tokens(600, 9);
    for (int32_t& t : tokens) t %= 40;
    const std::vector<float> expected = run_alone(**model, tokens, DType::kF16);
    for (const uint32_t threads : {1u, 2u, 3u}) {
      Runner runner(**model, {tokens}, DType::kF16, threads);
      runner.step({250});
      for (size_t i = 0; i < 12; ++i) runner.step({1});
      runner.step({338});
      EXPECT_TRUE(runner.logits() == expected) << config.prefix << ", " << threads << " threads";
    }
  }
}

// LongRoPE: each sequence of a batch is rotated by its own reach, wherever a step ends.
TEST(DeterminismOverLongContexts, ShortAndLongSequencesOfLongRope) {
  const testing::TemporaryDirectory directory;
  ASSERT_TRUE(TinyModel(testing::tiny_phi3(50)).write_safetensors(directory.path()).ok());
  auto opened = formats::Checkpoint::open(directory.path());
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  auto model = Model::load(std::make_shared<const formats::Checkpoint>(std::move(*opened)), {});
  ASSERT_TRUE(model.ok()) << model.error().message;
  std::vector<std::vector<int32_t>> sequences = {random_tokens(50, 10), random_tokens(60, 10)};
  for (auto& tokens : sequences)
    for (int32_t& t : tokens) t %= 40;
  Runner runner(**model, sequences, DType::kF16, 2);
  runner.step({30, 40});
  runner.step({20, 9});
  runner.step({0, 11});
  const auto is_long = run_alone(**model, sequences[1], DType::kF16);
  EXPECT_TRUE(runner.logits(0) == run_alone(**model, sequences[0], DType::kF16));
  EXPECT_TRUE(runner.logits(1) == is_long);
  const std::vector<float> beginning(is_long.begin(), is_long.begin() + 50 * 40);
  EXPECT_TRUE(runner.logits(0) != beginning);  // the same tokens, other factors
}

INSTANTIATE_TEST_SUITE_P(Architectures, DeterminismTest, ::testing::Range(0, 4),
                         [](const auto& which) { return kConfigNames[which.param]; });

}  // namespace
}  // namespace localai::models
