// Loading: what a checkpoint says is believed only when everything agrees, and each error names
// the file, the key or tensor, and the values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "models/arch.h"
#include "models/model.h"
#include "models/testing/run_model.h"
#include "models/testing/temporary.h"
#include "models/testing/tiny_model.h"

namespace localai::models {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::TinyConfig;
using testing::TinyModel;

class LoadTest : public ::testing::Test {
 protected:
  Result<std::unique_ptr<Model>> load_path(const std::filesystem::path& path) {
    LAI_TRY(formats::Checkpoint opened, formats::Checkpoint::open(path));
    return Model::load(std::make_shared<const formats::Checkpoint>(std::move(opened)),
                       {.precision = Precision::kExact});
  }
  Result<std::unique_ptr<Model>> load_gguf(const TinyModel& model,
                                           const std::map<std::string, DType>& dtypes = {}) {
    const auto path = directory_.path() / "tiny.gguf";
    LAI_TRY_STATUS(model.write_gguf(path, dtypes));
    return load_path(path);
  }
  Result<std::unique_ptr<Model>> load_directory(const TinyModel& model, DType dtype = DType::kF32) {
    LAI_TRY_STATUS(model.write_safetensors(directory_.path(), dtype));
    return load_path(directory_.path());
  }

  testing::TemporaryDirectory directory_;
};

TEST_F(LoadTest, SaysWhatWasLoaded) {
  const auto model = load_gguf(TinyModel(testing::tiny_llama()));
  ASSERT_TRUE(model.ok()) << model.error().message;
  const ModelInfo& info = (*model)->info();
  EXPECT_EQ(info.architecture, "llama");
  EXPECT_EQ(info.name, "tiny");
  EXPECT_EQ(info.layers, 3u);
  EXPECT_EQ(info.vocab_size, 40u);
  EXPECT_EQ(info.context_length, 4096u);
  EXPECT_EQ(info.parameters,
            41u * 32u + 3u * (2u * 32u + 2u * 32u * 32u + 2u * 16u * 32u + 3u * 48u * 32u));
  EXPECT_EQ(info.weights_private_bytes, 7u * 32u * 4u);  // the norms
  EXPECT_EQ(info.weight_types, "F32 29");
  EXPECT_EQ((*model)->state().block_bytes(DType::kF16), 3u * 2u * 2u * 32u * 8u * 2u);
}

TEST_F(LoadTest, BothSpellingsOfConfigKeysMeanTheSame) {
  TinyConfig config = testing::tiny_gemma3();
  const auto old_keys = load_directory(TinyModel(config));
  ASSERT_TRUE(old_keys.ok()) << old_keys.error().message;
  const std::vector<int32_t> tokens = {3, 1, 4, 1, 5, 9, 2, 6};
  const std::vector<float> expected = testing::run_alone(**old_keys, tokens);
  config.config.erase("rope_local_base_freq");
  config.config["rope_theta"] = nullptr;
  config.config["rope_parameters"] = {
      {"full_attention", {{"rope_type", "default"}, {"rope_theta", 1e6}}},
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 1e4}}}};
  const auto new_keys = load_directory(TinyModel(config));
  ASSERT_TRUE(new_keys.ok()) << new_keys.error().message;
  EXPECT_TRUE(testing::run_alone(**new_keys, tokens) == expected);
  config.config.erase("layer_types");
  config.config["sliding_window_pattern"] = 3;
  const auto pattern = load_directory(TinyModel(config));
  ASSERT_TRUE(pattern.ok()) << pattern.error().message;
  EXPECT_TRUE(testing::run_alone(**pattern, tokens) == expected);
}

TEST_F(LoadTest, HeadSizeDefaultsToHiddenOverHeads) {
  TinyConfig config = testing::tiny_llama();
  config.config["head_dim"] = nullptr;
  EXPECT_TRUE(load_directory(TinyModel(config)).ok());
}

// Each row breaks one thing in config.json and says how the error ends.
struct BadConfig {
  std::string_view key;
  Json value;
  Code code;
  std::string_view message;
};

