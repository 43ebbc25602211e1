#pragma once
// Inside tensor/: the K quantizers, and the rounding that all quantizers share.
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

void encode(const float* x, BlockQ4_K& b);
void encode(const float* x, BlockQ5_K& b);
void encode(const float* x, BlockQ6_K& b);

}  // namespace localai
