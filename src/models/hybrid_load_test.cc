// Loading of models with Mamba2 layers and experts: what is refused, and how the error ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/model.h"
#include "models/testing/temporary.h"
#include "models/testing/tiny_model.h"

namespace localai::models {
namespace {

using ::testing::EndsWith;
using testing::TinyConfig;
using testing::TinyModel;

std::string load_message(const std::filesystem::path& path) {
  auto opened = formats::Checkpoint::open(path);
  if (!opened.ok()) return opened.error().message;
  const auto model =
      Model::load(std::make_shared<const formats::Checkpoint>(std::move(*opened)), {});
  return model.ok() ? "loaded" : model.error().message;
}

std::string safetensors_message(const TinyModel& model) {
  const testing::TemporaryDirectory directory;
  EXPECT_TRUE(model.write_safetensors(directory.path()).ok());
  return load_message(directory.path());
}

std::string gguf_message(const TinyModel& model) {
  const testing::TemporaryDirectory directory;
  EXPECT_TRUE(model.write_gguf(directory.path() / "tiny.gguf").ok());
  return load_message(directory.path() / "tiny.gguf");
}

TEST(HybridLoad, SaysWhatStateASequenceNeeds) {
  const testing::TemporaryDirectory directory;
  ASSERT_TRUE(TinyModel(testing::tiny_granite_hybrid()).write_safetensors(directory.path()).ok());
  auto opened = formats::Checkpoint::open(directory.path());
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const auto model =
      Model::load(std::make_shared<const formats::Checkpoint>(std::move(*opened)), {});
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ((*model)->state().kv_layers, 1u);
  // Two layers: 4 heads of [16, 8], and 3 earlier positions of 64 + 2 * 8 channels.
  EXPECT_EQ((*model)->state().recurrent_bytes, 2u * (4 * 16 * 8 + 3 * 80) * sizeof(float));
}

TEST(HybridLoad, RefusesBadConfigs) {
  struct Row {
    std::string_view key;
    Json value;
    std::string_view message;
  };
  const std::vector<Row> rows = {
      {"layer_types",
       {"mamba", "attention"},
       "config.json: key 'layer_types': expected an array of 3 layer types"},
      {"layer_types",
       {"mamba", "attention", "rwkv"},
       "config.json: key 'layer_types': layer type \"rwkv\""},
      {"layer_types",
       {"mamba", "mamba", "mamba"},
       "tensor 'model.layers.1.mamba.in_proj.weight': missing (architecture granitemoehybrid)"},
      {"mamba_n_groups", 3, "config.json: key 'mamba_n_groups': 3 groups do not divide 4 heads"},
      {"mamba_n_heads", 5,
       "config.json: key 'mamba_expand': 5 heads do not divide the inner size 64"},
      {"mamba_n_heads", 8,
       "tensor 'model.layers.0.mamba.in_proj.weight': shape [148, 32], but the hyperparameters say "
       "[152, 32]"},
      {"mamba_d_conv", 1, "config.json: key 'mamba_d_conv': 1 is no convolution"},
      {"mamba_d_conv", 3,
       "tensor 'model.layers.0.mamba.conv1d.weight': shape [80, 1, 4], but the hyperparameters say "
       "[80, 3]"},
      {"mamba_d_conv", 99, "config.json: key 'mamba_d_conv': 99 is not within 1..16"},
      {"time_step_limit",
       {1.0, 0.5},
       "config.json: key 'time_step_limit': expected two numbers, got [1.0,0.5]"},
      {"shared_intermediate_size", 40,
       "tensor 'model.layers.0.shared_mlp.input_linear.weight': shape [96, 32], but the "
       "hyperparameters say [80, 32]"},
      {"num_local_experts", 1, "config.json: key 'num_experts_per_tok': 2 of 1 experts"},
      {"num_local_experts", 5,
       "tensor 'model.layers.0.block_sparse_moe.router.layer.weight': shape [4, 32], but the "
       "hyperparameters say [5, 32]"},
      {"intermediate_size", 23,
       "tensor 'model.layers.0.block_sparse_moe.input_linear.weight': shape [4, 48, 32], but the "
       "hyperparameters say [4, 46, 32]"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string(row.key) + " = " + dump_json(row.value));
    TinyConfig config = testing::tiny_granite_hybrid_moe();
    config.config[std::string(row.key)] = row.value;
    EXPECT_THAT(safetensors_message(TinyModel(config)), EndsWith(row.message));
  }
}

TEST(HybridLoad, AcceptsBothSpellingsOfLayerTypesAndAnInfiniteLimit) {
  TinyConfig config = testing::tiny_granite_hybrid();
  config.config["layer_types"] = {"linear_attention", "full_attention", "linear_attention"};
  config.config["time_step_limit"] = {0.0, {{"__float__", "Infinity"}}};
  EXPECT_EQ(safetensors_message(TinyModel(config)), "loaded");
}

TEST(HybridLoad, RefusesBadGguf) {
  const auto with = [](auto add) {
    TinyConfig config = testing::tiny_granite_hybrid();
    config.mamba_layers.clear();
    config.metadata = [add, base = config.metadata](formats::testing::GgufBuilder& builder) {
      base(builder);
      add(builder);
    };
    TinyModel model(config);
    model.tensors() = TinyModel(testing::tiny_granite_hybrid()).tensors();
    return gguf_message(model);
  };
  // Without Mamba2 layers in the metadata, tiny_model.h states one number of KV heads.
  EXPECT_THAT(with([](auto&) {}),
              EndsWith("tensor 'blk.0.attn_q.weight': missing (architecture granitemoehybrid)"));

  TinyConfig config = testing::tiny_granite_hybrid();
  TinyModel uneven(config);
  config.layers = 4;
  config.mamba_layers = {0, 2, 3};
  TinyModel longer(config);
  longer.tensors() = uneven.tensors();
  EXPECT_THAT(gguf_message(longer),
              EndsWith("tensor 'blk.3.attn_norm.weight': missing (architecture granitemoehybrid)"));

  TinyModel groups(testing::tiny_granite_hybrid());
  groups.tensor("model.layers.2.mamba.norm.weight").shape = {32};
  groups.tensor("model.layers.2.mamba.norm.weight").values.resize(32);
  EXPECT_THAT(gguf_message(groups), EndsWith("tensor 'blk.2.ssm_norm.weight': shape [1, 32], but "
                                             "the hyperparameters say [1, 64]"));
}

}  // namespace
}  // namespace localai::models