TEST_F(LoadTest, RefusesBadConfigs) {
  const std::vector<BadConfig> bad = {
      {"model_type", "mamba9", Code::kUnsupported,
       ": architecture 'mamba9' is not supported (known: llama, mistral, qwen2, qwen3, granite, "
       "granitemoe, granitemoehybrid, phi3, gemma, gemma2, gemma3, vaultgemma, bert)"},
      {"hidden_size", nullptr, Code::kCorrupt, ": config.json: key 'hidden_size': missing"},
      {"hidden_size", "big", Code::kCorrupt,
       ": config.json: key 'hidden_size': expected a whole number, got \"big\""},
      {"hidden_size", -32, Code::kCorrupt,
       ": config.json: key 'hidden_size': expected a whole number, got -32"},
      {"num_hidden_layers", 4294967295u, Code::kCorrupt,
       ": config.json: key 'num_hidden_layers': 4294967295 is not within 1..1024"},
      {"num_hidden_layers", 0, Code::kCorrupt,
       ": config.json: key 'num_hidden_layers': 0 is not within 1..1024"},
      {"num_hidden_layers", 4, Code::kCorrupt,
       ": tensor 'model.layers.3.input_layernorm.weight': missing (architecture llama)"},
      {"num_attention_heads", 0, Code::kCorrupt,
       ": config.json: key 'num_attention_heads': 0 is not within 1..4096"},
      {"num_key_value_heads", 3, Code::kCorrupt,
       ": config.json: key 'num_key_value_heads': 3 does not divide 4 query heads"},
      {"head_dim", 7, Code::kCorrupt,
       ": RoPE: 7 rotated elements, which has to be even and within 7"},
      {"head_dim", 16, Code::kCorrupt,
       ": tensor 'model.layers.0.self_attn.q_proj.weight': shape [32, 32], but the "
       "hyperparameters say [64, 32]"},
      {"vocab_size", 41, Code::kCorrupt,
       ": tensor 'model.embed_tokens.weight': shape [40, 32], but the hyperparameters say "
       "[41, 32]"},
      {"rms_norm_eps", -1.0, Code::kCorrupt,
       ": config.json: key 'rms_norm_eps': has to be within 0..1"},
      {"rope_theta", 0.0, Code::kCorrupt, ": RoPE: the base frequency has to be positive"},
      {"rope_scaling",
       {{"rope_type", "yarn"}, {"factor", 4.0}},
       Code::kUnsupported,
       ": config.json: rope_scaling: RoPE scaling 'yarn' is not supported (default, linear, "
       "llama3 and longrope are)"},
      {"rope_scaling",
       {{"type", "linear"}},
       Code::kCorrupt,
       ": config.json: rope_scaling: key 'factor' is missing"},
      {"rope_scaling",
       {{"type", "linear"}, {"factor", 0.0}},
       Code::kCorrupt,
       ": RoPE: the scaling factor has to be positive"},
      {"rope_scaling", 3, Code::kCorrupt, ": config.json: rope_scaling: expected an object"},
      {"attention_bias", true, Code::kCorrupt,
       ": tensor 'model.layers.0.self_attn.q_proj.bias': missing (architecture llama)"},
      {"tie_word_embeddings", "no", Code::kCorrupt,
       ": config.json: key 'tie_word_embeddings': expected true or false, got \"no\""},
  };
  for (const BadConfig& row : bad) {
    SCOPED_TRACE(std::string(row.key) + " = " + dump_json(row.value));
    TinyConfig config = testing::tiny_llama();
    config.config[std::string(row.key)] = row.value;
    const auto model = load_directory(TinyModel(config));
    ASSERT_FALSE(model.ok());
    EXPECT_EQ(model.error().code, row.code);
    EXPECT_EQ(model.error().message, directory_.path().string() + std::string(row.message));
  }
}

