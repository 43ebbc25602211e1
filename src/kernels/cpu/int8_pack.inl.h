#pragma once
// Rows of blocks into panels (kernels/packed.h). Included after a lanes_*.h with byte operations:
//   load_rows(p, s)    16 bytes each at p, p + s, p + 2s, p + 3s: the four 128-bit parts
//   load_dwords(p, s)  4 bytes each at p + i s, i = 0..15
#include "kernels/packed.h"
#include "tensor/blocks.h"

namespace localai::kernels {
namespace {

// Lane r of out[g] is dword g of row r, where t[i] holds rows i, i + 4, i + 8, i + 12: 4 x 4 dwords
// change places within 128 bits.
inline void transpose4(const I (&t)[4], I (&out)[4]) {
  const I a = unpack_low32(t[0], t[1]), b = unpack_low32(t[2], t[3]);
  const I c = unpack_high32(t[0], t[1]), d = unpack_high32(t[2], t[3]);
  out[0] = unpack_low64(a, b);
  out[1] = unpack_high64(a, b);
  out[2] = unpack_low64(c, d);
  out[3] = unpack_high64(c, d);
}

template <class Block>
inline constexpr PanelLayout kPanelLayout = panel_layout<Block>();

// The lines and odd bytes of `blocks` blocks of 16 rows, `stride` bytes apart.
template <class Block>
void pack_full(const uint8_t* rows, size_t stride, size_t blocks, uint8_t* lines, uint8_t* odd) {
  constexpr PanelLayout kLayout = kPanelLayout<Block>;
  for (size_t b = 0; b < blocks; ++b, rows += sizeof(Block)) {
    for (size_t i = 0; i < kLayout.lines;) {
      const uint8_t* at = rows + kLayout.at[i];
      if (i + 4 <= kLayout.lines && kLayout.at[i + 3] == kLayout.at[i] + 12) {
        I t[4], out[4];
        for (size_t g = 0; g < 4; ++g) t[g] = load_rows(at + g * stride, 4 * stride);
        transpose4(t, out);
        for (const I& line : out) istore(lines + i++ * kLineBytes, line);
      } else {
        istore(lines + i++ * kLineBytes, load_dwords(at, stride));
      }
    }
    lines += kLayout.lines * kLineBytes;
    for (size_t r = 0; r < kPanelRows; ++r, odd += kLayout.odd_bytes)
      __builtin_memcpy(odd, rows + r * stride + kLayout.odd_at, kLayout.odd_bytes);
  }
}

// Blocks of 32 of a row that are packed, or unpacked into lines, at a time, at most: 640 elements,
// which some small models' rows have.
inline constexpr size_t kSlabBlocks = 20;

// At most a slab of `count` rows; past the last one it is repeated.
template <class Block>
void pack_slab(const uint8_t* rows, size_t stride, size_t count, size_t blocks, uint8_t* lines,
               uint8_t* odd) {
  if (count >= kPanelRows) return pack_full<Block>(rows, stride, blocks, lines, odd);
  uint8_t copy[kPanelRows][kSlabBlocks * sizeof(BlockQ8_0)];
  for (size_t r = 0; r < kPanelRows; ++r)
    __builtin_memcpy(copy[r], rows + (r < count ? r : count - 1) * stride, blocks * sizeof(Block));
  pack_full<Block>(copy[0], sizeof copy[0], blocks, lines, odd);
}

// KernelSet::pack_panel.
template <class Block, size_t kElements>
void pack_panel(const std::byte* rows, size_t row_bytes, size_t count, size_t k, std::byte* panel) {
  constexpr PanelLayout kLayout = kPanelLayout<Block>;
  constexpr size_t kSlab = 16 * 32 / kElements;
  const size_t blocks = k / kElements;
  const auto* from = reinterpret_cast<const uint8_t*>(rows);
  auto* lines = reinterpret_cast<uint8_t*>(panel);
  uint8_t* odd = lines + blocks * kLayout.lines * kLineBytes;
  for (size_t b = 0; b < blocks; b += kSlab) {
    const size_t n = blocks - b < kSlab ? blocks - b : kSlab;
    pack_slab<Block>(from + b * sizeof(Block), row_bytes, count, n,
                     lines + b * kLayout.lines * kLineBytes,
                     odd + b * kPanelRows * kLayout.odd_bytes);
  }
}

}  // namespace
}  // namespace localai::kernels
