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

// 8-bit floats of safetensors, exact for every bit pattern. E4M3 has no infinity (the "FN"
// flavour): 0x7F and 0xFF are NaN, the largest value is 448. E5M2 is a half without its low byte.
// f32_to_* round to nearest even; what is too large becomes NaN (E4M3) or infinity (E5M2).
float f8_e4m3_to_f32(uint8_t v);
inline float f8_e5m2_to_f32(uint8_t v) { return f16_to_f32(static_cast<uint16_t>(v << 8)); }
uint8_t f32_to_f8_e4m3(float value);
uint8_t f32_to_f8_e5m2(float value);

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
struct BlockQ2_K {  // 16 sub-blocks of 16: w = d * (scales_k & 15) * q - dmin * (scales_k >> 4)
  uint8_t scales[16];
  uint8_t qs[64];
  uint16_t d, dmin;
};
struct BlockQ3_K {  // 16 sub-blocks of 16: w = d * (scale_k - 32) * (q - 4), q = qs | hmask << 2
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;
};
struct BlockQ8_K {  // w = d * q; bsums: of 16 q each, what integer products over minima need
  float d;
  int8_t qs[256];
  int16_t bsums[16];
};
struct BlockIQ4_NL {  // w = d * kIq4Values[q]
  uint16_t d;
  uint8_t qs[16];
};
struct BlockIQ4_XS {  // 8 sub-blocks of 32: w = d * (scale_k - 32) * kIq4Values[q]
  uint16_t d, scales_h;
  uint8_t scales_l[4];
  uint8_t qs[128];
};
struct BlockMXFP4 {  // w = 2^(e - 128) * kFp4Values[q]
  uint8_t e;
  uint8_t qs[16];
};
#pragma pack(pop)
static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22);
static_assert(sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);
static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110 && sizeof(BlockQ8_K) == 292);
static_assert(sizeof(BlockIQ4_NL) == 18 && sizeof(BlockIQ4_XS) == 136);
static_assert(sizeof(BlockMXFP4) == 17);

// What the codes of IQ4_NL and IQ4_XS stand for, and twice what those of MXFP4 (E2M1) do.
alignas(16) constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};
alignas(16) constexpr int8_t kFp4Values[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                               0, -1, -2, -3, -4, -6, -8, -12};

// The 6-bit scale and minimum of sub-block k (0..7) of a Q4_K or Q5_K block.
struct ScaleMin {
  uint8_t scale, min;
};
ScaleMin unpack_scale_min(const uint8_t scales[12], size_t k);
// The scale of sub-block k of a Q3_K block (0..15) or an IQ4_XS block (0..7): -32..31.
int unpack_scale(const BlockQ3_K& block, size_t k);
int unpack_scale(const BlockIQ4_XS& block, size_t k);
// Half of the E8M0 number: 2^(e - 128), for kFp4Values holds doubled values.
float e8m0_half_to_f32(uint8_t e);

// `count` elements (whole blocks) to and from f32. Every float and block type of DType, else
// LAI_CHECK: the loader has refused the tensor before. Quantization is byte-exact with ggml's
// reference quantizer without an importance matrix.
void dequantize(DType dtype, const void* blocks, float* out, size_t count);
void quantize(DType dtype, const float* values, void* blocks, size_t count);

}  // namespace localai