TEST_F(LoadTest, RefusesBadGgufMetadata) {
  struct Row {
    std::function<void(TinyConfig&)> change;
    std::string_view message;
  };
  const std::vector<Row> rows = {
      {[](TinyConfig& c) { c.heads = 0; },
       ": key 'llama.attention.head_count': 0 is not within 1..4096"},
      {[](TinyConfig& c) { c.kv_heads = 3; },
       ": key 'llama.attention.head_count_kv': 3 does not divide 4 query heads"},
      {[](TinyConfig& c) { c.architecture = "gpt9"; },
       ": architecture 'gpt9' is not supported (known: llama, mistral, qwen2, qwen3, granite, "
       "granitemoe, granitemoehybrid, phi3, gemma, gemma2, gemma3, vaultgemma, bert)"},
      {[](TinyConfig& c) { c.metadata = [](auto& b) { b.add("llama.vocab_size", uint32_t{39}); }; },
       ": tensor 'token_embd.weight': shape [40, 32], but the hyperparameters say [39, 32]"},
      {[](TinyConfig& c) {
         c.metadata = [](auto& b) { b.add("llama.rope.scaling.type", "yarn"); };
       },
       ": key 'llama.rope.scaling.type': RoPE scaling 'yarn' is not supported (default, linear, "
       "llama3 and longrope are)"},
      {[](TinyConfig& c) {
         c.metadata = [](auto& b) { b.add("llama.rope.dimension_count", uint32_t{10}); };
       },
       ": key 'llama.rope.dimension_count': 10 is not within 1..8"},
  };
  for (const Row& row : rows) {
    TinyConfig config = testing::tiny_llama();
    row.change(config);
    // Tensors of an honest model: only the metadata lies.
    TinyModel model(config);
    model.tensors() = TinyModel(testing::tiny_llama()).tensors();
    const auto loaded = load_gguf(model);
    ASSERT_FALSE(loaded.ok()) << row.message;
    EXPECT_THAT(loaded.error().message, EndsWith(row.message));
    EXPECT_THAT(loaded.error().message, HasSubstr("tiny.gguf"));
  }
}

TEST_F(LoadTest, RefusesMissingMisshapenAndMistypedTensors) {
  TinyModel missing(testing::tiny_llama());
  missing.remove("model.layers.1.mlp.up_proj.weight");
  EXPECT_THAT(load_gguf(missing).error().message,
              EndsWith("tensor 'blk.1.ffn_up.weight': missing (architecture llama)"));
  EXPECT_THAT(load_directory(missing).error().message,
              EndsWith("tensor 'model.layers.1.mlp.up_proj.weight': missing (architecture llama)"));

  TinyModel misshapen(testing::tiny_llama());
  misshapen.tensor("model.layers.2.mlp.down_proj.weight").shape = {48, 32};
  EXPECT_THAT(load_gguf(misshapen).error().message,
              EndsWith("tensor 'blk.2.ffn_down.weight': shape [48, 32], but the hyperparameters "
                       "say [32, 48]"));
  TinyModel flat(testing::tiny_llama());
  flat.tensor("model.layers.0.input_layernorm.weight").shape = {1, 32};
  EXPECT_THAT(load_gguf(flat).error().message,
              EndsWith("tensor 'blk.0.attn_norm.weight': shape [1, 32], but the hyperparameters "
                       "say [32]"));
  EXPECT_THAT(
      load_gguf(TinyModel(testing::tiny_llama()), {{"attn_q.weight", DType::kI32}}).error().message,
      EndsWith("tensor 'blk.0.attn_q.weight': no kernel for weights of type I32"));
}

TEST_F(LoadTest, GemmaNeedsItsSlidingWindow) {
  TinyConfig config = testing::tiny_gemma3();
  config.metadata = nullptr;
  EXPECT_THAT(load_gguf(TinyModel(config)).error().message,
              EndsWith("key 'gemma3.attention.sliding_window': missing"));
  config = testing::tiny_gemma3();
  config.config["layer_types"] = {"sliding_attention", "full_attention"};
  EXPECT_THAT(load_directory(TinyModel(config)).error().message,
              EndsWith("config.json: key 'layer_types': 2 entries for 3 layers"));
  config.config["layer_types"] = {"sliding_attention", "full_attention", "mamba"};
  EXPECT_THAT(load_directory(TinyModel(config)).error().message,
              EndsWith("config.json: key 'layer_types': layer type \"mamba\""));
}

