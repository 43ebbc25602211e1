#pragma once
// The ggml block formats as packed structs, and scalar conversion: the specification that every
// kernel is tested against. Layouts: ggml-common.h of ggml 0.25 (facts only).
#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace localai {

// Half and bfloat16, exact for every bit pattern. f32_to_* round to nearest even.
float f16_to_f32(uint16_t half);
uint16_t f32_to_f16(float value);
inline float bf16_to_f32(uint16_t v) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(v) << 16);
}
uint16_t f32_to_bf16(float value);

#pragma pack(push, 1)
struct BlockQ4_0 {  // w = d * (q - 8); elements 0..15 low nibbles, 16..31 high
  uint16_t d;
  uint8_t qs[16];
};
struct BlockQ4_1 {  // w = d * q + m
  uint16_t d, m;
  uint8_t qs[16];
};
struct BlockQ5_0 {  // w = d * (q - 16); bit j of qh is the fifth bit of element j
  uint16_t d;
  uint32_t qh;
  uint8_t qs[16];
};
struct BlockQ5_1 {  // w = d * q + m
  uint16_t d, m;
  uint32_t qh;
  uint8_t qs[16];
};
struct BlockQ8_0 {  // w = d * q
  uint16_t d;
  int8_t qs[32];
};
struct BlockQ4_K {  // 8 sub-blocks of 32: w = d * sc_k * q - dmin * mn_k
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};
struct BlockQ5_K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
struct BlockQ6_K {  // 16 sub-blocks of 16: w = d * scales_k * (q - 32)
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;
};
#pragma pack(pop)
static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22);
static_assert(sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);

// The 6-bit scale and minimum of sub-block k (0..7) of a Q4_K or Q5_K block.
struct ScaleMin {
  uint8_t scale, min;
};
ScaleMin unpack_scale_min(const uint8_t scales[12], size_t k);

// `count` elements (whole blocks) to and from f32. Every float and block type of DType, else
// LAI_CHECK: the loader has refused the tensor before. Quantization is byte-exact with ggml's
// reference quantizer without an importance matrix.
void dequantize(DType dtype, const void* blocks, float* out, size_t count);
void quantize(DType dtype, const float* values, void* blocks, size_t count);

}  // namespace localai
