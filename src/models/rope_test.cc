#include "models/rope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace localai::models {
namespace {

TEST(Rope, FrequenciesFallFromOneToAlmostOneOverTheBase) {
  struct Row {
    double base;
    uint32_t d;
    double second, last;
  };
  for (const Row& row :
       {Row{1e4, 64, 0.749894209, 1.33352143e-4}, Row{1e4, 128, 0.865964323, 1.15478198e-4},
        Row{1e5, 64, 0.697830585, 1.43301257e-5}, Row{1e6, 256, 0.897687132, 1.11397386e-6}}) {
    const auto f = rope_frequencies({.base = row.base, .rotary = row.d}, {});
    ASSERT_EQ(f.size(), row.d / 2);
    EXPECT_EQ(f[0], 1.0);
    EXPECT_NEAR(f[1], row.second, 1e-9);
    EXPECT_NEAR(f.back() / row.last, 1.0, 1e-8);
  }
}

// Divisors of Llama 3.1 (d 128, factor 8) and 3.2 (d 64, factor 32), base 5e5, 8192 positions.
TEST(Rope, Llama3ScalingStretchesLongWavelengthsOnly) {
  struct Row {
    uint32_t d;
    double factor;
    size_t pair;
    double divisor;
  };
  for (const Row& row :
       {Row{128, 8, 28, 1}, Row{128, 8, 29, 1.207484}, Row{128, 8, 30, 1.553415},
        Row{128, 8, 32, 2.69453}, Row{128, 8, 34, 5.257327}, Row{128, 8, 35, 8}, Row{128, 8, 63, 8},
        Row{64, 32, 14, 1}, Row{64, 32, 15, 1.651329}, Row{64, 32, 16, 3.292262},
        Row{64, 32, 17, 9.666729}, Row{64, 32, 18, 32}}) {
    RopeParameters p{.base = 5e5, .rotary = row.d};
    const auto plain = rope_frequencies(p, {});
    p.scaling = RopeScaling::kLlama3;
    p.factor = row.factor;
    const auto scaled = rope_frequencies(p, {});
    EXPECT_NEAR(plain[row.pair] / scaled[row.pair], row.divisor, 1e-5) << row.pair;
  }
}

// Phi-3.5 at position 5000: published short factors of pairs 1 and 47.
TEST(Rope, LongRopeDividesFrequenciesAndScalesTheRotation) {
  const RopeParameters p{.base = 1e4, .rotary = 96};
  std::vector<float> divisors(48, 1.f), cos(48), sin(48);
  divisors[1] = 1.0199999809265137f;
  divisors[47] = 2.8399994373321533f;
  const auto f = rope_frequencies(p, divisors);
  EXPECT_NEAR(f[1], .8092198046, 1e-9);
  EXPECT_NEAR(f[47], 4.265943305e-5, 1e-13);
  rope_angles(f, 5000, 1.190238071, cos.data(), sin.data());
  EXPECT_NEAR(cos[0], .1840922, 1e-6);
  EXPECT_NEAR(cos[1], 1.1463789, 1e-5);
  EXPECT_NEAR(sin[1], -.3201284, 1e-5);
  EXPECT_NEAR(cos[47], 1.1632652, 1e-6);
  EXPECT_NEAR(sin[47], .2519537, 1e-6);
}

TEST(Rope, DivisorsReplaceScaling) {
  RopeParameters p{.base = 1e4, .rotary = 4, .scaling = RopeScaling::kLinear, .factor = 10.0};
  const std::vector<float> divisors = {1.f, 4.f};
  const auto f = rope_frequencies(p, divisors);
  EXPECT_EQ(f[0], 1.0);
  EXPECT_NEAR(f[1], 0.01 / 4, 1e-12);
}

TEST(Rope, AnglesKeepTheirAccuracyFarOut) {
  const auto f = rope_frequencies({.base = 1e4, .rotary = 64}, {});
  std::vector<float> cos(f.size()), sin(f.size());
  rope_angles(f, 131071, 1.0, cos.data(), sin.data());
  EXPECT_FLOAT_EQ(cos[0], static_cast<float>(std::cos(131071.0)));
  EXPECT_FLOAT_EQ(sin[1], static_cast<float>(std::sin(131071.0 * f[1])));
}

}  // namespace
}  // namespace localai::models
