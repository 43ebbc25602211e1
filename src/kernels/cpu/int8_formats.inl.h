#pragma once
// How the block formats become integer codes, out of panels of 16 weight rows (kernels/packed.h).
// Included after a lanes_*.h with byte operations:
//   add16_where(c, f, b)  c + 16 in the bytes where f has the bit b
#include "kernels/packed.h"
#include "tensor/blocks.h"

namespace localai::kernels {
namespace {

// One block of each of 16 rows.
struct PanelBlock {
  const uint8_t *lines, *odd;
  [[nodiscard]] I line(size_t i) const { return iload(lines + kLineBytes * i); }
};

// Scales of one block for 16 rows. m and factor only where the format has them.
template <size_t kSubs>
struct Scales {
  F d[kSubs], m[kSubs];
  I factor[kSubs][2], min_factor[kSubs][2];
};

// Each Format: sub-blocks of 32 in a block, whether there are minima (m), integer factors for the
// two halves of the products or of the minima, what is to be subtracted from the codes, whether
// they are signed bytes, the greatest magnitude of one, and whether lines are fetched ahead (as
// measured: it makes Q6_K faster and Q4_K slower).
//   code(p, sub, e)  elements 4e..4e+3 of a sub-block, e = 0..7: four bytes of each row
//   scales(p, s)     of the whole block
struct FormatBase {
  static constexpr size_t kSubs = 1;
  static constexpr bool kMin = false, kFactors = false, kMinFactors = false, kSigned = false;
  static constexpr bool kPrefetch = false;
  static constexpr int kOffset = 0, kMaxCode = 15;
};

template <class Block>
struct Format;

// Elements 4e..4e+3 of 32 nibbles: four lines from `first` on, low halves before high ones.
[[gnu::always_inline]] inline I nibble_code(const PanelBlock& p, size_t first, size_t e) {
  return e < 4 ? p.line(first + e) & bytes(15) : shift_right(p.line(first + e - 4), 4) & bytes(15);
}
// The same 4 where each line belongs to two sub-blocks: the even one has the low halves.
[[gnu::always_inline]] inline I pair_code(const PanelBlock& p, size_t first, size_t sub, size_t e) {
  const I line = p.line(first + 8 * (sub / 2) + e);
  return (sub % 2 == 0 ? line : shift_right(line, 4)) & bytes(15);
}
// `code` with the bits 4e..4e+3 of each row's dword as the fifth bits of its four bytes.
[[gnu::always_inline]] inline I add_fifth_bits(I code, I dword, size_t e) {
  const auto at = static_cast<uint32_t>(e / 2) * 0x01010101u;
  alignas(16) const uint32_t from[4] = {at, at + 0x04040404u, at + 0x08080808u, at + 0x0c0c0c0cu};
  const I bits = iset1(static_cast<int32_t>(e % 2 == 0 ? 0x08040201u : 0x80402010u));
  return add16_where(code, shuffle_bytes(dword, broadcast16(from)), bits);
}

template <>
struct Format<BlockQ4_0> : FormatBase {
  static constexpr int kOffset = 8;
  [[gnu::always_inline]] static I code(const PanelBlock& p, size_t, size_t e) {
    return nibble_code(p, 0, e);
  }
  [[gnu::always_inline]] static void scales(const PanelBlock& p, Scales<1>& s) {
    s.d[0] = load_f16(p.odd);
  }
};

template <>
struct Format<BlockQ4_1> : FormatBase {
  static constexpr bool kMin = true;
  [[gnu::always_inline]] static I code(const PanelBlock& p, size_t, size_t e) {
    return nibble_code(p, 1, e);
  }
  [[gnu::always_inline]] static void scales(const PanelBlock& p, Scales<1>& s) {
    const I dm = p.line(0);
    s.d[0] = low_half_to_float(dm);
    s.m[0] = low_half_to_float(shift_right(dm, 16));
  }
};

template <>
struct Format<BlockQ5_0> : FormatBase {
  static constexpr int kOffset = 16, kMaxCode = 31;
  [[gnu::always_inline]] static I code(const PanelBlock& p, size_t, size_t e) {
    return add_fifth_bits(nibble_code(p, 1, e), p.line(0), e);
  }
  [[gnu::always_inline]] static void scales(const PanelBlock& p, Scales<1>& s) {
    s.d[0] = load_f16(p.odd);
  }
};

template <>
struct Format<BlockQ5_1> : FormatBase {
  static constexpr bool kMin = true;
  static constexpr int kMaxCode = 31;
  [[gnu::always_inline]] static I code(const PanelBlock& p, size_t, size_t e) {
    return add_fifth_bits(nibble_code(p, 2, e), p.line(1), e);
  }
  [[gnu::always_inline]] static void scales(const PanelBlock& p, Scales<1>& s) {
    Format<BlockQ4_1>::scales(p, s);
  }
};

template <>
struct Format<BlockQ8_0> : FormatBase {
  static constexpr bool kSigned = kSignedDot;
  // Else the codes are made unsigned.
  static constexpr int kOffset = kSignedDot ? 0 : 128, kMaxCode = kSignedDot ? 128 : 255;
  [[gnu::always_inline]] static I code(const PanelBlock& p, size_t, size_t e) {
    return kSignedDot ? p.line(e) : p.line(e) ^ bytes(128);
  }
  [[gnu::always_inline]] static void scales(const PanelBlock& p, Scales<1>& s) {
    s.d[0] = load_f16(p.odd);
  }
};

// Lines 0..3 of a Q4_K or Q5_K block: d, dmin and the packed 6-bit scales.
[[gnu::always_inline]] inline void k_scales(const PanelBlock& p, Scales<8>& s) {
  const I head = p.line(0);
  const F d = low_half_to_float(head), dmin = low_half_to_float(shift_right(head, 16));
  const I six = iset1(63), four = iset1(15), two = iset1(0x30);
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const I a = shift_right(p.line(1), 8 * k), b = shift_right(p.line(2), 8 * k),
            c = shift_right(p.line(3), 8 * k);
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
  [[gnu::always_inline]] static I code(const PanelBlock& p, size_t sub, size_t e) {
    return pair_code(p, 4, sub, e);
  }
  [[gnu::always_inline]] static void scales(const PanelBlock& p, Scales<8>& s) { k_scales(p, s); }
};

template <>
struct Format<BlockQ5_K> : FormatBase {
  static constexpr size_t kSubs = 8;
  static constexpr bool kMin = true;
  static constexpr int kMaxCode = 31;
  [[gnu::always_inline]] static I code(const PanelBlock& p, size_t sub, size_t e) {
    const I high = p.line(4 + e);
    const int up = 4 - static_cast<int>(sub);
    return pair_code(p, 12, sub, e) |
           ((up < 0 ? shift_right(high, -up) : shift_left(high, up)) & bytes(16));
  }
  [[gnu::always_inline]] static void scales(const PanelBlock& p, Scales<8>& s) { k_scales(p, s); }
};

template <>
struct Format<BlockQ6_K> : FormatBase {
  static constexpr size_t kSubs = 8;
  static constexpr bool kFactors = true, kPrefetch = true;
  static constexpr int kOffset = 32, kMaxCode = 63;
  [[gnu::always_inline]] static I code(const PanelBlock& p, size_t sub, size_t e) {
    const size_t n = sub / 4, j = sub % 4;
    const I low = p.line(4 + 24 * n + 16 * (j % 2) + e), high = p.line(12 + 24 * n + e);
    const int up = 4 - 2 * static_cast<int>(j);
    return ((j < 2 ? low : shift_right(low, 4)) & bytes(15)) |
           ((up < 0 ? shift_right(high, -up) : shift_left(high, up)) & bytes(0x30));
  }
  [[gnu::always_inline]] static void scales(const PanelBlock& p, Scales<8>& s) {
    const F d = load_f16(p.odd);
#pragma GCC unroll 16
    for (size_t k = 0; k < 16; ++k) {
      const int byte = static_cast<int>(k % 4);
      s.factor[k / 2][k % 2] = shift_right_signed(shift_left(p.line(k / 4), 24 - 8 * byte), 24);
      s.d[k / 2] = d;
    }
  }
};

// The codes of a line that holds four sub-blocks, two bits each.
[[gnu::always_inline]] inline I two_bits(const PanelBlock& p, size_t first, size_t sub, size_t e) {
  return shift_right(p.line(first + 8 * (sub / 4) + e), 2 * static_cast<int>(sub % 4)) & bytes(3);
}

template <>
struct Format<BlockQ2_K> : FormatBase {
  static constexpr size_t kSubs = 8;
  static constexpr bool kMin = true, kFactors = true, kMinFactors = true;
  static constexpr int kMaxCode = 3;
  [[gnu::always_inline]] static I code(const PanelBlock& p, size_t sub, size_t e) {
    return two_bits(p, 5, sub, e);
  }
  [[gnu::always_inline]] static void scales(const PanelBlock& p, Scales<8>& s) {
    const I dm = p.line(0), four = iset1(15);
    const F d = low_half_to_float(dm), m = zero() - low_half_to_float(shift_right(dm, 16));
#pragma GCC unroll 16
    for (size_t k = 0; k < 16; ++k) {
      const int bit = 8 * static_cast<int>(k % 4);
      s.factor[k / 2][k % 2] = shift_right(p.line(1 + k / 4), bit) & four;
      s.min_factor[k / 2][k % 2] = shift_right(p.line(1 + k / 4), bit + 4) & four;
      s.d[k / 2] = d;
      s.m[k / 2] = m;
    }
  }
};

template <>
struct Format<BlockQ3_K> : FormatBase {
  static constexpr size_t kSubs = 8;
  static constexpr bool kFactors = true;
  static constexpr int kOffset = 4, kMaxCode = 7;
  [[gnu::always_inline]] static I code(const PanelBlock& p, size_t sub, size_t e) {
    const I bit = p.line(3 + e);
    const int up = 2 - static_cast<int>(sub);
    return two_bits(p, 11, sub, e) |
           ((up < 0 ? shift_right(bit, -up) : shift_left(bit, up)) & bytes(4));
  }
  [[gnu::always_inline]] static void scales(const PanelBlock& p, Scales<8>& s) {
    const F d = load_f16(p.odd);
#pragma GCC unroll 16
    for (size_t k = 0; k < 16; ++k) {
      const int byte = 8 * static_cast<int>(k % 4), quarter = static_cast<int>(k / 4);
      const I a = shift_right(p.line(k / 4 % 2), byte + 4 * (quarter / 2)) & iset1(15);
      const I b = shift_right(p.line(2), byte + 2 * quarter) & iset1(3);
      s.factor[k / 2][k % 2] = (a | shift_left(b, 4)) - iset1(32);
      s.d[k / 2] = d;
    }
  }
};

// Nibbles that index a table of signed bytes. Where products need unsigned bytes, the sign bit is
// flipped, which adds 128.
[[gnu::always_inline]] inline I table_code(const int8_t (&table)[16], I nibbles) {
  return shuffle_bytes(kSignedDot ? broadcast16(table) : broadcast16(table) ^ bytes(128), nibbles);
}

template <>
struct Format<BlockIQ4_NL> : FormatBase {
  static constexpr bool kSigned = kSignedDot;
  static constexpr int kOffset = kSignedDot ? 0 : 128, kMaxCode = kSignedDot ? 128 : 255;
  [[gnu::always_inline]] static I code(const PanelBlock& p, size_t, size_t e) {
    return table_code(kIq4Values, nibble_code(p, 0, e));
  }
  [[gnu::always_inline]] static void scales(const PanelBlock& p, Scales<1>& s) {
    s.d[0] = load_f16(p.odd);
  }
};

template <>
struct Format<BlockIQ4_XS> : FormatBase {
  static constexpr size_t kSubs = 8;
  static constexpr bool kSigned = kSignedDot;
  static constexpr int kOffset = kSignedDot ? 0 : 128, kMaxCode = kSignedDot ? 128 : 255;
  [[gnu::always_inline]] static I code(const PanelBlock& p, size_t sub, size_t e) {
    return table_code(kIq4Values, nibble_code(p, 2 + 4 * sub, e));
  }
  [[gnu::always_inline]] static void scales(const PanelBlock& p, Scales<8>& s) {
    const I head = p.line(0), low = p.line(1);
    const F d = low_half_to_float(head);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      const I a = shift_right(low, 4 * k) & iset1(15);
      const I b = shift_right(head, 16 + 2 * k) & iset1(3);
      s.d[k] = d * to_float((a | shift_left(b, 4)) - iset1(32));
    }
  }
};

template <>
struct Format<BlockMXFP4> : FormatBase {
  static constexpr int kOffset = 12, kMaxCode = 24;
  [[gnu::always_inline]] static I code(const PanelBlock& p, size_t, size_t e) {
    alignas(16) static constexpr uint8_t kShifted[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                                         12, 11, 10, 9,  8,  6,  4,  0};
    return shuffle_bytes(broadcast16(kShifted), nibble_code(p, 0, e));
  }
  // 2^(e - 128) as bits: (e - 1) << 23, or (e + 1) << 21 for the subnormal e = 0 and 1, where that
  // is the larger of the two.
  [[gnu::always_inline]] static void scales(const PanelBlock& p, Scales<1>& s) {
    const I e = load_u8(p.odd), one = iset1(1);
    s.d[0] = as_float(max(shift_left(e - one, 23), shift_left(e + one, 21)));
  }
};

}  // namespace
}  // namespace localai::kernels