TEST_F(LoadTest, BiasesOfLlamaAreUsedWhenTheConfigSaysSo) {
  TinyConfig config = testing::tiny_llama();
  const auto plain = load_directory(TinyModel(config));
  ASSERT_TRUE(plain.ok());
  const std::vector<int32_t> tokens = {1, 2, 3};
  const std::vector<float> without = testing::run_alone(**plain, tokens);

  TinyModel model(config);
  for (testing::TinyTensor t : std::vector<testing::TinyTensor>(model.tensors()))
    if (t.name.find("_proj.weight") != std::string::npos) {
      t.name.replace(t.name.size() - 6, 6, "bias");
      t.shape = {t.shape[0]};
      t.values.assign(t.shape[0], 0.f);
      model.tensors().push_back(t);
    }
  model.tensor("model.layers.0.self_attn.o_proj.bias").values[3] = 1.f;
  const auto ignored = load_directory(model);
  ASSERT_TRUE(ignored.ok()) << ignored.error().message;
  EXPECT_TRUE(testing::run_alone(**ignored, tokens) == without);

  config.config = {{"attention_bias", true}, {"mlp_bias", true}};
  TinyModel stated(config);
  stated.tensors() = model.tensors();
  const auto used = load_directory(stated);
  ASSERT_TRUE(used.ok()) << used.error().message;
  EXPECT_TRUE(testing::run_alone(**used, tokens) != without);
}

TEST(Architectures, AreFoundByTheirNamesInBothFormats) {
  EXPECT_EQ(known_architectures(),
            (std::vector<std::string>{"llama", "mistral", "qwen2", "qwen3", "granite", "granitemoe",
                                      "granitemoehybrid", "phi3", "gemma", "gemma2", "gemma3",
                                      "vaultgemma", "bert"}));
  for (const ArchSpec* spec : architectures()) {
    for (const std::string_view name : spec->gguf_names)
      EXPECT_EQ(find_architecture(name, true), spec);
    for (const std::string_view name : spec->config_names)
      EXPECT_EQ(find_architecture(name, false), spec);
  }
  EXPECT_EQ(find_architecture("", true), nullptr);
}

// GGUF has no key for the attention scale of the 27B models: head size 4, but 32 / 4 heads.
TEST_F(LoadTest, AttentionScaleOfGemma27bComesFromItsLayerCount) {
  for (const auto& [config_of, layers] :
       {std::pair{&testing::tiny_gemma2, 46u}, std::pair{&testing::tiny_gemma3, 62u}}) {
    for (const uint32_t count : {layers, layers + 1}) {
      TinyConfig config = config_of();
      config.layers = count;
      config.head_dim = 4;
      const auto path = directory_.path() / "tiny.gguf";
      ASSERT_TRUE(TinyModel(config).write_gguf(path).ok());
      auto opened = formats::Checkpoint::open(path);
      ASSERT_TRUE(opened.ok()) << opened.error().message;
      const auto hyper =
          read_hyperparameters(*find_architecture(config.architecture, true), Metadata(*opened));
      ASSERT_TRUE(hyper.ok()) << hyper.error().message;
      EXPECT_FLOAT_EQ(hyper->attention_scale, count == layers ? 1.f / std::sqrt(8.f) : 0.5f);
    }
  }
}

