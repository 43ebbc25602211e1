// Blocks to f32, one formula a type. Source of the layouts: ggml-common.h of ggml 0.25 (facts
// only).
#include <cstring>

#include "base/check.h"
#include "tensor/blocks.h"

namespace localai {

ScaleMin unpack_scale_min(const uint8_t scales[12], size_t k) {
  if (k < 4)
    return {static_cast<uint8_t>(scales[k] & 63), static_cast<uint8_t>(scales[k + 4] & 63)};
  return {static_cast<uint8_t>((scales[k + 4] & 15) | ((scales[k - 4] >> 6) << 4)),
          static_cast<uint8_t>((scales[k + 4] >> 4) | ((scales[k] >> 6) << 4))};
}

int unpack_scale(const BlockQ3_K& block, size_t k) {
  const int low = k < 8 ? block.scales[k] & 15 : block.scales[k - 8] >> 4;
  return (low | ((block.scales[8 + k % 4] >> (2 * (k / 4))) & 3) << 4) - 32;
}

int unpack_scale(const BlockIQ4_XS& block, size_t k) {
  const int low = (block.scales_l[k / 2] >> (4 * (k & 1))) & 15;
  return (low | ((block.scales_h >> (2 * k)) & 3) << 4) - 32;
}

float e8m0_half_to_f32(uint8_t e) {
  const uint32_t bits = e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23;
  return __builtin_bit_cast(float, bits);
}

namespace {

// Element j (0..31) of 16 bytes of nibbles: 0..15 low, 16..31 high.
int nibble(const uint8_t qs[16], size_t j) { return j < 16 ? qs[j] & 15 : qs[j - 16] >> 4; }

void decode(const BlockQ4_0& b, float* y) {
  const float d = f16_to_f32(b.d);
  for (size_t j = 0; j < 32; ++j) y[j] = d * static_cast<float>(nibble(b.qs, j) - 8);
}

void decode(const BlockQ4_1& b, float* y) {
  const float d = f16_to_f32(b.d), m = f16_to_f32(b.m);
  for (size_t j = 0; j < 32; ++j) y[j] = d * static_cast<float>(nibble(b.qs, j)) + m;
}

int five_bits(const uint8_t qs[16], uint32_t qh, size_t j) {
  return nibble(qs, j) | static_cast<int>(((qh >> j) & 1u) << 4);
}

void decode(const BlockQ5_0& b, float* y) {
  const float d = f16_to_f32(b.d);
  for (size_t j = 0; j < 32; ++j) y[j] = d * static_cast<float>(five_bits(b.qs, b.qh, j) - 16);
}

void decode(const BlockQ5_1& b, float* y) {
  const float d = f16_to_f32(b.d), m = f16_to_f32(b.m);
  for (size_t j = 0; j < 32; ++j) y[j] = d * static_cast<float>(five_bits(b.qs, b.qh, j)) + m;
}

void decode(const BlockQ8_0& b, float* y) {
  const float d = f16_to_f32(b.d);
  for (size_t j = 0; j < 32; ++j) y[j] = d * static_cast<float>(b.qs[j]);
}

void decode(const BlockQ4_K& b, float* y) {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  for (size_t k = 0; k < 8; ++k) {
    const ScaleMin s = unpack_scale_min(b.scales, k);
    const float scale = d * static_cast<float>(s.scale), min = dmin * static_cast<float>(s.min);
    for (size_t l = 0; l < 32; ++l) {
      const int q = (b.qs[32 * (k / 2) + l] >> (4 * (k & 1))) & 15;
      y[32 * k + l] = scale * static_cast<float>(q) - min;
    }
  }
}

void decode(const BlockQ5_K& b, float* y) {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  for (size_t k = 0; k < 8; ++k) {
    const ScaleMin s = unpack_scale_min(b.scales, k);
    const float scale = d * static_cast<float>(s.scale), min = dmin * static_cast<float>(s.min);
    for (size_t l = 0; l < 32; ++l) {
      const int low = (b.qs[32 * (k / 2) + l] >> (4 * (k & 1))) & 15;
      const int q = low | (((b.qh[l] >> k) & 1) << 4);
      y[32 * k + l] = scale * static_cast<float>(q) - min;
    }
  }
}

void decode(const BlockQ6_K& b, float* y) {
  const float d = f16_to_f32(b.d);
  for (size_t i = 0; i < 256; ++i) {
    const size_t n = i / 128, j = (i / 32) % 4, l = i % 32;
    const int low = (b.ql[64 * n + 32 * (j & 1) + l] >> (4 * (j >> 1))) & 15;
    const int high = (b.qh[32 * n + l] >> (2 * j)) & 3;
    const size_t sub_block = 8 * n + 2 * j + l / 16;
    const float scale = d * static_cast<float>(b.scales[sub_block]);
    y[i] = scale * static_cast<float>((low | (high << 4)) - 32);
  }
}

// The two low bits of element 128 n + 32 j + l of a Q2_K or Q3_K block.
int two_bits(const uint8_t qs[64], size_t i) {
  return (qs[32 * (i / 128) + i % 32] >> (2 * (i / 32 % 4))) & 3;
}

void decode(const BlockQ2_K& b, float* y) {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  for (size_t i = 0; i < 256; ++i) {
    const uint8_t s = b.scales[i / 16];
    const float scale = d * static_cast<float>(s & 15), min = dmin * static_cast<float>(s >> 4);
    y[i] = scale * static_cast<float>(two_bits(b.qs, i)) - min;
  }
}

void decode(const BlockQ3_K& b, float* y) {
  const float d = f16_to_f32(b.d);
  for (size_t i = 0; i < 256; ++i) {
    const int high = (b.hmask[i % 32] >> (i / 32)) & 1;
    const float scale = d * static_cast<float>(unpack_scale(b, i / 16));
    y[i] = scale * static_cast<float>((two_bits(b.qs, i) | (high << 2)) - 4);
  }
}

void decode(const BlockQ8_K& b, float* y) {
  for (size_t i = 0; i < 256; ++i) y[i] = b.d * static_cast<float>(b.qs[i]);
}

void decode(const BlockIQ4_NL& b, float* y) {
  const float d = f16_to_f32(b.d);
  for (size_t j = 0; j < 32; ++j) y[j] = d * static_cast<float>(kIq4Values[nibble(b.qs, j)]);
}

void decode(const BlockIQ4_XS& b, float* y) {
  const float d = f16_to_f32(b.d);
  for (size_t k = 0; k < 8; ++k) {
    const float scale = d * static_cast<float>(unpack_scale(b, k));
    for (size_t j = 0; j < 32; ++j)
      y[32 * k + j] = scale * static_cast<float>(kIq4Values[nibble(b.qs + 16 * k, j)]);
  }
}

void decode(const BlockMXFP4& b, float* y) {
  const float d = e8m0_half_to_f32(b.e);
  for (size_t j = 0; j < 32; ++j) y[j] = d * static_cast<float>(kFp4Values[nibble(b.qs, j)]);
}

template <class Block>
void decode_blocks(const void* blocks, float* out, size_t count, size_t elements) {
  const auto* at = static_cast<const std::byte*>(blocks);
  for (size_t i = 0; i < count; i += elements, at += sizeof(Block)) {
    Block block;
    std::memcpy(&block, at, sizeof block);
    decode(block, out + i);
  }
}

// Plain numbers: Stored as it lies in memory, at any alignment.
template <class Stored, class Convert>
void decode_numbers(const void* values, float* out, size_t count, Convert convert) {
  const auto* at = static_cast<const std::byte*>(values);
  for (size_t i = 0; i < count; ++i, at += sizeof(Stored)) {
    Stored value;
    std::memcpy(&value, at, sizeof value);
    out[i] = convert(value);
  }
}

}  // namespace

void dequantize(DType dtype, const void* blocks, float* out, size_t count) {
  const size_t elements = dtype_info(dtype).block_elements;
  LAI_CHECK(count % elements == 0);
  switch (dtype) {
    case DType::kF32:
      return decode_numbers<float>(blocks, out, count, [](float v) { return v; });
    case DType::kF16:
      return decode_numbers<uint16_t>(blocks, out, count, f16_to_f32);
    case DType::kBF16:
      return decode_numbers<uint16_t>(blocks, out, count, bf16_to_f32);
    case DType::kF64:
      return decode_numbers<double>(blocks, out, count,
                                    [](double v) { return static_cast<float>(v); });
    case DType::kQ4_0:
      return decode_blocks<BlockQ4_0>(blocks, out, count, elements);
    case DType::kQ4_1:
      return decode_blocks<BlockQ4_1>(blocks, out, count, elements);
    case DType::kQ5_0:
      return decode_blocks<BlockQ5_0>(blocks, out, count, elements);
    case DType::kQ5_1:
      return decode_blocks<BlockQ5_1>(blocks, out, count, elements);
    case DType::kQ8_0:
      return decode_blocks<BlockQ8_0>(blocks, out, count, elements);
    case DType::kQ4_K:
      return decode_blocks<BlockQ4_K>(blocks, out, count, elements);
    case DType::kQ5_K:
      return decode_blocks<BlockQ5_K>(blocks, out, count, elements);
    case DType::kQ6_K:
      return decode_blocks<BlockQ6_K>(blocks, out, count, elements);
    case DType::kQ2_K:
      return decode_blocks<BlockQ2_K>(blocks, out, count, elements);
    case DType::kQ3_K:
      return decode_blocks<BlockQ3_K>(blocks, out, count, elements);
    case DType::kQ8_K:
      return decode_blocks<BlockQ8_K>(blocks, out, count, elements);
    case DType::kIQ4_NL:
      return decode_blocks<BlockIQ4_NL>(blocks, out, count, elements);
    case DType::kIQ4_XS:
      return decode_blocks<BlockIQ4_XS>(blocks, out, count, elements);
    case DType::kMXFP4:
      return decode_blocks<BlockMXFP4>(blocks, out, count, elements);
    case DType::kF8_E4M3:
      return decode_numbers<uint8_t>(blocks, out, count, f8_e4m3_to_f32);
    case DType::kF8_E5M2:
      return decode_numbers<uint8_t>(blocks, out, count, f8_e5m2_to_f32);
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
    case DType::kI64:
    case DType::kU8:
    case DType::kBool:
      break;
  }
  LAI_CHECK(false && "not a float or block type");
}

}  // namespace localai
