// The types whose codes index a table of values: IQ4_NL, IQ4_XS, MXFP4. Byte-exact with ggml's
// quantizers without an importance matrix.
#include <cstring>

#include "tensor/quantize_k.h"

namespace localai {
namespace {

constexpr size_t kBlock = 32;

// The nearest entry of kIq4Values, the upper one on ties.
uint8_t nearest_iq4(float x) {
  if (!(x > static_cast<float>(kIq4Values[0]))) return 0;
  uint8_t upper = 1;
  while (upper < 15 && !(x < static_cast<float>(kIq4Values[upper]))) ++upper;
  const float below = x - static_cast<float>(kIq4Values[upper - 1]);
  const float above = static_cast<float>(kIq4Values[upper]) - x;
  return below < above ? static_cast<uint8_t>(upper - 1) : upper;
}

void levels_iq4(const float* x, float inverse_scale, uint8_t* q) {
  for (size_t i = 0; i < kBlock; ++i) q[i] = nearest_iq4(inverse_scale * x[i]);
}

// x ~ scale * kIq4Values[q] with weights x^2.
struct TableFit {
  float xq = 0, q2 = 0;
  [[nodiscard]] float scale() const { return xq / q2; }
};

TableFit fit_iq4(const float* x, float inverse_scale, uint8_t* q) {
  levels_iq4(x, inverse_scale, q);
  TableFit fit;
  for (size_t i = 0; i < kBlock; ++i) {
    const float value = kIq4Values[q[i]], w = x[i] * x[i];
    fit.xq += w * value * x[i];
    fit.q2 += w * value * value;
  }
  return fit;
}

// The best scale over 16 candidates: IQ4_XS.
float search_iq4(const float* x) {
  constexpr int kTries = 7;
  const float largest = largest_signed(x, kBlock);
  if (std::fabs(largest) < kGroupMaxEpsilon) return 0;
  const auto first = static_cast<float>(kIq4Values[0]);
  uint8_t q[kBlock];
  TableFit fit = fit_iq4(x, 1 / (-largest / first), q);
  float scale = fit.scale(), best = scale * fit.xq;
  for (int i = -kTries; i <= kTries; ++i) {
    fit = fit_iq4(x, (static_cast<float>(i) + first) / largest, q);
    if (!(fit.q2 > 0) || !(fit.xq * fit.xq > best * fit.q2)) continue;
    scale = fit.scale();
    best = scale * fit.xq;
  }
  return scale;
}

float inverse_or_zero(float d) { return d != 0 ? 1 / d : 0.f; }

// The first entry of kFp4Values nearest to x / d.
uint8_t nearest_fp4(float x, float d) {
  uint8_t best = 0;
  float best_error = std::fabs(static_cast<float>(kFp4Values[0]) * d - x);
  for (uint8_t i = 1; i < 16; ++i) {
    const float error = std::fabs(static_cast<float>(kFp4Values[i]) * d - x);
    if (!(error < best_error)) continue;
    best = i;
    best_error = error;
  }
  return best;
}

}  // namespace

void encode(const float* x, BlockIQ4_NL& b) {
  uint8_t q[kBlock] = {};
  const float largest = largest_signed(x, kBlock);
  float scale = 0;
  if (std::fabs(largest) >= kGroupMaxEpsilon)  // the reference tries this one scale only
    scale = fit_iq4(x, 1 / (largest / static_cast<float>(kIq4Values[0])), q).scale();
  b.d = f32_to_f16(scale);
  pack_nibbles(q, b.qs);
}

void encode(const float* x, BlockIQ4_XS& b) {
  float scales[8];
  for (size_t k = 0; k < 8; ++k) scales[k] = search_iq4(x + kBlock * k);
  std::memset(&b, 0, sizeof b);
  const float d = -largest_signed(scales, 8) / 32;
  b.d = f32_to_f16(d);
  for (size_t k = 0; k < 8; ++k) {
    const int scale = round_clamped(inverse_or_zero(d) * scales[k], -32, 31), code = scale + 32;
    b.scales_l[k / 2] = static_cast<uint8_t>(b.scales_l[k / 2] | ((code & 15) << (4 * (k & 1))));
    b.scales_h = static_cast<uint16_t>(b.scales_h | ((code >> 4) << (2 * k)));
    uint8_t q[kBlock];
    levels_iq4(x + kBlock * k, inverse_or_zero(d * static_cast<float>(scale)), q);
    pack_nibbles(q, b.qs + 16 * k);
  }
}

void encode(const float* x, BlockMXFP4& b) {
  const float largest = std::fabs(largest_signed(x, kBlock));
  // The largest value of E2M1 is 6 = 1.5 * 2^2; round_clamped only clamps here.
  const float exponent = largest > 0 ? std::floor(std::log2(largest)) - 2.f + 127.f : 0.f;
  b.e = static_cast<uint8_t>(round_clamped(exponent, 0, 254));
  const float d = e8m0_half_to_f32(b.e);
  uint8_t q[kBlock];
  for (size_t i = 0; i < kBlock; ++i) q[i] = nearest_fp4(x[i], d);
  pack_nibbles(q, b.qs);
}

}  // namespace localai
