// Tiny models with generated weights against logits computed in float64 with numpy (and checked
// against a llama.cpp build), from both formats, with every kernel set this CPU runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/cpu.h"
#include "models/testing/run_model.h"
#include "models/testing/temporary.h"
#include "models/testing/tiny_model.h"

namespace localai::models {
namespace {

using testing::run_alone;
using testing::TinyConfig;
using testing::TinyModel;

const std::vector<int32_t> kTokens = {1, 5, 9, 2, 7, 3, 8, 4};

struct Golden {
  TinyConfig config;
  std::array<double, 4> last;  // logits of the last position
  size_t argmax;
  double last_sum, sum, square_sum;  // of the last position; of all positions
};

void PrintTo(const Golden& golden, std::ostream* out) { *out << golden.config.prefix; }

TinyConfig tiny_gemma2_qpas24() {  // another attention scale than the head size's
  TinyConfig c = testing::tiny_gemma2();
  c.prefix = "t-gemma2-qpas24";
  c.config["query_pre_attn_scalar"] = 24;
  return c;
}

TinyConfig mistral_like_llama() {
  TinyConfig c = testing::tiny_llama();
  c.architecture = "mistral";
  c.config["sliding_window"] = nullptr;
  return c;
}

// Some exist only as safetensors: their GGUF files bear another architecture's name, or GGUF has
// no key for what sets them apart.
bool has_gguf(const TinyConfig& c) {
  return c.architecture != "mistral" && c.architecture != "vaultgemma" &&
         c.prefix != "t-gemma2-qpas24";
}

std::vector<Golden> goldens() {
  return {
      {testing::tiny_llama(),
       {-2.423287755, 1.189667415, 2.985109127, -1.342709492},
       29,
       55.116972244,
       136.96957148,
       4281.4000584},
      {testing::tiny_llama_untied(),
       {.101700589, -1.587712035, .414534888, -.950017937},
       33,
       -7.477844933,
       -70.3467746,
       382.5302073},
      {testing::tiny_gemma3(),
       {.171669392, 1.681105218, 1.33902289, -5.270023807},
       4,
       27.418202339,
       57.06106705,
       5201.6713276},
      {testing::tiny_qwen2(),
       {4.622278882, -2.860165489, 1.649592785, .288758661},
       28,
       20.141985951,
       99.99383647,
       2834.47097},
      {testing::tiny_qwen3(),
       {4.958892564, 5.525251764, 5.057078211, -2.878268218},
       4,
       19.935809412,
       53.30617924,
       4413.7331417},
      {testing::tiny_gemma(),
       {-6.688742678, 1.968354917, -3.056623387, -.949504474},
       4,
       -30.059158837,
       49.62968162,
       4682.6535438},
      {testing::tiny_gemma2(),
       {.025717389, 2.335699836, -.442623816, 1.240950226},
       4,
       22.858746715,
       100.9339618,
       5071.6978038},
      {tiny_gemma2_qpas24(),
       {1.084142447, 4.156130648, -.164078769, -1.437244506},
       4,
       26.485204242,
       118.7351899,
       4751.8642563},
      {testing::tiny_vaultgemma(),
       {-.952520272, -.341252644, 4.513317522, 2.474975791},
       4,
       -4.733603964,
       90.99426187,
       4762.5606926},
      {testing::tiny_granite(),
       {-.804658559, -.143754651, -.296476732, .15997838},
       4,
       .812887605,
       1.3034923,
       99.9112572},
      {testing::tiny_phi3(4),  // shorter than the prompt: the long factors
       {.368715596, .872969504, .242015465, .84789494},
       11,
       11.57626854,
       45.82884752,
       348.6340376},
      {testing::tiny_granite_hybrid(),
       {.115302561, .080743759, -.518293894, -.064237206},
       4,
       5.860353374,
       23.80522049,
       96.1139406},
      {testing::tiny_granite_hybrid_groups(),
       {1.038071802, .195777277, .194404327, .249884253},
       4,
       4.208008516,
       15.30435641,
       93.9320972},
      {testing::tiny_granite_hybrid_moe(),
       {-.679676234, -.424459731, -.37992026, .114842272},
       4,
       3.062339471,
       12.18402133,
       86.5448498},
      {mistral_like_llama(),
       {-2.423287755, 1.189667415, 2.985109127, -1.342709492},
       29,
       55.116972244,
       136.96957148,
       4281.4000584},
  };
}

class GoldenTest : public ::testing::TestWithParam<Golden> {
 protected:
  void expect_golden(const std::filesystem::path& path) {
    auto opened = formats::Checkpoint::open(path);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    const auto checkpoint = std::make_shared<const formats::Checkpoint>(std::move(*opened));
    for (const kernels::KernelSet* set : kernels::kernel_sets()) {
      if ((set->needs & ~cpu_features()) != 0) continue;
      SCOPED_TRACE(std::string(set->name));
      auto model = Model::load(checkpoint, {.precision = Precision::kExact, .kernels = set});
      ASSERT_TRUE(model.ok()) << model.error().message;
      compare(run_alone(**model, kTokens));
    }
  }

