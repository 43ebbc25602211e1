#pragma once
// How the block formats become integer codes of 16 weight rows at a time. Included after a
// lanes_*.h with byte operations:
//   load_rows(p, s)    16 bytes each at p, p + s, p + 2s, p + 3s: the four 128-bit parts
//   load_dwords(p, s)  4 bytes each at p + i s, i = 0..15
//   add16_where(c, f, b)  c + 16 in the bytes where f has the bit b
// The rows of a panel are taken in four groups; group i holds rows i, i + 4, i + 8, i + 12, so that
// transposing 4 x 4 dwords within 128 bits puts row r into lane r.
#include "tensor/blocks.h"

namespace localai::kernels {
namespace {

struct Panel {
  const uint8_t* base;  // the current block of row 0
  size_t stride;        // bytes from row to row
  [[nodiscard]] const uint8_t* group(size_t i) const { return base + i * stride; }
};

// Codes 0..15 and 16..31 of one sub-block of 32 for the four rows of a group.
struct CodePair {
  I low, high;
};

inline CodePair split_nibbles(I v) { return {v & bytes(15), shift_right(v, 4) & bytes(15)}; }

// Lane r of out[g] is dword g of row r.
inline void transpose4(const I (&t)[4], I (&out)[4]) {
  const I a = unpack_low32(t[0], t[1]), b = unpack_low32(t[2], t[3]);
  const I c = unpack_high32(t[0], t[1]), d = unpack_high32(t[2], t[3]);
  out[0] = unpack_low64(a, b);
  out[1] = unpack_high64(a, b);
  out[2] = unpack_low64(c, d);
  out[3] = unpack_high64(c, d);
}
// Lane r is the sum of the four dwords of row r.
inline I sum4(const I (&t)[4]) {
  const I a = unpack_low32(t[0], t[1]) + unpack_high32(t[0], t[1]);
  const I b = unpack_low32(t[2], t[3]) + unpack_high32(t[2], t[3]);
  return unpack_low64(a, b) + unpack_high64(a, b);
}
// The first 16 bytes at `offset` of every row of the panel, dword by dword.
inline void load_header(const Panel& p, size_t offset, I (&out)[4]) {
  I t[4];
  for (size_t i = 0; i < 4; ++i) t[i] = load_rows(p.group(i) + offset, 4 * p.stride);
  transpose4(t, out);
}

// Scales of one block for 16 rows. m and factor only where the format has them.
template <size_t kSubs>
struct Scales {
  F d[kSubs], m[kSubs];
  I factor[kSubs][2], min_factor[kSubs][2];
};

// Each Format: sub-blocks of 32 in a block, whether there are minima (m), integer factors for the
// two halves of the products or of the minima, what is to be subtracted from the codes, whether
// they are signed bytes.
struct FormatBase {
  static constexpr size_t kSubs = 1;
  static constexpr bool kMin = false, kFactors = false, kMinFactors = false, kSigned = false;
  static constexpr int kOffset = 0;
};

template <class Block>
struct Format;

template <>
struct Format<BlockQ4_0> : FormatBase {
  static constexpr int kOffset = 8;
  static CodePair codes(const Panel& p, size_t i, size_t) {
    return split_nibbles(load_rows(p.group(i) + 2, 4 * p.stride));
  }
  static void scales(const Panel& p, Scales<1>& s) {
    s.d[0] = low_half_to_float(load_dwords(p.base, p.stride));
  }
};

template <>
struct Format<BlockQ4_1> : FormatBase {
  static constexpr bool kMin = true;
  static CodePair codes(const Panel& p, size_t i, size_t) {
    return split_nibbles(load_rows(p.group(i) + 4, 4 * p.stride));
  }
  static void scales(const Panel& p, Scales<1>& s) {
    const I dm = load_dwords(p.base, p.stride);
    s.d[0] = low_half_to_float(dm);
    s.m[0] = low_half_to_float(shift_right(dm, 16));
  }
};

// Adds the fifth bits; `head` starts with qh: byte j / 8, bit j % 8 belongs to element j.
inline CodePair add_fifth_bits(CodePair c, I head) {
  alignas(16) static constexpr uint8_t kLow[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  alignas(16) static constexpr uint8_t kHigh[16] = {2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3};
  alignas(16) static constexpr uint8_t kBits[16] = {1, 2, 4, 8, 16, 32, 64, 128,
                                                    1, 2, 4, 8, 16, 32, 64, 128};
  const I bits = broadcast16(kBits);
  return {add16_where(c.low, shuffle_bytes(head, broadcast16(kLow)), bits),
          add16_where(c.high, shuffle_bytes(head, broadcast16(kHigh)), bits)};
}

template <>
struct Format<BlockQ5_0> : FormatBase {
  static constexpr int kOffset = 16;
  static CodePair codes(const Panel& p, size_t i, size_t) {
    const uint8_t* at = p.group(i);
    return add_fifth_bits(split_nibbles(load_rows(at + 6, 4 * p.stride)),
                          load_rows(at + 2, 4 * p.stride));
  }
  static void scales(const Panel& p, Scales<1>& s) {
    s.d[0] = low_half_to_float(load_dwords(p.base, p.stride));
  }
};

template <>
struct Format<BlockQ5_1> : FormatBase {
  static constexpr bool kMin = true;
  static CodePair codes(const Panel& p, size_t i, size_t) {
    const uint8_t* at = p.group(i);
    return add_fifth_bits(split_nibbles(load_rows(at + 8, 4 * p.stride)),
                          load_rows(at + 4, 4 * p.stride));
  }
  static void scales(const Panel& p, Scales<1>& s) { Format<BlockQ4_1>::scales(p, s); }
};

template <>
struct Format<BlockQ8_0> : FormatBase {
  static constexpr bool kSigned = kSignedDot;
  static constexpr int kOffset = kSignedDot ? 0 : 128;  // else the codes are made unsigned
  static CodePair codes(const Panel& p, size_t i, size_t) {
    const uint8_t* at = p.group(i);
    const CodePair c = {load_rows(at + 2, 4 * p.stride), load_rows(at + 18, 4 * p.stride)};
    if constexpr (kSignedDot) return c;
    return {c.low ^ bytes(128), c.high ^ bytes(128)};
  }
  static void scales(const Panel& p, Scales<1>& s) {
    s.d[0] = low_half_to_float(load_dwords(p.base, p.stride));
  }
};

// Bytes 0..15 of a Q4_K or Q5_K block: d, dmin and the packed 6-bit scales.
inline void k_scales(const Panel& p, Scales<8>& s) {
  I head[4];
  load_header(p, 0, head);
  const F d = low_half_to_float(head[0]), dmin = low_half_to_float(shift_right(head[0], 16));
  const I six = iset1(63), four = iset1(15), two = iset1(0x30);
  for (int k = 0; k < 4; ++k) {
    const I a = shift_right(head[1], 8 * k), b = shift_right(head[2], 8 * k),
            c = shift_right(head[3], 8 * k);
    s.d[k] = d * to_float(a & six);
    s.m[k] = zero() - dmin * to_float(b & six);
    s.d[k + 4] = d * to_float((c & four) | (shift_right(a, 2) & two));
    s.m[k + 4] = zero() - dmin * to_float((shift_right(c, 4) & four) | (shift_right(b, 2) & two));
  }
}

template <>
struct Format<BlockQ4_K> : FormatBase {
  static constexpr size_t kSubs = 8;
  static constexpr bool kMin = true;
  static CodePair codes(const Panel& p, size_t i, size_t sub) {
    const uint8_t* at = p.group(i) + 16 + 32 * (sub / 2);
    const int shift = 4 * static_cast<int>(sub & 1);
    return {shift_right(load_rows(at, 4 * p.stride), shift) & bytes(15),
            shift_right(load_rows(at + 16, 4 * p.stride), shift) & bytes(15)};
  }
  static void scales(const Panel& p, Scales<8>& s) { k_scales(p, s); }
};

template <>
struct Format<BlockQ5_K> : FormatBase {
  static constexpr size_t kSubs = 8;
  static constexpr bool kMin = true;
  static CodePair codes(const Panel& p, size_t i, size_t sub) {
    const uint8_t *high = p.group(i) + 16, *at = p.group(i) + 48 + 32 * (sub / 2);
    const int shift = 4 * static_cast<int>(sub & 1);
    const I bit = bytes(static_cast<uint8_t>(1u << sub));
    return {add16_where(shift_right(load_rows(at, 4 * p.stride), shift) & bytes(15),
                        load_rows(high, 4 * p.stride), bit),
            add16_where(shift_right(load_rows(at + 16, 4 * p.stride), shift) & bytes(15),
                        load_rows(high + 16, 4 * p.stride), bit)};
  }
  static void scales(const Panel& p, Scales<8>& s) { k_scales(p, s); }
};

template <>
struct Format<BlockQ6_K> : FormatBase {
  static constexpr size_t kSubs = 8;
  static constexpr bool kFactors = true;
  static constexpr int kOffset = 32;
  static I half(const uint8_t* low, const uint8_t* high, size_t stride, size_t j) {
    const I a = shift_right(load_rows(low, stride), 4 * static_cast<int>(j / 2)) & bytes(15);
    const I b = shift_right(load_rows(high, stride), 2 * static_cast<int>(j)) & bytes(3);
    return a | shift_left(b, 4);
  }
  static CodePair codes(const Panel& p, size_t i, size_t sub) {
    const size_t n = sub / 4, j = sub % 4;
    const uint8_t *low = p.group(i) + 64 * n + 32 * (j & 1), *high = p.group(i) + 128 + 32 * n;
    return {half(low, high, 4 * p.stride, j), half(low + 16, high + 16, 4 * p.stride, j)};
  }
  static void scales(const Panel& p, Scales<8>& s) {
    I head[4];
    load_header(p, 192, head);
    const F d = low_half_to_float(shift_right(load_dwords(p.base + 206, p.stride), 16));
    for (size_t k = 0; k < 16; ++k) {
      const int byte = static_cast<int>(k % 4);
      s.factor[k / 2][k % 2] = shift_right_signed(shift_left(head[k / 4], 24 - 8 * byte), 24);
      s.d[k / 2] = d;
    }
  }
};

// The codes of 16 bytes that hold four of two bits each.
inline I two_bits(const uint8_t* p, size_t stride, size_t j) {
  return shift_right(load_rows(p, stride), 2 * static_cast<int>(j)) & bytes(3);
}

template <>
struct Format<BlockQ2_K> : FormatBase {
  static constexpr size_t kSubs = 8;
  static constexpr bool kMin = true, kFactors = true, kMinFactors = true;
  static CodePair codes(const Panel& p, size_t i, size_t sub) {
    const uint8_t* at = p.group(i) + 16 + 32 * (sub / 4);
    return {two_bits(at, 4 * p.stride, sub % 4), two_bits(at + 16, 4 * p.stride, sub % 4)};
  }
  static void scales(const Panel& p, Scales<8>& s) {
    I head[4];
    load_header(p, 0, head);
    const I dm = load_dwords(p.base + 80, p.stride), four = iset1(15);
    const F d = low_half_to_float(dm), m = zero() - low_half_to_float(shift_right(dm, 16));
    for (size_t k = 0; k < 16; ++k) {
      const int bit = 8 * static_cast<int>(k % 4);
      s.factor[k / 2][k % 2] = shift_right(head[k / 4], bit) & four;
      s.min_factor[k / 2][k % 2] = shift_right(head[k / 4], bit + 4) & four;
      s.d[k / 2] = d;
      s.m[k / 2] = m;
    }
  }
};

template <>
struct Format<BlockQ3_K> : FormatBase {
  static constexpr size_t kSubs = 8;
  static constexpr bool kFactors = true;
  static constexpr int kOffset = 4;
  static I half(const uint8_t* low, const uint8_t* high, size_t stride, size_t sub) {
    const I bit = shift_right(load_rows(high, stride), static_cast<int>(sub)) & bytes(1);
    return two_bits(low, stride, sub % 4) | shift_left(bit, 2);
  }
  static CodePair codes(const Panel& p, size_t i, size_t sub) {
    const uint8_t *high = p.group(i), *low = p.group(i) + 32 + 32 * (sub / 4);
    return {half(low, high, 4 * p.stride, sub), half(low + 16, high + 16, 4 * p.stride, sub)};
  }
  static void scales(const Panel& p, Scales<8>& s) {
    const I low[2] = {load_dwords(p.base + 96, p.stride), load_dwords(p.base + 100, p.stride)};
    const I high = load_dwords(p.base + 104, p.stride);
    const F d = low_half_to_float(shift_right(load_dwords(p.base + 106, p.stride), 16));
    for (size_t k = 0; k < 16; ++k) {
      const int byte = 8 * static_cast<int>(k % 4), quarter = static_cast<int>(k / 4);
      const I a = shift_right(low[quarter & 1], byte + 4 * (quarter / 2)) & iset1(15);
      const I b = shift_right(high, byte + 2 * quarter) & iset1(3);
      s.factor[k / 2][k % 2] = (a | shift_left(b, 4)) - iset1(32);
      s.d[k / 2] = d;
    }
  }
};

// Codes that index a table of signed bytes. Where products need unsigned bytes, the sign bit is
// flipped, which adds 128.
inline CodePair table_codes(const int8_t (&table)[16], I nibbles) {
  const I values = kSignedDot ? broadcast16(table) : broadcast16(table) ^ bytes(128);
  const CodePair c = split_nibbles(nibbles);
  return {shuffle_bytes(values, c.low), shuffle_bytes(values, c.high)};
}

template <>
struct Format<BlockIQ4_NL> : FormatBase {
  static constexpr bool kSigned = kSignedDot;
  static constexpr int kOffset = kSignedDot ? 0 : 128;
  static CodePair codes(const Panel& p, size_t i, size_t) {
    return table_codes(kIq4Values, load_rows(p.group(i) + 2, 4 * p.stride));
  }
  static void scales(const Panel& p, Scales<1>& s) { Format<BlockQ4_0>::scales(p, s); }
};

template <>
struct Format<BlockIQ4_XS> : FormatBase {
  static constexpr size_t kSubs = 8;
  static constexpr bool kSigned = kSignedDot;
  static constexpr int kOffset = kSignedDot ? 0 : 128;
  static CodePair codes(const Panel& p, size_t i, size_t sub) {
    return table_codes(kIq4Values, load_rows(p.group(i) + 8 + 16 * sub, 4 * p.stride));
  }
  static void scales(const Panel& p, Scales<8>& s) {
    const I head = load_dwords(p.base, p.stride), low = load_dwords(p.base + 4, p.stride);
    const F d = low_half_to_float(head);
    for (int k = 0; k < 8; ++k) {
      const I a = shift_right(low, 4 * k) & iset1(15);
      const I b = shift_right(head, 16 + 2 * k) & iset1(3);
      s.d[k] = d * to_float((a | shift_left(b, 4)) - iset1(32));
    }
  }
};

template <>
struct Format<BlockMXFP4> : FormatBase {
  static constexpr int kOffset = 12;
  static CodePair codes(const Panel& p, size_t i, size_t) {
    alignas(16) static constexpr uint8_t kShifted[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                                         12, 11, 10, 9,  8,  6,  4,  0};
    const CodePair c = split_nibbles(load_rows(p.group(i) + 1, 4 * p.stride));
    return {shuffle_bytes(broadcast16(kShifted), c.low),
            shuffle_bytes(broadcast16(kShifted), c.high)};
  }
  // 2^(e - 128) as bits: (e - 1) << 23, or (e + 1) << 21 for the subnormal e = 0 and 1, where that
  // is the larger of the two.
  static void scales(const Panel& p, Scales<1>& s) {
    const I e = load_dwords(p.base, p.stride) & iset1(255), one = iset1(1);
    s.d[0] = as_float(max(shift_left(e - one, 23), shift_left(e + one, 21)));
  }
};

}  // namespace
}  // namespace localai::kernels
