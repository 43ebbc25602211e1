#pragma once
// Matrix products with f32 activations. One output: 16 lanes of fused multiply-adds over K
// ascending (the last partial 16 padded with zeros), then the fixed tree. Tiles of 4 weight rows by
// up to 4 activation rows only share loads. Included after lanes_*.h and dequantize.inl.h.
#include "kernels/kernels.h"

namespace localai::kernels {
namespace {

inline constexpr size_t kTileRows = 4;
// K at a time when block weights are unpacked to f32: four rows of it fill 32 KiB of stack.
inline constexpr size_t kExactSlab = 2048;

// What tiles of unscaled weights have for scales.
struct NoScales {
  static F apply(F w, size_t) { return w; }
};
struct TileScales {
  F of_row[kTileRows];
  [[nodiscard]] F apply(F w, size_t n) const { return w * of_row[n]; }
};

// acc[r * 4 + n] += w[n] . x[r] over k elements. Unrolled by hand where sums would else live in
// memory.
template <class Plain, size_t kRows, class Scales = NoScales>
inline void accumulate_tile(const std::byte* const (&w)[kTileRows], const float* const (&x)[kRows],
                            size_t k, F (&acc)[kLanes], const Scales& scales = {}) {
  size_t i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    F wi[kTileRows];
#pragma GCC unroll 4
    for (size_t n = 0; n < kTileRows; ++n)
      wi[n] = scales.apply(Plain::load16(w[n] + i * Plain::kBytes), n);
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) {
      const F xi = load(x[r] + i);
#pragma GCC unroll 4
      for (size_t n = 0; n < kTileRows; ++n)
        acc[r * kTileRows + n] = fma(wi[n], xi, acc[r * kTileRows + n]);
    }
  }
  if (i == k) return;
#pragma GCC unroll 4
  for (size_t r = 0; r < kRows; ++r) {
    const F xi = load_part(x[r] + i, k - i);
#pragma GCC unroll 4
    for (size_t n = 0; n < kTileRows; ++n) {
      const F wi = scales.apply(load_plain_part<Plain>(w[n] + i * Plain::kBytes, k - i), n);
      acc[r * kTileRows + n] = fma(wi, xi, acc[r * kTileRows + n]);
    }
  }
}

// out[i] = the sum of the lanes of acc[i], of the first 4 kRows.
template <size_t kRows>
inline void reduce_tile(const F (&acc)[kLanes], float (&out)[kLanes]) {
  if constexpr (kRows == 1) {
    for (size_t n = 0; n < kTileRows; ++n) out[n] = reduce_add(acc[n]);
  } else {
    store(out, reduce_add_each(acc));
  }
}

// y of a tile: weight rows n .. n + valid, activation rows r .. r + kRows.
template <size_t kRows>
inline void store_tile(const MatmulArgs& a, size_t n, size_t valid, size_t r,
                       const F (&acc)[kLanes]) {
  float out[kLanes];
  reduce_tile<kRows>(acc, out);
  for (size_t i = 0; i < kRows; ++i)
    for (size_t j = 0; j < valid; ++j) a.y[(r + i) * a.ldy + n + j] = out[i * kTileRows + j];
}

template <size_t kRows>
inline void activation_rows(const MatmulArgs& a, size_t r, size_t k0, const float* (&x)[kRows]) {
  for (size_t i = 0; i < kRows; ++i) x[i] = a.x + (r + i) * a.ldx + k0;
}

// The last rows of a range that is no multiple of 4 repeat the last one and are not stored.
inline void weight_rows(const MatmulArgs& a, size_t n, size_t valid,
                        const std::byte* (&w)[kTileRows]) {
  for (size_t j = 0; j < kTileRows; ++j)
    w[j] = a.weights + (n + (j < valid ? j : valid - 1)) * a.row_bytes;
}

template <class Plain>
struct PlainTile {
  template <size_t kRows>
  static void run(const MatmulArgs& a, size_t n, size_t valid, size_t r) {
    const std::byte* w[kTileRows];
    const float* x[kRows];
    F acc[kLanes];
    for (F& lanes : acc) lanes = zero();
    weight_rows(a, n, valid, w);
    activation_rows(a, r, 0, x);
    accumulate_tile<Plain, kRows>(w, x, a.k, acc);
    store_tile<kRows>(a, n, valid, r, acc);
  }
};

