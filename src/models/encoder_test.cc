// Encoders: a tiny BERT with generated weights against its vector computed in float64 with numpy,
// from both formats, with every kernel set this CPU runs; and the same bits in any company.
#include "models/encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <numeric>

#include "base/cpu.h"
#include "models/testing/temporary.h"
#include "models/testing/tiny_bert.h"

namespace localai::models {
namespace {

using ::testing::EndsWith;
using ::testing::FloatNear;
using testing::generate;
using testing::make_bert;
using testing::tiny_bert;
using testing::TinyConfig;
using testing::TinyModel;
using testing::TinyTensor;

using Tokens = std::vector<int32_t>;
const Tokens kTokens = {1, 5, 9, 2, 7, 3, 8, 4};

std::vector<float> embed(const Encoder& encoder, const std::vector<Tokens>& texts,
                         uint32_t threads = 1) {
  ThreadPool pool(threads);
  const auto workspace = encoder.make_workspace();
  std::vector<float> out(texts.size() * encoder.info().hidden);
  const std::vector<std::span<const int32_t>> views(texts.begin(), texts.end());
  encoder.embed(views, *workspace, pool, out.data());
  size_t rows = 0;
  for (const Tokens& text : texts) rows += text.size();
  EXPECT_LE(workspace->bytes(), encoder.workspace_bytes(rows) + 4096);
  return out;
}

class EncoderTest : public ::testing::Test {
 protected:
  static Result<std::unique_ptr<Encoder>> load(const std::filesystem::path& path,
                                               const ModelOptions& options = {}) {
    LAI_TRY(formats::Checkpoint opened, formats::Checkpoint::open(path));
    return Encoder::load(std::make_shared<const formats::Checkpoint>(std::move(opened)), options);
  }
  Result<std::unique_ptr<Encoder>> load_gguf(const TinyModel& model,
                                             const std::map<std::string, DType>& dtypes = {},
                                             const ModelOptions& options = {}) {
    LAI_TRY_STATUS(model.write_gguf(directory_.path() / "tiny.gguf", dtypes));
    return load(directory_.path() / "tiny.gguf", options);
  }
  Result<std::unique_ptr<Encoder>> load_directory(const TinyModel& model) {
    LAI_TRY_STATUS(model.write_safetensors(directory_.path()));
    return load(directory_.path());
  }
  void write(const std::string& name, const std::string& text) const {
    const auto path = directory_.path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  void write_pooling(const std::string& config) const { write("1_Pooling/config.json", config); }

  testing::TemporaryDirectory directory_;
};

TEST_F(EncoderTest, AgreesWithTheReferenceFromBothFormats) {
  const TinyModel model = make_bert(tiny_bert());
  const auto gguf = directory_.path() / "tiny.gguf";
  ASSERT_TRUE(model.write_gguf(gguf).ok());
  ASSERT_TRUE(model.write_safetensors(directory_.path()).ok());
  std::vector<float> first;
  for (const auto& path : {gguf, directory_.path()})
    for (const kernels::KernelSet* set : kernels::kernel_sets()) {
      if ((set->needs & ~cpu_features()) != 0) continue;
      const auto encoder = load(path, {.precision = Precision::kExact, .kernels = set});
      ASSERT_TRUE(encoder.ok()) << encoder.error().message;
      EXPECT_EQ((*encoder)->info().context_length, 16u);
      const std::vector<float> vector = embed(**encoder, {kTokens});
      ASSERT_EQ(vector.size(), 32u);
      EXPECT_THAT(std::vector<float>(vector.begin(), vector.begin() + 4),
                  ::testing::Pointwise(FloatNear(1e-6f),
                                       {-.433884222f, -.357673491f, .045386001f, -.142582144f}));
      EXPECT_NEAR(std::accumulate(vector.begin(), vector.end(), 0.0), -.129643874, 1e-5);
      if (first.empty()) first = vector;
      EXPECT_TRUE(vector == first) << set->name;  // bit by bit
    }
}

TEST_F(EncoderTest, AVectorDoesNotDependOnCompanyOrThreads) {
  TinyConfig config = tiny_bert();
  config.context = 600;  // three attention chunks
  const std::map<std::string, DType> types = {{"attn_q.weight", DType::kQ8_0},
                                              {"attn_output.weight", DType::kQ4_0},
                                              {"ffn_up.weight", DType::kQ8_0}};
  for (const Precision precision : {Precision::kExact, Precision::kFast}) {
    const auto encoder = load_gguf(make_bert(config), types, {.precision = precision});
    ASSERT_TRUE(encoder.ok()) << encoder.error().message;
    std::vector<Tokens> texts;
    for (const size_t length : {1u, 600u, 37u, 257u, 8u}) {
      Tokens& text = texts.emplace_back(length);
      for (size_t i = 0; i < length; ++i)
        text[i] = static_cast<int32_t>((i * 7 + length) % config.vocab);
    }
    const std::vector<float> together = embed(**encoder, texts, 1);
    for (const uint32_t threads : {2u, 3u})
      EXPECT_TRUE(embed(**encoder, texts, threads) == together);
    for (size_t i = 0; i < texts.size(); ++i) {
      const std::vector<float> alone = embed(**encoder, {texts[i]}, 2);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + 32 * ptrdiff_t(i)));
      EXPECT_NEAR(std::inner_product(alone.begin(), alone.end(), alone.begin(), 0.0), 1.0, 1e-5);
    }
  }
}

TEST_F(EncoderTest, ReadsNamesWithAPrefixAndIgnoresThePooler) {
  TinyModel model = make_bert(tiny_bert());
  const auto plain = load_directory(model);
  ASSERT_TRUE(plain.ok()) << plain.error().message;
  for (TinyTensor& t : model.tensors()) t.name = "bert." + t.name;
  model.tensors().push_back(generate(model.config(), "bert.pooler.dense.weight", {32, 32}));
  const auto prefixed = load_directory(model);
  ASSERT_TRUE(prefixed.ok()) << prefixed.error().message;
  EXPECT_TRUE(embed(**prefixed, {kTokens}) == embed(**plain, {kTokens}));
}

TEST_F(EncoderTest, ReadsTheOldNamesOfLayerNorm) {
  TinyModel model = make_bert(tiny_bert());
  const auto now = load_directory(model);
  ASSERT_TRUE(now.ok()) << now.error().message;
  const std::vector<float> expected = embed(**now, {kTokens});
  const auto rename = [](TinyTensor& t, const std::string& from, const std::string& to) {
    if (t.name.ends_with(from)) t.name.replace(t.name.size() - from.size(), from.size(), to);
  };
  for (TinyTensor& t : model.tensors()) {
    rename(t, "LayerNorm.weight", "LayerNorm.gamma");
    rename(t, "LayerNorm.bias", "LayerNorm.beta");
    t.name = "bert." + t.name;
  }
  const auto then = load_directory(model);
  ASSERT_TRUE(then.ok()) << then.error().message;
  EXPECT_TRUE(embed(**then, {kTokens}) == expected);
}

TEST_F(EncoderTest, ObeysTheModulesOfSentenceTransformers) {
  const TinyModel model = make_bert(tiny_bert());
  const auto message = [&] { return load_directory(model).error().message; };
  const auto modules = [&](const std::string& rest) {
    write("modules.json", R"([{"idx": 0, "path": "", "type": "sentence_transformers.models.)"
                          R"(Transformer"})" +
                              rest + "]");
  };
  write("pool/config.json", R"({"pooling_mode_cls_token": true})");
  modules(R"(, {"path": "pool", "type": "sentence_transformers.models.Pooling"},
             {"path": "n", "type": "sentence_transformers.models.Normalize"})");
  const auto loaded = load_directory(model);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ((*loaded)->pooling(), Pooling::kFirstToken);
  modules(R"(, {"path": "pool", "type": "x.Pooling"}, {"path": "2", "type": "x.Dense"})");
  EXPECT_THAT(message(), EndsWith("modules.json: module 'Dense' is not supported (Transformer, "
                                  "Pooling and Normalize are)"));
  modules("");
  EXPECT_THAT(message(), EndsWith("modules.json: has no Pooling module"));
  for (const char* outside : {"../pool", "/etc"}) {
    modules(R"(, {"type": "x.Pooling", "path": ")" + std::string(outside) + "\"}");
    EXPECT_THAT(message(), EndsWith("' is not a folder beside it"));
  }
  for (const char* nonsense : {"{}", "[1]", "[{\"type\": 1}]", "["}) {
    write("modules.json", nonsense);
    EXPECT_FALSE(load_directory(model).ok()) << nonsense;
  }
}