TEST_F(LoadTest, FusedMatricesAreViewsOfTheFile) {
  const auto phi3 = load_gguf(TinyModel(testing::tiny_phi3(64)));
  ASSERT_TRUE(phi3.ok()) << phi3.error().message;
  EXPECT_EQ((*phi3)->info().long_rope_after, 64u);
  EXPECT_EQ((*phi3)->info().weights_private_bytes, (7u * 32u + 2u * 4u) * 4u);  // norms, factors
  EXPECT_EQ((*phi3)->info().parameters,
            2u * 40u * 32u + 8u + 32u + 3u * (2u * 32u + 4u * 32u * 32u + 3u * 48u * 32u));

  // GGUF files of other architectures may fuse q, k and v, too: the same logits as apart.
  TinyModel apart(testing::tiny_qwen2()), fused(testing::tiny_qwen2());
  for (uint32_t i = 0; i < 3; ++i)
    for (const std::string kind : {"weight", "bias"}) {
      const std::string prefix = "model.layers." + std::to_string(i) + ".self_attn.";
      testing::TinyTensor whole = fused.tensor(prefix + "q_proj." + kind);
      whole.name = prefix + "qkv_proj." + kind;
      for (const std::string part : {"k_proj.", "v_proj."}) {
        const testing::TinyTensor& t = fused.tensor(prefix + part + kind);
        whole.shape[0] += t.shape[0];
        whole.values.insert(whole.values.end(), t.values.begin(), t.values.end());
      }
      for (const std::string part : {"q_proj.", "k_proj.", "v_proj."})
        fused.remove(prefix + part + kind);
      fused.tensors().push_back(whole);
    }
  const std::vector<int32_t> tokens = {3, 1, 4, 1, 5};
  const auto expected = load_gguf(apart);
  ASSERT_TRUE(expected.ok());
  const auto logits = testing::run_alone(**expected, tokens);
  const auto loaded = load_gguf(fused);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_TRUE(testing::run_alone(**loaded, tokens) == logits);

  fused.tensor("model.layers.1.self_attn.qkv_proj.weight").shape = {32, 64};
  EXPECT_THAT(load_gguf(fused).error().message,
              EndsWith("tensor 'blk.1.attn_qkv.weight': shape [32, 64], but the hyperparameters "
                       "say [64, 32]"));
}

TEST_F(LoadTest, RefusesBadLongRope) {
  const auto message_of = [&](const std::function<void(Json&)>& change) {
    TinyConfig config = testing::tiny_phi3(64);
    change(config.config);
    const auto loaded = load_directory(TinyModel(config));
    return loaded.ok() ? std::string("loaded") : loaded.error().message;
  };
  EXPECT_THAT(message_of([](Json& c) {
                c["rope_scaling"]["long_factor"] = {1.0, 2.0, 3.0};
              }),
              EndsWith("RoPE: 3 LongRoPE factors for 4 pairs"));
  EXPECT_THAT(message_of([](Json& c) {
                c["rope_scaling"]["short_factor"] = {1, 2, 3, 0};
              }),
              EndsWith("RoPE factors: 0.000000 is not positive"));
  EXPECT_THAT(message_of([](Json& c) {
                c["rope_scaling"]["short_factor"] = {1, 2, 3, "x"};
              }),
              EndsWith("rope_scaling: key 'short_factor': expected numbers, got \"x\""));
  EXPECT_THAT(message_of([](Json& c) { c["rope_scaling"].erase("long_factor"); }),
              EndsWith("rope_scaling: key 'long_factor': expected an array of numbers"));
  EXPECT_THAT(message_of([](Json& c) { c["original_max_position_embeddings"] = 0; }),
              EndsWith("RoPE: the original context length has to be within 1..1073741824"));
  EXPECT_THAT(message_of([](Json& c) { c["rope_scaling"]["attention_factor"] = -1; }),
              EndsWith("RoPE: the attention factor has to be positive"));
  EXPECT_EQ(message_of([](Json& c) { c["rope_scaling"]["type"] = "su"; }), "loaded");
}

TEST_F(LoadTest, GraniteWithoutRopeHasNoPositions) {
  TinyConfig config = testing::tiny_granite();
  const std::vector<int32_t> tokens = {3, 1, 4, 1}, swapped = {1, 3, 4, 1};
  const auto last = [&](const std::vector<int32_t>& ids) {
    const auto model = load_gguf(TinyModel(config));
    EXPECT_TRUE(model.ok()) << model.error().message;
    const std::vector<float> all = testing::run_alone(**model, ids);
    return std::vector<float>(all.end() - config.vocab, all.end());
  };
  config.layers = 1;  // a second layer sees the order through causality
  EXPECT_THAT(last(tokens),
              ::testing::Not(::testing::Pointwise(::testing::FloatNear(1e-4f), last(swapped))));
  config.metadata = [base = config.metadata](auto& b) {
    base(b);
    b.add("granite.rope.scaling.finetuned", false);
  };
  EXPECT_THAT(last(tokens), ::testing::Pointwise(::testing::FloatNear(1e-5f), last(swapped)));
}

}  // namespace
}  // namespace localai::models
