// Q3_K: levels -4..3 found by coordinate descent. Byte-exact with ggml's reference quantizer.
#include <cstring>

#include "tensor/quantize_k.h"

namespace localai {
namespace {

constexpr size_t kGroup = 16, kGroups = 16;
constexpr int kHalf = 4;  // levels are -4..3
constexpr int kPasses = 5;

// sum w x q and sum w q^2 with w = x^2: the best scale is their quotient.
struct Sums {
  float xq = 0, q2 = 0;
};

Sums first_levels(const float* x, float inverse_scale, int8_t* q) {
  Sums sums;
  for (size_t i = 0; i < kGroup; ++i) {
    q[i] = static_cast<int8_t>(round_clamped(inverse_scale * x[i], -kHalf, kHalf - 1));
    const float level = q[i], w = x[i] * x[i];
    sums.xq += w * x[i] * level;
    sums.q2 += w * level * level;
  }
  return sums;
}

// Moves one level to where the others want it, if that makes the fit better.
bool improve(float x, int8_t& q, Sums& sums) {
  const float w = x * x, level = q;
  Sums other = {sums.xq - w * x * level, sums.q2 - w * level * level};
  if (!(other.xq > 0)) return false;
  const int moved = round_clamped(x * other.q2 / other.xq, -kHalf, kHalf - 1);
  if (moved == q) return false;
  const auto to = static_cast<float>(moved);
  other.xq += w * x * to;
  other.q2 += w * to * to;
  if (!(other.q2 > 0) || !(other.xq * other.xq * sums.q2 > sums.xq * sums.xq * other.q2))
    return false;
  q = static_cast<int8_t>(moved);
  sums = other;
  return true;
}

// x ~ scale * q; q[i] + 4 into levels. Returns the scale.
float fit(const float* x, uint8_t* levels) {
  const float largest = largest_signed(x, kGroup);
  if (std::fabs(largest) < kGroupMaxEpsilon) {
    std::memset(levels, 0, kGroup);
    return 0;
  }
  int8_t q[kGroup];
  Sums sums = first_levels(x, -static_cast<float>(kHalf) / largest, q);
  for (int pass = 0; pass < kPasses; ++pass) {
    bool changed = false;
    for (size_t i = 0; i < kGroup; ++i) changed |= improve(x[i], q[i], sums);
    if (!changed) break;
  }
  for (size_t i = 0; i < kGroup; ++i) levels[i] = static_cast<uint8_t>(q[i] + kHalf);
  return sums.q2 > 0 ? sums.xq / sums.q2 : 0.f;
}

void pack_scale(BlockQ3_K& b, size_t k, int scale) {
  const int code = scale + 32;
  uint8_t &low = b.scales[k % 8], &high = b.scales[8 + k % 4];
  low = static_cast<uint8_t>(low | ((code & 15) << (k < 8 ? 0 : 4)));
  high = static_cast<uint8_t>(high | ((code >> 4) << (2 * (k / 4))));
}

}  // namespace

void encode(const float* x, BlockQ3_K& b) {
  uint8_t levels[256];
  float scales[kGroups];
  for (size_t k = 0; k < kGroups; ++k) scales[k] = fit(x + kGroup * k, levels + kGroup * k);
  std::memset(&b, 0, sizeof b);
  const float largest = largest_signed(scales, kGroups);
  if (largest != 0) {
    const float inverse = -32.f / largest;
    b.d = f32_to_f16(1 / inverse);
    for (size_t k = 0; k < kGroups; ++k)
      pack_scale(b, k, round_clamped(inverse * scales[k], -32, 31));
  }
  for (size_t k = 0; k < kGroups; ++k) {  // again, with the scales as they were stored
    const float d = f16_to_f32(b.d) * static_cast<float>(unpack_scale(b, k));
    if (d == 0) continue;
    for (size_t i = kGroup * k; i < kGroup * (k + 1); ++i)
      levels[i] = static_cast<uint8_t>(round_clamped(x[i] / d, -kHalf, kHalf - 1) + kHalf);
  }
  pack_two_bits(levels, b.qs);
  for (size_t i = 0; i < 256; ++i)
    b.hmask[i % 32] = static_cast<uint8_t>(b.hmask[i % 32] | ((levels[i] >> 2) << (i / 32)));
}

}  // namespace localai