  // 1e-5 a logit; the sums may be off by as much as 40 (320) such errors add up to.
  static void compare(const std::vector<float>& logits) {
    const Golden& golden = GetParam();
    const size_t vocab = golden.config.vocab;
    ASSERT_EQ(logits.size(), kTokens.size() * vocab);
    const std::vector<float> last(logits.end() - static_cast<ptrdiff_t>(vocab), logits.end());
    for (size_t i = 0; i < golden.last.size(); ++i) EXPECT_NEAR(last[i], golden.last[i], 1e-5) << i;
    EXPECT_EQ(static_cast<size_t>(std::max_element(last.begin(), last.end()) - last.begin()),
              golden.argmax);
    double last_sum = 0, sum = 0, square_sum = 0;
    for (const float x : last) last_sum += x;
    for (const float x : logits) {
      sum += x;
      square_sum += static_cast<double>(x) * x;
    }
    EXPECT_NEAR(last_sum, golden.last_sum, 1e-4);
    EXPECT_NEAR(sum, golden.sum, 1e-3);
    EXPECT_NEAR(square_sum, golden.square_sum, 2e-2);
  }

  testing::TemporaryDirectory directory_;
};

class SafetensorsGoldenTest : public GoldenTest {};
TEST_P(SafetensorsGoldenTest, Agrees) {
  ASSERT_TRUE(TinyModel(GetParam().config).write_safetensors(directory_.path()).ok());
  expect_golden(directory_.path());
}

class GgufGoldenTest : public GoldenTest {};
TEST_P(GgufGoldenTest, Agrees) {
  const auto path = directory_.path() / "tiny.gguf";
  ASSERT_TRUE(TinyModel(GetParam().config).write_gguf(path).ok());
  expect_golden(path);
}

std::vector<Golden> gguf_goldens() {
  std::vector<Golden> out = goldens();
  std::erase_if(out, [](const Golden& golden) { return !has_gguf(golden.config); });
  return out;
}

std::string test_name(const ::testing::TestParamInfo<Golden>& golden) {
  std::string name = golden.param.config.architecture + golden.param.config.prefix;
  std::erase(name, '-');
  return name;
}

INSTANTIATE_TEST_SUITE_P(AllArchitectures, SafetensorsGoldenTest, ::testing::ValuesIn(goldens()),
                         test_name);
INSTANTIATE_TEST_SUITE_P(AllArchitectures, GgufGoldenTest, ::testing::ValuesIn(gguf_goldens()),
                         test_name);

TEST(TinyModelGenerator, MatchesItsDescription) {
  EXPECT_EQ(testing::generated("a", 0), -0.25653815269470215);
  EXPECT_EQ(testing::generated("a", 1), 0.5077086687088013);
  EXPECT_EQ(testing::generated("a", 2), -0.36447346210479736);
}

// The first four logits of the last position, from both formats.
void expect_last_logits(const TinyConfig& config, const std::array<float, 4>& expected) {
  const testing::TemporaryDirectory directory;
  const auto gguf = directory.path() / "tiny.gguf";
  ASSERT_TRUE(TinyModel(config).write_gguf(gguf).ok());
  ASSERT_TRUE(TinyModel(config).write_safetensors(directory.path()).ok());
  for (const auto& path : {gguf, directory.path()}) {
    auto opened = formats::Checkpoint::open(path);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    auto model = Model::load(std::make_shared<const formats::Checkpoint>(std::move(*opened)),
                             {.precision = Precision::kExact});
    ASSERT_TRUE(model.ok()) << model.error().message;
    const std::vector<float> logits = run_alone(**model, kTokens);
    const std::vector<float> last(logits.end() - 40, logits.end() - 36);
    EXPECT_THAT(last, ::testing::Pointwise(::testing::FloatNear(1e-5f), expected));
  }
}

TEST(Gemma3, LinearRopeScalingAppliesToGlobalLayersOnly) {
  TinyConfig config = testing::tiny_gemma3();
  config.config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8.0}};
  config.metadata = [base = config.metadata](formats::testing::GgufBuilder& builder) {
    base(builder);
    builder.add("gemma3.rope.scaling.type", "linear").add("gemma3.rope.scaling.factor", 8.f);
  };
  expect_last_logits(config, {.2676532f, 1.9290679f, 1.4552642f, -5.7337463f});
}

TEST(Phi3, SequencesWithinTheOriginalContextGetTheShortFactors) {
  for (const uint32_t original_context : {8u, 64u})
    expect_last_logits(testing::tiny_phi3(original_context),
                       {.355639f, .9155406f, .2332461f, .8401698f});
}

}  // namespace
}  // namespace localai::models
