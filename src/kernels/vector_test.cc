// The vector kernels: every set against the scalar one bit for bit, the scalar one against f64.
#include <algorithm>
#include <cmath>

#include "kernels/kernels_test_data.h"

namespace localai::kernels::testing {
namespace {

using Vector = std::vector<float>;
using Op = Vector (*)(const KernelSet&, const Vector& a, const Vector& b);

struct NamedOp {
  const char* name;
  Op run;
};
const NamedOp kOps[] = {
    {"rms_norm",
     [](const KernelSet& s, const Vector& a, const Vector& b) {
       Vector out(a.size());
       s.rms_norm(a.data(), b.data(), 1e-6f, out.data(), a.size());
       return out;
     }},
    {"layer_norm",
     [](const KernelSet& s, const Vector& a, const Vector& b) {
       Vector out(a.size());
       s.layer_norm(a.data(), b.data(), a.data(), 1e-12f, out.data(), a.size());
       return out;
     }},
    {"gelu_erf",
     [](const KernelSet& s, const Vector& a, const Vector&) {
       Vector out(a);
       s.gelu_erf(out.data(), a.size());
       return out;
     }},
    {"silu_mul",
     [](const KernelSet& s, const Vector& a, const Vector& b) {
       Vector out(a);
       s.silu_mul(out.data(), b.data(), out.data(), a.size());
       return out;
     }},
    {"gelu_tanh_mul",
     [](const KernelSet& s, const Vector& a, const Vector& b) {
       Vector out(a);
       s.gelu_tanh_mul(out.data(), b.data(), out.data(), a.size());
       return out;
     }},
    {"add_scaled",
     [](const KernelSet& s, const Vector& a, const Vector& b) {
       Vector out(a);
       s.add_scaled(out.data(), b.data(), 0.37f, a.size());
       return out;
     }},
    {"scale",
     [](const KernelSet& s, const Vector& a, const Vector&) {
       Vector out(a);
       s.scale(out.data(), 0.37f, a.size());
       return out;
     }},
    {"softcap",
     [](const KernelSet& s, const Vector& a, const Vector&) {
       Vector out(a);
       s.softcap(out.data(), 30.f, a.size());
       return out;
     }},
    {"to_f16",
     [](const KernelSet& s, const Vector& a, const Vector&) {
       std::vector<uint16_t> half(a.size());
       s.to_f16(a.data(), half.data(), a.size());
       Vector out;
       for (const uint16_t h : half) out.push_back(f16_to_f32(h));
       return out;
     }},
};

void compare_ops(const Vector& a, const Vector& b) {
  for (const NamedOp& op : kOps) {
    const Vector want = op.run(scalar_set(), a, b);
    for (const KernelSet* set : wide_sets())
      expect_same_bits(want, op.run(*set, a, b),
                       std::string(set->name) + " " + op.name + " n=" + std::to_string(a.size()));
  }
}

TEST(VectorKernels, SetsGiveTheSameBitsForAnySize) {
  Random random(21);
  for (size_t n = 1; n <= 80; ++n) compare_ops(random.floats(n, -9.f, 9.f), random.floats(n));
}

TEST(VectorKernels, SetsGiveTheSameBitsOverTheWholeRange) {
  Random random(22);
  for (int round = 0; round < 200; ++round) {
    Vector a(64);
    for (float& x : a)
      x = __builtin_bit_cast(float,
                             random.below(UINT32_MAX));  // any exponent, NaN and infinity too
    compare_ops(a, random.floats(64));
  }
  compare_ops({0.f, -0.f, INFINITY, -INFINITY, NAN, 1e-42f, -1e-42f, 88.7f, 88.8f, -87.4f, -103.f,
               -104.5f, 65519.f, 65520.f, 0.625f, -0.625f, 3.4e38f},
              Vector(17, 1.f));
}

double ulps(float got, double want) {
  if (std::isinf(want) || std::abs(want) > 3.4028235e38) return std::isinf(got) ? 0 : 1e9;
  const double spacing =
      std::max(std::ldexp(1.0, -149), std::ldexp(1.0, std::ilogb(want == 0 ? 1e-45 : want) - 23));
  return std::abs(double{got} - want) / spacing;
}

// silu(x) / x = 1 / (1 + e^-x) and 30 tanh(x / 30) show the errors of exp and tanh.
TEST(VectorKernels, ExpAndTanhAreWithinAFewUlpOfF64) {
  double worst_silu = 0, worst_gelu = 0, worst_cap = 0;
  const Vector one(1, 1.f);
  for (float x = -80.f; x < 80.f; x += 0.00371f) {
    Vector silu(1, x), cap(1, x), gelu(1, x);
    scalar_set().silu_mul(silu.data(), one.data(), silu.data(), 1);
    scalar_set().softcap(cap.data(), 30.f, 1);
    const double d = double{x};
    worst_silu = std::max(worst_silu, ulps(silu[0], d / (1 + std::exp(-d))));
    worst_cap = std::max(worst_cap, ulps(cap[0], 30.0 * std::tanh(d / 30.0)));
    scalar_set().gelu_tanh_mul(gelu.data(), one.data(), gelu.data(), 1);
    const double u = std::sqrt(2 / M_PI) * (d + 0.044715 * d * d * d);
    // e^-2u magnifies the rounding of u: |2u| / 2^24 relative.
    const double want = d / (1 + std::exp(-2 * u));
    if (std::abs(want) > 1e-37)
      worst_gelu = std::max(worst_gelu, ulps(gelu[0], want) / (4 + 4 * std::abs(u)));
  }
  EXPECT_LT(worst_silu, 4.0);
  EXPECT_LT(worst_cap, 4.0);
  EXPECT_LT(worst_gelu, 1.0);
}

// The fit's 1.2e-7 and, for x << 0, the rounding of the exponent x^2 / 2.
// In units of 2^-24: 2 of the fit, 6 of the roundings near 0, and the exponent's own rounding,
// which grows with d^2 / 2.
TEST(VectorKernels, GeluIsCloseToF64) {
  double worst = 0;
  for (float x = -12.f; x < 12.f; x += 0.00171f) {
    Vector gelu(1, x);
    scalar_set().gelu_erf(gelu.data(), 1);
    const double d = double{x}, want = d / 2 * std::erfc(-d / std::sqrt(2.0));
    if (std::abs(want) > 1e-35)
      worst = std::max(worst, std::abs(gelu[0] - want) / std::abs(want) / (8 + d * d / 2));
  }
  EXPECT_LT(worst, std::ldexp(1.0, -24));
  Vector limits = {INFINITY, 50.f, -50.f, 0.f, NAN};
  scalar_set().gelu_erf(limits.data(), 5);
  EXPECT_EQ(limits[0], INFINITY);
  EXPECT_EQ(limits[1], 50.f);
  EXPECT_NEAR(limits[2], 0.f, 1e-40);
  EXPECT_EQ(limits[3], 0.f);
  EXPECT_TRUE(std::isnan(limits[4]));
}

TEST(VectorKernels, LayerNormIsCloseToF64) {
  Random random(26);
  for (const size_t n : {1, 15, 16, 17, 384}) {
    const Vector x = random.floats(n, 90.f, 110.f), w = random.floats(n), b = random.floats(n);
    double mean = 0, variance = 0;
    for (const float v : x) mean += v / static_cast<double>(n);
    for (const float v : x) variance += (v - mean) * (v - mean) / static_cast<double>(n);
    Vector out(n);
    scalar_set().layer_norm(x.data(), w.data(), b.data(), 1e-5f, out.data(), n);
    for (size_t i = 0; i < n; ++i)
      EXPECT_NEAR(out[i], (x[i] - mean) / std::sqrt(variance + 1e-5) * w[i] + b[i], 2e-5) << n;
  }
}

TEST(VectorKernels, HaveTheRightLimits) {
  Vector x = {INFINITY, -200.f, 200.f, -1e30f, NAN}, one(5, 1.f), out(5);
  scalar_set().silu_mul(x.data(), one.data(), out.data(), 5);
  EXPECT_EQ(out[0], INFINITY);
  EXPECT_EQ(out[1], 0.f);
  EXPECT_EQ(out[2], 200.f);
  EXPECT_EQ(out[3], 0.f);
  EXPECT_TRUE(std::isnan(out[4]));
  scalar_set().softcap(x.data(), 30.f, 5);
  EXPECT_EQ(x[0], 30.f);
  EXPECT_EQ(x[3], -30.f);
  EXPECT_TRUE(std::isnan(x[4]));
}

// From transformers 5 in float32.
TEST(VectorKernels, AgreeWithTheReference) {
  Vector x = {-3.f, -2.f, -1.f, .5f, 1.f, 2.f, 3.f}, one(7, 1.f), out(7);
  const Vector gelu = {-.003637392f, -.045402306f, -.158808009f, .345714010f,
                       .841191991f,  1.954597694f, 2.996362608f};
  const Vector silu = {-.142277620f, -.238405844f, -.268941421f, .311229666f,
                       .731058579f,  1.761594156f, 2.857722380f};
  scalar_set().gelu_tanh_mul(x.data(), one.data(), out.data(), 7);
  for (size_t i = 0; i < 7; ++i) EXPECT_NEAR(out[i], gelu[i], 3e-7f);
  const Vector gelu_erf = {-.004049694f, -.045500264f, -.158655254f, .345731231f,
                           .841344746f,  1.954499736f, 2.995950306f};
  out = x;
  scalar_set().gelu_erf(out.data(), 7);
  for (size_t i = 0; i < 7; ++i) EXPECT_NEAR(out[i], gelu_erf[i], 3e-7f);
  scalar_set().silu_mul(x.data(), one.data(), out.data(), 7);
  for (size_t i = 0; i < 7; ++i) EXPECT_NEAR(out[i], silu[i], 3e-7f);

  Vector caps = {10.f, 50.f, 100.f, -75.f};
  scalar_set().softcap(caps.data(), 50.f, 4);
  const Vector want = {9.86876601f, 38.0797078f, 48.2013790f, -45.2574127f};
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(caps[i], want[i], 5e-6f);

  const Vector v = {1.f, -2.f, 3.f, .5f}, w = {.1f, -.2f, .3f, 0.f};
  const Vector norm = {.0529812868f, .2119251473f, .4768315816f, 0.f};
  scalar_set().rms_norm(v.data(), w.data(), 1e-6f, out.data(), 4);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(out[i], norm[i], 1e-7f);
}

TEST(Rope, RotatesBothLayouts) {
  Random random(23);
  for (const size_t rotary : {2, 8, 16, 32, 48, 64, 128}) {
    const Vector head = random.floats(rotary + 3), cos = random.floats(rotary / 2),
                 sin = random.floats(rotary / 2);
    for (const bool interleaved : {false, true}) {
      Vector want = head;
      scalar_set().rope(want.data(), cos.data(), sin.data(), rotary, interleaved);
      for (size_t i = 0; i < rotary / 2; ++i) {
        const size_t a = interleaved ? 2 * i : i, b = interleaved ? 2 * i + 1 : i + rotary / 2;
        EXPECT_NEAR(want[a], double{head[a]} * cos[i] - double{head[b]} * sin[i], 3e-7);
        EXPECT_NEAR(want[b], double{head[b]} * cos[i] + double{head[a]} * sin[i], 3e-7);
      }
      for (size_t i = rotary; i < head.size(); ++i) EXPECT_EQ(want[i], head[i]);
      for (const KernelSet* set : wide_sets()) {
        Vector got = head;
        set->rope(got.data(), cos.data(), sin.data(), rotary, interleaved);
        expect_same_bits(want, got, std::string(set->name));
      }
    }
  }
}

TEST(QuantizeRow, RoundsToNearestEvenAndSumsTheCodes) {
  Random random(24);
  const Vector x = random.floats(96, -5.f, 5.f);
  const Activations a = make_activations(1, 96, x);
  for (size_t b = 0; b < 3; ++b) {
    float largest = 0;
    for (size_t i = 0; i < 32; ++i) largest = std::max(largest, std::abs(x[32 * b + i]));
    EXPECT_EQ(a.scale[b], largest / 127.f);
    for (size_t i = 0; i < 32; ++i)
      EXPECT_EQ(a.q[32 * b + i], std::nearbyint(x[32 * b + i] * (127.f / largest)));
    for (size_t h = 0; h < 2; ++h) {
      int sum = 0;
      for (size_t i = 0; i < 16; ++i) sum += a.q[32 * b + 16 * h + i];
      EXPECT_EQ(a.sum16[2 * b + h], sum);
    }
  }
}

TEST(QuantizeRow, SetsGiveTheSameBits) {
  Random random(25);
  for (int round = 0; round < 300; ++round) {
    Vector x(64);
    for (size_t i = 0; i < 64; ++i)
      x[i] = round % 3 == 0 ? __builtin_bit_cast(float, random.below(UINT32_MAX))
                            : std::ldexp(random.uniform(-1, 1), round - 150);
    if (round == 1) x.assign(64, 0.f);
    const Activations want = make_activations(1, 64, x);
    for (const KernelSet* set : wide_sets()) {
      const Activations got = make_activations(1, 64, x, *set);
      EXPECT_EQ(want.q, got.q) << set->name;
      EXPECT_EQ(want.sum16, got.sum16) << set->name;
      expect_same_bits(want.scale, got.scale, std::string(set->name));
    }
  }
}

TEST(QuantizeRow, KeepsNonFiniteValuesVisible) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    Vector x(32, 1.f);
    x[5] = bad;
    const Activations a = make_activations(1, 32, x);
    EXPECT_FALSE(std::isfinite(a.scale[0]));
    EXPECT_EQ(a.q, std::vector<int8_t>(32, 0));
  }
  const Activations tiny = make_activations(1, 32, Vector(32, 1e-40f));
  EXPECT_EQ(tiny.scale[0], 0.f);
}

}  // namespace
}  // namespace localai::kernels::testing
