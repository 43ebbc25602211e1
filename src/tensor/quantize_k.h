#pragma once
// Inside tensor/: the quantizers with a search, and what all quantizers share.
#include <algorithm>
#include <cmath>

#include "tensor/blocks.h"

namespace localai {

// Round half to even, then into [low, high]. A NaN becomes `low`.
inline int round_clamped(float value, int low, int high) {
  const float rounded = std::nearbyint(value);
  if (!(rounded > static_cast<float>(low))) return low;
  return rounded < static_cast<float>(high) ? static_cast<int>(rounded) : high;
}

// The element with the largest magnitude, the first on ties.
inline float largest_signed(const float* x, size_t count) {
  float largest = 0, largest_abs = 0;
  for (size_t i = 0; i < count; ++i)
    if (std::fabs(x[i]) > largest_abs) {
      largest_abs = std::fabs(x[i]);
      largest = x[i];
    }
  return largest;
}

// The four low bits of 32 levels: 0..15 low nibbles, 16..31 high.
inline void pack_nibbles(const uint8_t q[32], uint8_t qs[16]) {
  for (size_t j = 0; j < 16; ++j)
    qs[j] = static_cast<uint8_t>((q[j] & 15) | ((q[j + 16] & 15) << 4));
}

// The two low bits of 256 levels, as Q2_K and Q3_K keep them.
inline void pack_two_bits(const uint8_t q[256], uint8_t qs[64]) {
  std::fill_n(qs, 64, uint8_t{0});
  for (size_t i = 0; i < 256; ++i) {
    uint8_t& byte = qs[32 * (i / 128) + i % 32];
    byte = static_cast<uint8_t>(byte | ((q[i] & 3) << (2 * (i / 32 % 4))));
  }
}

inline constexpr float kGroupMaxEpsilon = 1e-15f;  // a group below it is taken for zero

void encode(const float* x, BlockQ2_K& b);
void encode(const float* x, BlockQ3_K& b);
void encode(const float* x, BlockQ4_K& b);
void encode(const float* x, BlockQ5_K& b);
void encode(const float* x, BlockQ6_K& b);
void encode(const float* x, BlockIQ4_NL& b);
void encode(const float* x, BlockIQ4_XS& b);
void encode(const float* x, BlockMXFP4& b);

}  // namespace localai
