// Q2_K, Q4_K, Q5_K, Q6_K. All arithmetic is f32 in a fixed order: the bytes equal those of ggml's
// reference quantizers without an importance matrix (checked by CRC in the tests).
#include "tensor/quantize_k.h"

#include <cstring>

namespace localai {
namespace {

struct AffineFit {
  float scale = 0;
  float min = 0;  // to be subtracted: x ~ scale * q - min, min >= 0
};

struct AffineSearch {
  size_t count;  // elements of a sub-block
  int q_max;
  float first;  // the inverse scales tried are (first + step * s + q_max) / (max - min)
  float step;
  int steps;
  bool absolute;  // the error is |x|, not x^2
};

constexpr size_t kSubBlockMax = 32;

struct WeightedSums {
  float q = 0, q2 = 0, xq = 0;
};

// Quantizes x with (inverse_scale, min) into q and sums what the least-squares fit needs.
WeightedSums quantize_affine(const float* x, const float* weights, float inverse_scale, float min,
                             const AffineSearch& search, uint8_t* q) {
  WeightedSums sums;
  for (size_t i = 0; i < search.count; ++i) {
    const int level = round_clamped(inverse_scale * (x[i] - min), 0, search.q_max);
    q[i] = static_cast<uint8_t>(level);
    const float l = static_cast<float>(level), w = weights[i];
    sums.q += w * l;
    sums.q2 += w * l * l;
    sums.xq += w * l * x[i];
  }
  return sums;
}

float affine_error(const float* x, const float* weights, const uint8_t* q, float scale, float min,
                   const AffineSearch& search) {
  float error = 0;
  for (size_t i = 0; i < search.count; ++i) {
    const float difference = scale * static_cast<float>(q[i]) + min - x[i];
    error += weights[i] * (search.absolute ? std::fabs(difference) : difference * difference);
  }
  return error;
}

// Weighted least squares over a row of candidate scales; keeps the first best.
AffineFit fit_affine(const float* x, const float* weights, const AffineSearch& search, uint8_t* q) {
  float min = x[0], max = x[0], sum_w = weights[0], sum_x = weights[0] * x[0];
  for (size_t i = 1; i < search.count; ++i) {
    min = std::min(min, x[i]);
    max = std::max(max, x[i]);
    sum_w += weights[i];
    sum_x += weights[i] * x[i];
  }
  if (min > 0) min = 0;
  if (max == min) {
    std::memset(q, 0, search.count);
    return {0, -min};
  }
  const auto q_max = static_cast<float>(search.q_max);
  float inverse = q_max / (max - min);
  float scale = 1 / inverse;
  quantize_affine(x, weights, inverse, min, search, q);
  float best_error = affine_error(x, weights, q, scale, min, search);
  for (int s = 0; s <= search.steps; ++s) {
    inverse = (search.first + search.step * static_cast<float>(s) + q_max) / (max - min);
    uint8_t trial[kSubBlockMax];
    const WeightedSums sums = quantize_affine(x, weights, inverse, min, search, trial);
    const float determinant = sum_w * sums.q2 - sums.q * sums.q;
    if (!(determinant > 0)) continue;
    float trial_scale = (sum_w * sums.xq - sum_x * sums.q) / determinant;
    float trial_min = (sums.q2 * sum_x - sums.q * sums.xq) / determinant;
    if (trial_min > 0) {
      trial_min = 0;
      trial_scale = sums.xq / sums.q2;
    }
    const float error = affine_error(x, weights, trial, trial_scale, trial_min, search);
    if (!(error < best_error)) continue;
    std::memcpy(q, trial, search.count);
    best_error = error;
    scale = trial_scale;
    min = trial_min;
  }
  return {scale, -min};
}

void pack_scale_min(uint8_t scales[12], size_t k, uint8_t scale, uint8_t min) {
  if (k < 4) {
    scales[k] = scale;
    scales[k + 4] = min;
    return;
  }
  scales[k + 4] = static_cast<uint8_t>((scale & 15) | ((min & 15) << 4));
  scales[k - 4] = static_cast<uint8_t>(scales[k - 4] | ((scale >> 4) << 6));
  scales[k] = static_cast<uint8_t>(scales[k] | ((min >> 4) << 6));
}

constexpr size_t kSubBlock = 32;  // of Q4_K and Q5_K

// What Q4_K and Q5_K share: scales and minima into the block, levels 0..q_max into q[256].
template <class Block>
void encode_affine(const float* x, const AffineSearch& search, Block& b, uint8_t* q) {
  AffineFit fits[8];
  float scale_max = 0, min_max = 0;
  for (size_t k = 0; k < 8; ++k) {
    const float* sub = x + kSubBlock * k;
    float sum_squares = 0, weights[kSubBlock];
    for (size_t i = 0; i < kSubBlock; ++i) sum_squares += sub[i] * sub[i];
    const float rms = std::sqrt(sum_squares / static_cast<float>(kSubBlock));
    for (size_t i = 0; i < kSubBlock; ++i) weights[i] = rms + std::fabs(sub[i]);
    fits[k] = fit_affine(sub, weights, search, q + kSubBlock * k);
    scale_max = std::max(scale_max, fits[k].scale);
    min_max = std::max(min_max, fits[k].min);
  }
  const float inverse_scale = scale_max > 0 ? 63.f / scale_max : 0.f;
  const float inverse_min = min_max > 0 ? 63.f / min_max : 0.f;
  b.d = f32_to_f16(scale_max / 63.f);
  b.dmin = f32_to_f16(min_max / 63.f);
  for (size_t k = 0; k < 8; ++k)
    pack_scale_min(b.scales, k,
                   static_cast<uint8_t>(round_clamped(inverse_scale * fits[k].scale, 0, 63)),
                   static_cast<uint8_t>(round_clamped(inverse_min * fits[k].min, 0, 63)));
  for (size_t k = 0; k < 8; ++k) {  // again, with the scales as they were stored
    const ScaleMin s = unpack_scale_min(b.scales, k);
    const float d = f16_to_f32(b.d) * static_cast<float>(s.scale);
    if (d == 0) continue;
    const float m = f16_to_f32(b.dmin) * static_cast<float>(s.min);
    for (size_t i = kSubBlock * k; i < kSubBlock * (k + 1); ++i)
      q[i] = static_cast<uint8_t>(round_clamped((x[i] + m) / d, 0, search.q_max));
  }
}

struct SymmetricSums {
  float xq = 0, q2 = 0;
};

constexpr size_t kGroup = 16;  // of Q6_K
constexpr int kQ6Half = 32;    // levels are -32..31
constexpr size_t kQ6Groups = 16;

SymmetricSums quantize_symmetric(const float* x, float inverse_scale, int8_t* q) {
  SymmetricSums sums;
  for (size_t i = 0; i < kGroup; ++i) {
    const int level = round_clamped(inverse_scale * x[i], -kQ6Half, kQ6Half - 1);
    q[i] = static_cast<int8_t>(level);
    const float l = static_cast<float>(level), w = x[i] * x[i];
    sums.xq += w * x[i] * l;
    sums.q2 += w * l * l;
  }
  return sums;
}

// x ~ scale * q with weights x^2, over 19 candidate scales. Returns the scale.
float fit_symmetric(const float* x, int8_t* q) {
  const float largest = largest_signed(x, kGroup);
  if (std::fabs(largest) < kGroupMaxEpsilon) {
    std::memset(q, 0, kGroup);
    return 0;
  }
  SymmetricSums sums = quantize_symmetric(x, -static_cast<float>(kQ6Half) / largest, q);
  float scale = sums.q2 > 0 ? sums.xq / sums.q2 : 0.f;
  float best = scale * sums.xq;
  for (int s = -9; s <= 9; ++s) {
    if (s == 0) continue;
    int8_t trial[kGroup];
    const float inverse = -(static_cast<float>(kQ6Half) + 0.1f * static_cast<float>(s)) / largest;
    sums = quantize_symmetric(x, inverse, trial);
    if (!(sums.q2 > 0) || !(sums.xq * sums.xq > best * sums.q2)) continue;
    std::memcpy(q, trial, kGroup);
    scale = sums.xq / sums.q2;
    best = scale * sums.xq;
  }
  return scale;
}

}  // namespace

void encode(const float* x, BlockQ2_K& b) {
  constexpr AffineSearch kSearch{
      .count = 16, .q_max = 3, .first = -0.5f, .step = 0.1f, .steps = 15, .absolute = true};
  uint8_t q[256];
  AffineFit fits[16];
  float scale_max = 0, min_max = 0;
  for (size_t k = 0; k < 16; ++k) {
    float weights[16];
    for (size_t i = 0; i < 16; ++i) weights[i] = std::fabs(x[16 * k + i]);
    fits[k] = fit_affine(x + 16 * k, weights, kSearch, q + 16 * k);
    scale_max = std::max(scale_max, fits[k].scale);
    min_max = std::max(min_max, fits[k].min);
  }
  const float inverse_scale = scale_max > 0 ? 15.f / scale_max : 0.f;
  const float inverse_min = min_max > 0 ? 15.f / min_max : 0.f;
  std::memset(&b, 0, sizeof b);
  b.d = f32_to_f16(scale_max / 15.f);
  b.dmin = f32_to_f16(min_max / 15.f);
  for (size_t k = 0; k < 16; ++k) {
    const int scale = round_clamped(inverse_scale * fits[k].scale, 0, 15);
    const int min = round_clamped(inverse_min * fits[k].min, 0, 15);
    b.scales[k] = static_cast<uint8_t>(scale | (min << 4));
    const float d = f16_to_f32(b.d) * static_cast<float>(scale);
    if (d == 0) continue;
    const float m = f16_to_f32(b.dmin) * static_cast<float>(min);
    for (size_t i = 16 * k; i < 16 * (k + 1); ++i)  // again, with the scales as they are stored
      q[i] = static_cast<uint8_t>(round_clamped((x[i] + m) / d, 0, kSearch.q_max));
  }
  pack_two_bits(q, b.qs);
}

void encode(const float* x, BlockQ4_K& b) {
  uint8_t q[256];
  encode_affine(x,
                {.count = kSubBlock,
                 .q_max = 15,
                 .first = -1.f,
                 .step = 0.1f,
                 .steps = 20,
                 .absolute = false},
                b, q);
  for (size_t i = 0; i < 128; ++i) {
    const size_t at = 64 * (i / 32) + i % 32;
    b.qs[i] = static_cast<uint8_t>(q[at] | (q[at + 32] << 4));
  }
}

void encode(const float* x, BlockQ5_K& b) {
  uint8_t q[256];
  encode_affine(x,
                {.count = kSubBlock,
                 .q_max = 31,
                 .first = -0.5f,
                 .step = 0.1f,
                 .steps = 15,
                 .absolute = false},
                b, q);
  for (size_t i = 0; i < 128; ++i) {
    const size_t at = 64 * (i / 32) + i % 32;
    b.qs[i] = static_cast<uint8_t>((q[at] & 15) | ((q[at + 32] & 15) << 4));
  }
  std::memset(b.qh, 0, sizeof b.qh);
  for (size_t i = 0; i < 256; ++i)
    b.qh[i % 32] = static_cast<uint8_t>(b.qh[i % 32] | ((q[i] >> 4) << (i / 32)));
}

void encode(const float* x, BlockQ6_K& b) {
  int8_t q[256];
  float scales[kQ6Groups];
  for (size_t k = 0; k < kQ6Groups; ++k) scales[k] = fit_symmetric(x + kGroup * k, q + kGroup * k);
  const float largest = largest_signed(scales, kQ6Groups);
  std::memset(&b, 0, sizeof b);
  if (std::fabs(largest) < kGroupMaxEpsilon) return;
  const float inverse = -128.f / largest;
  b.d = f32_to_f16(1 / inverse);
  for (size_t k = 0; k < kQ6Groups; ++k) {
    b.scales[k] = static_cast<int8_t>(round_clamped(inverse * scales[k], -128, 127));
    const float d = f16_to_f32(b.d) * static_cast<float>(b.scales[k]);
    if (d == 0) continue;
    for (size_t i = kGroup * k; i < kGroup * (k + 1); ++i)
      q[i] = static_cast<int8_t>(round_clamped(x[i] / d, -kQ6Half, kQ6Half - 1));
  }
  for (size_t i = 0; i < 256; ++i) {
    const size_t n = i / 128, j = (i / 32) % 4, l = i % 32;
    const int level = q[i] + kQ6Half;
    uint8_t& low = b.ql[64 * n + 32 * (j & 1) + l];
    uint8_t& high = b.qh[32 * n + l];
    low = static_cast<uint8_t>(low | ((level & 15) << (4 * (j >> 1))));
    high = static_cast<uint8_t>(high | ((level >> 4) << (2 * j)));
  }
}

}  // namespace localai