// F8 weights, from one column group of their scales to the next.
template <class Plain>
struct ScaledTile {
  static TileScales scales_at(const WeightScales& s, size_t n, size_t valid, size_t k0) {
    TileScales out;
    for (size_t j = 0; j < kTileRows; ++j) {
      const size_t row = n + (j < valid ? j : valid - 1);
      out.of_row[j] = set1(s.values[row / s.rows * s.stride + k0 / s.cols]);
    }
    return out;
  }
  template <size_t kRows>
  static void run(const MatmulArgs& a, size_t n, size_t valid, size_t r) {
    static constexpr float kOne = 1.f;
    WeightScales scales = a.scales;
    if (scales.values == nullptr) scales = {.values = &kOne};
    const std::byte* w[kTileRows];
    const float* x[kRows];
    F acc[kLanes];
    for (F& lanes : acc) lanes = zero();
    weight_rows(a, n, valid, w);
    for (size_t k0 = 0, k = 0; k0 < a.k; k0 += k) {
      k = a.k - k0 < scales.cols ? a.k - k0 : scales.cols;
      activation_rows(a, r, k0, x);
      accumulate_tile<Plain, kRows>(w, x, k, acc, scales_at(scales, n, valid, k0));
      for (const std::byte*& row : w) row += k * Plain::kBytes;
    }
    store_tile<kRows>(a, n, valid, r, acc);
  }
};

// Calls Tile::run<4> over the activation rows, then once for the one to three that remain.
template <class Tile, class... Extra>
inline void sweep_rows(const MatmulArgs& a, size_t n, size_t valid, Extra&... extra) {
  size_t r = 0;
  for (; r + 4 <= a.rows; r += 4) Tile::template run<4>(a, n, valid, r, extra...);
  if (a.rows - r == 1) Tile::template run<1>(a, n, valid, r, extra...);
  if (a.rows - r == 2) Tile::template run<2>(a, n, valid, r, extra...);
  if (a.rows - r == 3) Tile::template run<3>(a, n, valid, r, extra...);
}

template <class Tile>
void matmul_tiles(const MatmulArgs& a) {
  for (size_t n = a.row_begin; n < a.row_end; n += kTileRows) {
    const size_t valid = a.row_end - n < kTileRows ? a.row_end - n : kTileRows;
    sweep_rows<Tile>(a, n, valid);
  }
}

// Four weight rows of a slab of K in f32. Where the whole K fits, they are unpacked once for all
// activation rows.
struct Slab {
  alignas(64) float values[kTileRows][kExactSlab];
  size_t filled_from = SIZE_MAX, filled_row = SIZE_MAX;
};

template <class Block, size_t kElements>
struct BlockTile {
  static void fill(const MatmulArgs& a, size_t n, size_t valid, size_t k0, size_t k, Slab& slab) {
    if (slab.filled_from == k0 && slab.filled_row == n) return;
    const std::byte* w[kTileRows];
    weight_rows(a, n, valid, w);
    for (size_t j = 0; j < valid; ++j)
      dequantize_blocks<Block, kElements>(w[j] + k0 / kElements * sizeof(Block), slab.values[j], k);
    slab.filled_from = k0;
    slab.filled_row = n;
  }
  template <size_t kRows>
  static void run(const MatmulArgs& a, size_t n, size_t valid, size_t r, Slab& slab) {
    F acc[kLanes];
    for (F& lanes : acc) lanes = zero();
    for (size_t k0 = 0; k0 < a.k; k0 += kExactSlab) {
      const size_t k = a.k - k0 < kExactSlab ? a.k - k0 : kExactSlab;
      fill(a, n, valid, k0, k, slab);
      const std::byte* w[kTileRows];
      for (size_t j = 0; j < kTileRows; ++j)
        w[j] = reinterpret_cast<const std::byte*>(slab.values[j < valid ? j : valid - 1]);
      const float* x[kRows];
      activation_rows(a, r, k0, x);
      accumulate_tile<PlainF32, kRows>(w, x, k, acc);
    }
    store_tile<kRows>(a, n, valid, r, acc);
  }
};

template <class Block, size_t kElements>
void matmul_blocks(const MatmulArgs& a) {
  Slab slab;
  for (size_t n = a.row_begin; n < a.row_end; n += kTileRows) {
    const size_t valid = a.row_end - n < kTileRows ? a.row_end - n : kTileRows;
    sweep_rows<BlockTile<Block, kElements>>(a, n, valid, slab);
  }
}

}  // namespace
}  // namespace localai::kernels