TEST_F(EncoderTest, TakesTextsAsLongAsSentenceTransformersDoes) {
  const TinyModel model = make_bert(tiny_bert());
  const auto longest = [&](const std::string& config) -> uint32_t {
    write("sentence_bert_config.json", config);
    const auto loaded = load_directory(model);
    return loaded.ok() ? (*loaded)->info().context_length : 0;
  };
  EXPECT_EQ(longest(R"({"max_seq_length": 5, "do_lower_case": false})"), 5u);
  EXPECT_EQ(longest(R"({"max_seq_length": 512})"), 16u);
  EXPECT_EQ(longest(R"({"max_seq_length": null})"), 16u);
  EXPECT_EQ(longest("{}"), 16u);
  for (const char* nonsense : {R"({"max_seq_length": 0})", R"({"max_seq_length": -1})",
                               R"({"max_seq_length": "5"})", R"({"max_seq_length": 5.5})"})
    EXPECT_EQ(longest(nonsense), 0u) << nonsense;
}

TEST_F(EncoderTest, TakesThePoolingOfItsFiles) {
  TinyConfig config = tiny_bert();
  const auto gguf_of = [&](uint32_t type) {
    config.metadata = [=](formats::testing::GgufBuilder& builder) {
      builder.add("bert.attention.layer_norm_epsilon", 1e-12f).add("bert.pooling_type", type);
    };
    return load_gguf(make_bert(config));
  };
  const auto mean = gguf_of(1), first = gguf_of(2);
  ASSERT_TRUE(mean.ok() && first.ok());
  EXPECT_EQ((*first)->pooling(), Pooling::kFirstToken);
  const auto mean_vector = embed(**mean, {kTokens}), first_vector = embed(**first, {kTokens});
  EXPECT_TRUE(mean_vector != first_vector);
  EXPECT_TRUE(embed(**mean, {{7}}) == embed(**first, {{7}}));  // of one token both are the same
  EXPECT_THAT(gguf_of(4).error().message,
              EndsWith("key 'bert.pooling_type': 4 is not supported (1, mean, and 2, cls, are)"));

  for (const char* cls : {R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})",
                          R"({"pooling_mode": "cls", "word_embedding_dimension": 32})"}) {
    write_pooling(cls);
    const auto loaded = load_directory(make_bert(tiny_bert()));
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    EXPECT_TRUE(embed(**loaded, {kTokens}) == first_vector);
  }
  write_pooling(R"({"pooling_mode_mean_tokens": true})");
  EXPECT_EQ((*load_directory(make_bert(tiny_bert())))->pooling(), Pooling::kMean);
  write_pooling(R"({"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true})");
  EXPECT_THAT(
      load_directory(make_bert(tiny_bert())).error().message,
      EndsWith("config.json: pooling 'mean_tokens+max_tokens' is not supported (mean and cls "
               "are)"));
  write_pooling("[1]");
  EXPECT_THAT(load_directory(make_bert(tiny_bert())).error().message,
              EndsWith("config.json: expected an object"));
  write_pooling(R"({"pooling_mode": 7})");
  EXPECT_FALSE(load_directory(make_bert(tiny_bert())).ok());
}

