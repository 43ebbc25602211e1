// f32 to blocks: plain numbers and the 32-element types. Byte-exact with ggml's reference
// quantizers: scales are rounded to half only when stored, levels come from the f32 scale.
#include <cstring>

#include "base/check.h"
#include "tensor/quantize_k.h"

namespace localai {
namespace {

// Towards zero, into [0, high]. A NaN becomes 0.
int truncate_clamped(float value, int high) {
  if (!(value > 0)) return 0;
  return value < static_cast<float>(high) ? static_cast<int>(value) : high;
}

struct Levels {
  float d = 0, m = 0;
  uint8_t q[32];
};

// q = (x / d) + half with d = largest / -half, so that the largest element is exact.
Levels symmetric_levels(const float* x, int half) {
  Levels out;
  out.d = largest_signed(x, 32) / static_cast<float>(-half);
  const float inverse = out.d != 0 ? 1 / out.d : 0.f;
  for (size_t i = 0; i < 32; ++i)
    out.q[i] = static_cast<uint8_t>(
        truncate_clamped(x[i] * inverse + (static_cast<float>(half) + 0.5f), 2 * half - 1));
  return out;
}

Levels affine_levels(const float* x, int q_max) {
  Levels out;
  const auto [min, max] = std::minmax_element(x, x + 32);
  out.m = *min;
  out.d = (*max - *min) / static_cast<float>(q_max);
  const float inverse = out.d != 0 ? 1 / out.d : 0.f;
  for (size_t i = 0; i < 32; ++i)
    out.q[i] = static_cast<uint8_t>(truncate_clamped((x[i] - out.m) * inverse + 0.5f, q_max));
  return out;
}

uint32_t fifth_bits(const uint8_t q[32]) {
  uint32_t bits = 0;
  for (size_t j = 0; j < 32; ++j) bits |= static_cast<uint32_t>(q[j] >> 4) << j;
  return bits;
}

void encode(const float* x, BlockQ4_0& b) {
  const Levels levels = symmetric_levels(x, 8);
  b.d = f32_to_f16(levels.d);
  pack_nibbles(levels.q, b.qs);
}

void encode(const float* x, BlockQ5_0& b) {
  const Levels levels = symmetric_levels(x, 16);
  b.d = f32_to_f16(levels.d);
  b.qh = fifth_bits(levels.q);
  pack_nibbles(levels.q, b.qs);
}

void encode(const float* x, BlockQ4_1& b) {
  const Levels levels = affine_levels(x, 15);
  b.d = f32_to_f16(levels.d);
  b.m = f32_to_f16(levels.m);
  pack_nibbles(levels.q, b.qs);
}

void encode(const float* x, BlockQ5_1& b) {
  const Levels levels = affine_levels(x, 31);
  b.d = f32_to_f16(levels.d);
  b.m = f32_to_f16(levels.m);
  b.qh = fifth_bits(levels.q);
  pack_nibbles(levels.q, b.qs);
}

void encode(const float* x, BlockQ8_0& b) {
  const float d = std::fabs(largest_signed(x, 32)) / 127.f;
  const float inverse = d != 0 ? 1 / d : 0.f;
  b.d = f32_to_f16(d);
  for (size_t j = 0; j < 32; ++j)  // half away from zero here, unlike the other types
    b.qs[j] = static_cast<int8_t>(round_clamped(std::round(x[j] * inverse), -127, 127));
}

void encode(const float* x, BlockQ8_K& b) {
  std::memset(&b, 0, sizeof b);
  const float largest = largest_signed(x, 256);
  if (largest == 0) return;
  const float inverse = -127.f / largest;
  b.d = 1 / inverse;
  for (size_t i = 0; i < 256; ++i) {
    b.qs[i] = static_cast<int8_t>(round_clamped(inverse * x[i], -128, 127));
    b.bsums[i / 16] = static_cast<int16_t>(b.bsums[i / 16] + b.qs[i]);
  }
}

template <class Block>
void encode_blocks(const float* values, void* blocks, size_t count, size_t elements) {
  auto* at = static_cast<std::byte*>(blocks);
  for (size_t i = 0; i < count; i += elements, at += sizeof(Block)) {
    Block block;
    encode(values + i, block);
    std::memcpy(at, &block, sizeof block);
  }
}

template <class Stored, class Convert>
void encode_numbers(const float* values, void* out, size_t count, Convert convert) {
  auto* at = static_cast<std::byte*>(out);
  for (size_t i = 0; i < count; ++i, at += sizeof(Stored)) {
    const Stored stored = convert(values[i]);
    std::memcpy(at, &stored, sizeof stored);
  }
}

}  // namespace

void quantize(DType dtype, const float* values, void* blocks, size_t count) {
  const size_t elements = dtype_info(dtype).block_elements;
  LAI_CHECK(count % elements == 0);
  switch (dtype) {
    case DType::kF32:
      return encode_numbers<float>(values, blocks, count, [](float v) { return v; });
    case DType::kF16:
      return encode_numbers<uint16_t>(values, blocks, count, f32_to_f16);
    case DType::kBF16:
      return encode_numbers<uint16_t>(values, blocks, count, f32_to_bf16);
    case DType::kF64:
      return encode_numbers<double>(values, blocks, count, [](float v) { return double{v}; });
    case DType::kQ4_0:
      return encode_blocks<BlockQ4_0>(values, blocks, count, elements);
    case DType::kQ4_1:
      return encode_blocks<BlockQ4_1>(values, blocks, count, elements);
    case DType::kQ5_0:
      return encode_blocks<BlockQ5_0>(values, blocks, count, elements);
    case DType::kQ5_1:
      return encode_blocks<BlockQ5_1>(values, blocks, count, elements);
    case DType::kQ8_0:
      return encode_blocks<BlockQ8_0>(values, blocks, count, elements);
    case DType::kQ4_K:
      return encode_blocks<BlockQ4_K>(values, blocks, count, elements);
    case DType::kQ5_K:
      return encode_blocks<BlockQ5_K>(values, blocks, count, elements);
    case DType::kQ6_K:
      return encode_blocks<BlockQ6_K>(values, blocks, count, elements);
    case DType::kQ2_K:
      return encode_blocks<BlockQ2_K>(values, blocks, count, elements);
    case DType::kQ3_K:
      return encode_blocks<BlockQ3_K>(values, blocks, count, elements);
    case DType::kQ8_K:
      return encode_blocks<BlockQ8_K>(values, blocks, count, elements);
    case DType::kIQ4_NL:
      return encode_blocks<BlockIQ4_NL>(values, blocks, count, elements);
    case DType::kIQ4_XS:
      return encode_blocks<BlockIQ4_XS>(values, blocks, count, elements);
    case DType::kMXFP4:
      return encode_blocks<BlockMXFP4>(values, blocks, count, elements);
    case DType::kF8_E4M3:
      return encode_numbers<uint8_t>(values, blocks, count, f32_to_f8_e4m3);
    case DType::kF8_E5M2:
      return encode_numbers<uint8_t>(values, blocks, count, f32_to_f8_e5m2);
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
