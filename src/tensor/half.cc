// IEEE 754 binary16 and bfloat16. NaNs become quiet and keep the payload bits that fit, as the F16C
// instructions do, so that scalar and vector code agree on every bit pattern.
#include "tensor/blocks.h"

namespace localai {

float f16_to_f32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1Fu;
  uint32_t mantissa = half & 0x3FFu;
  if (exponent == 31) {
    const uint32_t quiet = mantissa != 0 ? 0x400000u : 0u;
    return __builtin_bit_cast(float, sign | 0x7F800000u | quiet | (mantissa << 13));
  }
  if (exponent != 0)
    return __builtin_bit_cast(float, sign | ((exponent + 112) << 23) | (mantissa << 13));
  if (mantissa == 0) return __builtin_bit_cast(float, sign);
  uint32_t exponent32 = 113;  // subnormal: shift until the hidden bit is there
  while ((mantissa & 0x400u) == 0) {
    mantissa <<= 1;
    --exponent32;
  }
  return __builtin_bit_cast(float, sign | (exponent32 << 23) | ((mantissa & 0x3FFu) << 13));
}

uint16_t f32_to_f16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u)
    return static_cast<uint16_t>(sign | 0x7E00u | ((magnitude >> 13) & 0x3FFu));
  // 65520 and above round to infinity; 2^-25 and below round to zero (a tie goes to even).
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);
  if (magnitude <= 0x33000000u) return static_cast<uint16_t>(sign);
  uint32_t dropped = 13;  // mantissa bits that do not fit
  uint32_t mantissa = magnitude & 0x7FFFFFu;
  uint32_t half = 0;
  if (magnitude >= 0x38800000u) {
    half = ((magnitude >> 23) - 112) << 10;
  } else {  // subnormal in 16 bits: the hidden bit moves into the mantissa
    mantissa |= 0x800000u;
    dropped = 126 - (magnitude >> 23);
  }
  half += mantissa >> dropped;
  const uint32_t rest = mantissa & ((1u << dropped) - 1);
  const uint32_t tie = 1u << (dropped - 1);
  if (rest > tie || (rest == tie && (half & 1u) != 0)) ++half;  // may carry into the exponent
  return static_cast<uint16_t>(sign | half);
}

uint16_t f32_to_bf16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace localai
