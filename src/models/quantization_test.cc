// Load-time quantization against files quantized before: same types, same bytes, same logits. That
// the rules and bytes are llama.cpp's is checked in tests/python/test_quantize.py.
#include "models/quantization.h"

#include <gtest/gtest.h>

#include "models/quantize_file.h"
#include "models/testing/run_model.h"
#include "models/testing/temporary.h"
#include "models/testing/tiny_model.h"

namespace localai::models {
namespace {

using testing::TinyConfig;
using testing::TinyModel;

const std::vector<int32_t> kTokens = {3, 1, 4, 1, 5, 9, 2, 6};

Result<std::unique_ptr<Model>> load(const std::filesystem::path& path,
                                    const ModelOptions& options) {
  LAI_TRY(formats::Checkpoint opened, formats::Checkpoint::open(path));
  return Model::load(std::make_shared<const formats::Checkpoint>(std::move(opened)), options);
}

Status quantize(const std::filesystem::path& in, const std::filesystem::path& out,
                const QuantizationType* type) {
  ThreadPool pool(2);
  QuantizeOptions options;
  options.type = type;
  LAI_TRY(const QuantizeReport report, quantize_file(in, out, options, pool));
  return Ok{};
}

// Rows of 256, so that the K types fit, and layers enough for the rules to differ between them.
TinyConfig wide(TinyConfig config) {
  config.prefix += "-wide";
  config.hidden = 256;
  config.ffn = 256;
  config.layers = 8;
  config.mamba_head_dim = 64;  // 256 in all
  return config;
}

// With heads of two, GGUF's order of the rows of q and k is that of safetensors, and so is the
// order of sums over a head.
TinyConfig with_small_heads(TinyConfig config) {
  config.heads = 16;
  config.head_dim = 2;
  return wide(config);
}

class LoadQuantization : public ::testing::TestWithParam<std::string_view> {
 protected:
  // Loads `source` quantized, checks it against the prediction, and its logits against `offline`.
  void expect_same(const std::filesystem::path& source, const std::filesystem::path& offline) {
    for (const Precision precision : {Precision::kExact, Precision::kFast})
      for (const uint32_t threads : {1u, 3u}) {
        ModelOptions options;
        options.precision = precision;
        const auto expected = load(offline, options);
        ASSERT_TRUE(expected.ok()) << expected.error().message;
        options.quantize = find_load_quantization(GetParam());
        options.threads = threads;
        const auto model = load(source, options);
        ASSERT_TRUE(model.ok()) << model.error().message;
        options.predict_only = true;
        const auto predicted = load(source, options);
        ASSERT_TRUE(predicted.ok()) << predicted.error().message;
        const ModelInfo& info = (*model)->info();
        EXPECT_EQ(info.weights_mapped_bytes, 0u);
        EXPECT_EQ(info.weights_private_bytes, (*predicted)->info().weights_private_bytes);
        EXPECT_EQ((*predicted)->info().weights_mapped_bytes, 0u);
        EXPECT_TRUE(testing::run_alone(**model, kTokens) == testing::run_alone(**expected, kTokens))
            << source << " " << GetParam();
      }
  }

  testing::TemporaryDirectory directory_;
};

TEST_P(LoadQuantization, OfGgufIsWhatQuantizeWrites) {
  for (const TinyConfig& config : {wide(testing::tiny_llama()), testing::tiny_llama_untied(),
                                   wide(testing::tiny_granite_hybrid())}) {
    const auto in = directory_.path() / "in.gguf", out = directory_.path() / "out.gguf";
    ASSERT_TRUE(TinyModel(config).write_gguf(in).ok());
    const Status written = quantize(in, out, find_load_quantization(GetParam()));
    ASSERT_TRUE(written.ok()) << written.error().message;
    expect_same(in, out);
  }
}

TEST_P(LoadQuantization, OfSafetensorsIsTheSame) {
  for (const TinyConfig& config : {wide(testing::tiny_qwen3()), testing::tiny_gemma3(),
                                   with_small_heads(testing::tiny_granite_hybrid()),
                                   with_small_heads(testing::tiny_granite_hybrid_moe())}) {
    const TinyModel model(config);
    const auto in = directory_.path() / "in.gguf", out = directory_.path() / "out.gguf";
    const auto hf = directory_.path() / config.prefix;
    std::filesystem::create_directories(hf);
    ASSERT_TRUE(model.write_gguf(in).ok());
    ASSERT_TRUE(model.write_safetensors(hf).ok());
    const Status written = quantize(in, out, find_load_quantization(GetParam()));
    ASSERT_TRUE(written.ok()) << written.error().message;
    expect_same(hf, out);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, LoadQuantization,
                         ::testing::Values("q8_0", "q4_k_m", "q4_0", "q5_k_m", "q6_k"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Quantization, NamesAreThoseOfllamaCppInAnyCase) {
  EXPECT_EQ(find_quantization("q4_k_m")->file_type, 15u);
  EXPECT_EQ(find_quantization("Q4_K")->name, "Q4_K_M");
  EXPECT_EQ(find_quantization("Q3_X"), nullptr);
  EXPECT_EQ(find_quantization(""), nullptr);
  EXPECT_EQ(find_load_quantization("q5_1"), nullptr);  // offline only
  EXPECT_EQ(load_quantization_names(), "q8_0, q4_k_m, q4_0, q5_k_m, q6_k");
}

TEST(Quantization, GivesTheSensitiveTensorsMoreBits) {
  const MixFacts facts{
      .architecture = "llama", .layers = 8, .heads = 4, .kv_heads = 2, .experts = 0};
  std::vector<MixTensor> tensors;
  for (int layer = 7; layer >= 0; --layer)  // in any order
    tensors.push_back(
        {"blk." + std::to_string(layer) + ".ffn_down.weight", DType::kF16, make_shape({256, 256})});
  tensors.push_back({"token_embd.weight", DType::kF16, make_shape({8, 256})});
  tensors.push_back({"output_norm.weight", DType::kF32, make_shape({256})});
  tensors.push_back({"blk.0.attn_q.weight", DType::kF16, make_shape({256, 96})});
  tensors.push_back({"blk.0.attn_k.weight", DType::kF16, make_shape({256, 40})});
  const auto types = choose_types(*find_quantization("Q4_K_M"), facts, tensors);
  const auto k = DType::kQ4_K, more = DType::kQ6_K;
  EXPECT_EQ(types, (std::vector<DType>{more, more, k, k, more, k, k, more, more, DType::kF32,
                                       DType::kQ5_0, DType::kF16}));
}

}  // namespace
}  // namespace localai::models
