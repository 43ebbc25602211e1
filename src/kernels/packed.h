#pragma once
// Block weights in panels of 16 rows, as the integer kernels stream them. The 16 blocks of a column
// of blocks lie together, cut into dwords: line i holds dword i of every row, so that one load
// gives each of 16 lanes four codes (or the scales) of its own row. The one or two bytes by which a
// block exceeds whole dwords, its scale, lie behind the lines of the panel:
//   line i of block b, row r: b * lines * 64 + i * 64 + r * 4
//   odd bytes of block b, row r: blocks * lines * 64 + (b * 16 + r) * odd_bytes
// A panel is as large as its 16 rows; the last one of a matrix repeats the last row.
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tensor/blocks.h"
#include "tensor/dtype.h"

namespace localai::kernels {

inline constexpr size_t kPanelRows = 16, kLineBytes = 64;
inline constexpr size_t kLinesMax = 64;        // of a block
inline constexpr size_t kBlockBytesMax = 256;  // of a type that is ever packed

struct PanelLayout {
  size_t block_bytes = 0;  // 0: rows of this type are never packed
  size_t lines = 0;
  size_t odd_bytes = 0;                  // block_bytes % 4
  size_t odd_at = 0;                     // where in the block they are
  std::array<uint16_t, kLinesMax> at{};  // where in the block the dword of line i is
};

// Lines in the order in which sub-blocks use them.
template <class Block>
constexpr PanelLayout panel_layout() {
  constexpr bool kSixBits = std::is_same_v<Block, BlockQ6_K>;
  constexpr bool kThreeBits = std::is_same_v<Block, BlockQ3_K>;
  constexpr bool kScaleLast = kSixBits || kThreeBits;
  PanelLayout out{sizeof(Block), sizeof(Block) / 4, sizeof(Block) % 4, 0, {}};
  if (kScaleLast) out.odd_at = out.block_bytes - out.odd_bytes;
  for (size_t i = 0; i < out.lines; ++i) {
    size_t dword = i;
    if (kSixBits) {  // scales; then of each half 8 lines of ql, its 8 of qh, the other 8 of ql
      constexpr size_t kScales = 4, kHalf = 24;
      const size_t n = (i - kScales) / kHalf, j = (i - kScales) % kHalf;
      dword = i < kScales ? 48 + i : j < 8 ? 16 * n + j : j < 16 ? 24 + 8 * n + j : 16 * n + j - 8;
    }
    if (kThreeBits) dword = (i + 24) % out.lines;                        // scales first
    if (std::is_same_v<Block, BlockQ2_K>) dword = (i + 20) % out.lines;  // d and dmin first
    out.at[i] = static_cast<uint16_t>(4 * dword + (kScaleLast ? 0 : out.odd_bytes));
  }
  return out;
}
PanelLayout panel_layout(DType type);

// What `rows` rows of row_bytes take in panels.
inline size_t packed_bytes(size_t rows, size_t row_bytes) {
  return (rows + kPanelRows - 1) / kPanelRows * kPanelRows * row_bytes;
}

// Block `block` of row `row` of a packed matrix, k elements a row, in file layout again.
void unpack_block(DType type, const std::byte* packed, size_t row, size_t k, size_t block,
                  std::byte* out);

}  // namespace localai::kernels