TEST_F(EncoderTest, RefusesWhatIsNoPlainEncoder) {
  ASSERT_TRUE(TinyModel(testing::tiny_llama()).write_gguf(directory_.path() / "llama.gguf").ok());
  EXPECT_THAT(load(directory_.path() / "llama.gguf").error().message,
              EndsWith("llama.gguf: architecture 'llama' generates text; it makes no embeddings"));

  ASSERT_TRUE(make_bert(tiny_bert()).write_gguf(directory_.path() / "bert.gguf").ok());
  auto opened = formats::Checkpoint::open(directory_.path() / "bert.gguf");
  ASSERT_TRUE(opened.ok());
  EXPECT_TRUE(Encoder::handles(*opened));
  const auto decoder =
      Model::load(std::make_shared<const formats::Checkpoint>(std::move(*opened)), {});
  ASSERT_FALSE(decoder.ok());
  EXPECT_EQ(decoder.error().code, Code::kInvalidArgument);
  EXPECT_THAT(
      decoder.error().message,
      EndsWith("bert.gguf: architecture 'bert' makes embeddings; it does not generate text"));

  const auto message_of = [&](const char* key, const Json& value) {
    TinyConfig config = tiny_bert();
    config.config[key] = value;
    return load_directory(make_bert(config)).error().message;
  };
  EXPECT_THAT(message_of("hidden_act", "gelu_new"),
              EndsWith("key 'hidden_act': 'gelu_new' is not supported (gelu is)"));
  EXPECT_THAT(message_of("is_decoder", true),
              EndsWith("key 'is_decoder': a causal BERT is not supported"));
  EXPECT_THAT(message_of("position_embedding_type", "relative_key"),
              EndsWith("'relative_key' is not supported (absolute is)"));
  EXPECT_THAT(message_of("max_position_embeddings", 17),
              EndsWith("tensor 'embeddings.position_embeddings.weight': shape [16, 32], but the "
                       "hyperparameters say [17, 32]"));
}

}  // namespace
}  // namespace localai::models
