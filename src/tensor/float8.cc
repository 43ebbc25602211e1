// The 8-bit floats of the Open Compute Project ("OFP8 Formats for Deep Learning"), as safetensors
// names them.
#include <algorithm>
#include <cmath>

#include "tensor/blocks.h"

namespace localai {
namespace {

struct Format {
  int mantissa_bits, exponent_min;
  float max;
  uint8_t overflow;  // what is too large becomes
};
constexpr Format kE4M3{.mantissa_bits = 3, .exponent_min = -6, .max = 448.f, .overflow = 0x7F};
constexpr Format kE5M2{.mantissa_bits = 2, .exponent_min = -14, .max = 57344.f, .overflow = 0x7C};
constexpr uint8_t kNan = 0x7F;

uint8_t narrow(float value, const Format& format) {
  const uint8_t sign = std::signbit(value) ? 0x80 : 0;
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return sign | kNan;
  if (magnitude == 0) return sign;
  if (std::isinf(value)) return sign | format.overflow;
  const int exponent = std::max(std::ilogb(magnitude), format.exponent_min);
  // In units of the last place: exact, then rounded half to even.
  const float units = std::nearbyint(std::ldexp(magnitude, format.mantissa_bits - exponent));
  if (std::ldexp(units, exponent - format.mantissa_bits) > format.max)
    return sign | format.overflow;
  // A mantissa rounded up to the next power of two carries into the exponent by itself.
  const int biased = exponent - format.exponent_min;  // 0: subnormal or the first binade
  return static_cast<uint8_t>(sign | ((biased << format.mantissa_bits) + static_cast<int>(units)));
}

}  // namespace

float f8_e4m3_to_f32(uint8_t v) {
  const int magnitude = v & 0x7F, exponent = magnitude >> 3, mantissa = magnitude & 7;
  if (magnitude == 0x7F) return std::copysign(std::nanf(""), (v & 0x80) != 0 ? -1.f : 1.f);
  const float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                    : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return (v & 0x80) != 0 ? -value : value;
}

uint8_t f32_to_f8_e4m3(float value) { return narrow(value, kE4M3); }
uint8_t f32_to_f8_e5m2(float value) { return narrow(value, kE5M2); }

}  // namespace localai
