#pragma once
// Weight rows to f32, the operations of tensor/dequantize.cc in the same order, 16 at a time.
// Included after one of the lanes_*.h.
#include "tensor/blocks.h"

namespace localai::kernels {
namespace {

template <class Block>
inline const Block& block_at(const std::byte* row, size_t index) {
  return reinterpret_cast<const Block*>(row)[index];  // packed: any alignment
}

// The 6-bit scale and minimum of sub-block k, as tensor/blocks.h unpack_scale_min.
struct SubScale {
  float scale, min;
};
inline SubScale sub_scale(const uint8_t* s, size_t k) {
  if (k < 4) return {static_cast<float>(s[k] & 63), static_cast<float>(s[k + 4] & 63)};
  return {static_cast<float>((s[k + 4] & 15) | (s[k - 4] >> 6) << 4),
          static_cast<float>((s[k + 4] >> 4) | (s[k] >> 6) << 4)};
}

// The fifth bits of elements 16 * half + 0..15, at bit 4.
inline I fifth_bits(uint32_t qh, int half) {
  const I bits = shift_right_each(iset1(static_cast<int32_t>(qh >> (16 * half))), iota());
  return shift_left(bits & iset1(1), 4);
}

inline void unpack(const BlockQ4_0& b, float* out) {
  const I q = load_u8(b.qs), off = iset1(8);
  const F d = set1(half_to_float(b.d));
  store(out, d * to_float((q & iset1(15)) - off));
  store(out + kLanes, d * to_float(shift_right(q, 4) - off));
}
inline void unpack(const BlockQ4_1& b, float* out) {
  const I q = load_u8(b.qs);
  const F d = set1(half_to_float(b.d)), m = set1(half_to_float(b.m));
  store(out, d * to_float(q & iset1(15)) + m);
  store(out + kLanes, d * to_float(shift_right(q, 4)) + m);
}
inline void unpack(const BlockQ5_0& b, float* out) {
  const I q = load_u8(b.qs), off = iset1(16);
  const F d = set1(half_to_float(b.d));
  store(out, d * to_float(((q & iset1(15)) | fifth_bits(b.qh, 0)) - off));
  store(out + kLanes, d * to_float((shift_right(q, 4) | fifth_bits(b.qh, 1)) - off));
}
inline void unpack(const BlockQ5_1& b, float* out) {
  const I q = load_u8(b.qs);
  const F d = set1(half_to_float(b.d)), m = set1(half_to_float(b.m));
  store(out, d * to_float((q & iset1(15)) | fifth_bits(b.qh, 0)) + m);
  store(out + kLanes, d * to_float(shift_right(q, 4) | fifth_bits(b.qh, 1)) + m);
}
inline void unpack(const BlockQ8_0& b, float* out) {
  const F d = set1(half_to_float(b.d));
  store(out, d * to_float(load_i8(b.qs)));
  store(out + kLanes, d * to_float(load_i8(b.qs + kLanes)));
}
inline void unpack(const BlockQ4_K& b, float* out) {
  const float d = half_to_float(b.d), dmin = half_to_float(b.dmin);
  for (size_t k = 0; k < 8; ++k) {
    const SubScale s = sub_scale(b.scales, k);
    const F scale = set1(d * s.scale), low = set1(dmin * s.min);
    for (size_t l = 0; l < 32; l += kLanes) {
      const I q = shift_right(load_u8(b.qs + 32 * (k / 2) + l), 4 * static_cast<int>(k & 1));
      store(out + 32 * k + l, scale * to_float(q & iset1(15)) - low);
    }
  }
}
inline void unpack(const BlockQ5_K& b, float* out) {
  const float d = half_to_float(b.d), dmin = half_to_float(b.dmin);
  for (size_t k = 0; k < 8; ++k) {
    const SubScale s = sub_scale(b.scales, k);
    const F scale = set1(d * s.scale), low = set1(dmin * s.min);
    for (size_t l = 0; l < 32; l += kLanes) {
      const I q = shift_right(load_u8(b.qs + 32 * (k / 2) + l), 4 * static_cast<int>(k & 1));
      const I high = shift_right(load_u8(b.qh + l), static_cast<int>(k)) & iset1(1);
      store(out + 32 * k + l, scale * to_float((q & iset1(15)) | shift_left(high, 4)) - low);
    }
  }
}
inline void unpack(const BlockQ6_K& b, float* out) {
  const float d = half_to_float(b.d);
  for (size_t s = 0; s < 16; ++s) {  // sub-block s: element 16 s + l
    const size_t n = s / 8, j = s / 2 % 4, l = 16 * (s % 2);
    const I low =
        shift_right(load_u8(b.ql + 64 * n + 32 * (j & 1) + l), 4 * static_cast<int>(j / 2));
    const I high = shift_right(load_u8(b.qh + 32 * n + l), 2 * static_cast<int>(j)) & iset1(3);
    const I q = ((low & iset1(15)) | shift_left(high, 4)) - iset1(32);
    store(out + 16 * s, set1(d * static_cast<float>(b.scales[s])) * to_float(q));
  }
}

// Sixteen of the two-bit codes of a Q2_K or Q3_K block, as they lie under sub-block s.
inline I two_bits(const uint8_t (&qs)[64], size_t s) {
  const size_t n = s / 8, j = s / 2 % 4, l = 16 * (s % 2);
  return shift_right(load_u8(qs + 32 * n + l), 2 * static_cast<int>(j)) & iset1(3);
}
inline void unpack(const BlockQ2_K& b, float* out) {
  const float d = half_to_float(b.d), dmin = half_to_float(b.dmin);
  for (size_t s = 0; s < 16; ++s) {
    const F scale = set1(d * static_cast<float>(b.scales[s] & 15));
    const F low = set1(dmin * static_cast<float>(b.scales[s] >> 4));
    store(out + 16 * s, scale * to_float(two_bits(b.qs, s)) - low);
  }
}
// The scales of Q3_K and IQ4_XS sub-blocks, as tensor/blocks.h unpack_scale.
inline int sub_scale(const BlockQ3_K& b, size_t k) {
  const int low = k < 8 ? b.scales[k] & 15 : b.scales[k - 8] >> 4;
  return (low | (b.scales[8 + k % 4] >> 2 * (k / 4) & 3) << 4) - 32;
}
inline int sub_scale(const BlockIQ4_XS& b, size_t k) {
  const int low = b.scales_l[k / 2] >> 4 * (k & 1) & 15;
  return (low | (b.scales_h >> 2 * k & 3) << 4) - 32;
}
inline void unpack(const BlockQ3_K& b, float* out) {
  const float d = half_to_float(b.d);
  for (size_t s = 0; s < 16; ++s) {
    const I high = shift_right(load_u8(b.hmask + 16 * (s % 2)), static_cast<int>(s / 2)) & iset1(1);
    const I q = (two_bits(b.qs, s) | shift_left(high, 2)) - iset1(4);
    store(out + 16 * s, set1(d * static_cast<float>(sub_scale(b, s))) * to_float(q));
  }
}

// 32 codes that index a table of values.
inline void unpack_table(const int8_t (&table)[16], const uint8_t* qs, float scale, float* out) {
  const I q = load_u8(qs);
  store(out, set1(scale) * to_float(look_up(table, q & iset1(15))));
  store(out + kLanes, set1(scale) * to_float(look_up(table, shift_right(q, 4))));
}
// As tensor/blocks.h e8m0_half_to_f32.
inline float half_of_e8m0(uint8_t e) {
  return __builtin_bit_cast(float, e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23);
}
inline void unpack(const BlockIQ4_NL& b, float* out) {
  unpack_table(kIq4Values, b.qs, half_to_float(b.d), out);
}
inline void unpack(const BlockIQ4_XS& b, float* out) {
  const float d = half_to_float(b.d);
  for (size_t k = 0; k < 8; ++k)
    unpack_table(kIq4Values, b.qs + 16 * k, d * static_cast<float>(sub_scale(b, k)), out + 32 * k);
}
inline void unpack(const BlockMXFP4& b, float* out) {
  unpack_table(kFp4Values, b.qs, half_of_e8m0(b.e), out);
}

template <class Block, size_t kElements>
void dequantize_blocks(const std::byte* row, float* out, size_t count) {
  for (size_t i = 0; i < count / kElements; ++i)
    unpack(block_at<Block>(row, i), out + i * kElements);
}

// Plain element types: how 16 of them, or fewer (padded with zeros), become lanes.
struct PlainF32 {
  static constexpr size_t kBytes = 4;
  static F load16(const std::byte* p) { return load(p); }
};
struct PlainF16 {
  static constexpr size_t kBytes = 2;
  static F load16(const std::byte* p) { return load_f16(p); }
};
struct PlainBF16 {
  static constexpr size_t kBytes = 2;
  static F load16(const std::byte* p) { return load_bf16(p); }
};
struct PlainF8E4M3 {
  static constexpr size_t kBytes = 1;
  static F load16(const std::byte* p) { return load_f8_e4m3(p); }
};
struct PlainF8E5M2 {
  static constexpr size_t kBytes = 1;
  static F load16(const std::byte* p) { return load_f8_e5m2(p); }
};
template <class Plain>
inline F load_plain_part(const std::byte* p, size_t n) {
  alignas(4) std::byte buffer[kLanes * Plain::kBytes] = {};
  __builtin_memcpy(buffer, p, n * Plain::kBytes);
  return Plain::load16(buffer);
}

template <class Plain>
void dequantize_plain(const std::byte* row, float* out, size_t count) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, Plain::load16(row + i * Plain::kBytes));
  for (; i < count; ++i) {
    float lanes[kLanes];
    store(lanes, load_plain_part<Plain>(row + i * Plain::kBytes, 1));
    out[i] = lanes[0];
  }
}

}  // namespace
}  // namespace localai::kernels
