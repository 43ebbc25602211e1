#pragma once
// matmul_fast for block weights, 16 weight rows (a panel) at a time, one lane an output: the
// operations of matmul_int8_scalar.inl.h on 16 outputs at once. Two ways to the exact integer sums:
//   few activation rows: the codes stay as they lie in memory, products are summed across at the
//   end many: the codes of 512 elements are unpacked once into lines of [16 rows][4 elements], and
//   every
//     activation row sweeps over them with its 4 elements broadcast
// Included after int8_formats.inl.h. dot<kSigned>(acc, w, x): acc + the sums of four products of
// bytes, w unsigned unless kSigned, x signed.
#include "kernels/cpu/int8_formats.inl.h"
#include "kernels/kernels.h"

namespace localai::kernels {
namespace {

// Where a panel's results go: 16 columns of y, or the first lane only.
struct Target {
  float* y;  // column of row 0
  size_t ldy;
  bool single;
  [[nodiscard]] F get(size_t r) const { return single ? set1(y[r * ldy]) : load(y + r * ldy); }
  void put(size_t r, F value) const {
    if (single)
      store_part(y + r * ldy, value, 1);
    else
      store(y + r * ldy, value);
  }
};

// One block of 32 into the 16 chains. sum_high is used with factors only, sx with minima only.
template <class Fmt, size_t kSubs>
inline F add_block(F acc, const Scales<kSubs>& s, size_t sub, I sum, I sum_high, F dx, F sx) {
  if constexpr (Fmt::kFactors) sum = sum * s.factor[sub][0] + sum_high * s.factor[sub][1];
  acc = fma(s.d[sub] * dx, to_float(sum), acc);
  if constexpr (Fmt::kMin) acc = fma(s.m[sub], sx, acc);
  return acc;
}

// scale * (what the minima of the two halves add up to), where each half has a factor.
template <size_t kSubs>
inline F min_sums(const Scales<kSubs>& s, size_t sub, F dx, I sum_low, I sum_high) {
  return dx * to_float(sum_low * s.min_factor[sub][0] + sum_high * s.min_factor[sub][1]);
}

// ---- few activation rows ----

template <class Fmt, size_t kRows>
struct DirectRows {
  const int8_t* q[kRows];
  const float* scale[kRows];
  const int16_t* sum16[kRows];

  DirectRows(const MatmulArgs& a, size_t r) {
    for (size_t i = 0; i < kRows; ++i) {
      q[i] = a.xq.q + (r + i) * a.k;
      scale[i] = a.xq.scale + (r + i) * (a.k / kQuantBlock);
      sum16[i] = a.xq.sum16 + (r + i) * (a.k / 16);
    }
  }

  // acc of every row += sub-block `sub` of the panel's block, which is block b of the activations.
  void add(const Panel& p, const Scales<Fmt::kSubs>& s, size_t sub, size_t b,
           F (&acc)[kRows]) const {
    I low[kRows][4], high[kRows][4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
      const CodePair c = Fmt::codes(p, i, sub);
#pragma GCC unroll 4
      for (size_t r = 0; r < kRows; ++r) {
        const I x0 = broadcast16(q[r] + 32 * b), x1 = broadcast16(q[r] + 32 * b + 16);
        low[r][i] = dot<Fmt::kSigned>(iset1(0), c.low, x0);
        if constexpr (Fmt::kFactors)
          high[r][i] = dot<Fmt::kSigned>(iset1(0), c.high, x1);
        else
          low[r][i] = dot<Fmt::kSigned>(low[r][i], c.high, x1);
      }
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) {
      const int32_t s0 = sum16[r][2 * b], s1 = sum16[r][2 * b + 1];
      I sum = sum4(low[r]), sum_high = sum;
      if constexpr (Fmt::kFactors) {
        sum = sum - iset1(Fmt::kOffset * s0);
        sum_high = sum4(high[r]) - iset1(Fmt::kOffset * s1);
      } else if constexpr (Fmt::kOffset != 0) {
        sum = sum - iset1(Fmt::kOffset * (s0 + s1));
      }
      const float dx = scale[r][b];
      F sx = set1(dx * static_cast<float>(s0 + s1));
      if constexpr (Fmt::kMinFactors) sx = min_sums(s, sub, set1(dx), iset1(s0), iset1(s1));
      acc[r] = add_block<Fmt>(acc[r], s, sub, sum, sum_high, set1(dx), sx);
    }
  }
};

// The panel after this one lies behind it in memory: it is fetched evenly while this one is worked
// on, in order, which the 16 separate row streams are not.
struct Prefetch {
  const uint8_t *at, *end;
  size_t step;  // bytes of the panel that a block stands for
  Prefetch(const Panel& p, size_t blocks)
      : at(p.base + kLanes * p.stride), end(at), step(kLanes * p.stride / blocks) {}
  void next() {
    for (end += step; at < end; at += kCacheLine) __builtin_prefetch(at, 0, 2);
  }
  static constexpr size_t kCacheLine = 64;
};

template <class Block, size_t kRows>
void direct_panel(const MatmulArgs& a, Panel p, size_t r, const Target& target) {
  using Fmt = Format<Block>;
  const DirectRows<Fmt, kRows> x(a, r);
  F acc[kRows];
  for (F& lanes : acc) lanes = zero();
  Prefetch ahead(p, a.k / kQuantBlock / Fmt::kSubs);
  for (size_t b = 0; b < a.k / kQuantBlock; b += Fmt::kSubs) {
    ahead.next();
    Scales<Fmt::kSubs> s;
    Fmt::scales(p, s);
#pragma GCC unroll 8
    for (size_t sub = 0; sub < Fmt::kSubs; ++sub) x.add(p, s, sub, b + sub, acc);
    p.base += sizeof(Block);
  }
  for (size_t i = 0; i < kRows; ++i) target.put(r + i, acc[i]);
}

// ---- many activation rows ----

inline constexpr size_t kSlabBlocks = 16;

struct Lines {
  alignas(64) uint8_t codes[kSlabBlocks][8][64];  // [block][elements 4g..4g+3][row][element]
  Scales<kSlabBlocks> scales;
};

template <class Block>
void unpack_slab(Panel p, size_t blocks, Lines& lines) {
  using Fmt = Format<Block>;
  for (size_t b = 0; b < blocks; b += Fmt::kSubs) {
    Scales<Fmt::kSubs> s;
    Fmt::scales(p, s);
    for (size_t sub = 0; sub < Fmt::kSubs; ++sub) {
      I low[4], high[4], out[4];
      for (size_t i = 0; i < 4; ++i) {
        const CodePair c = Fmt::codes(p, i, sub);
        low[i] = c.low;
        high[i] = c.high;
      }
      transpose4(low, out);
      for (size_t g = 0; g < 4; ++g) istore(lines.codes[b + sub][g], out[g]);
      transpose4(high, out);
      for (size_t g = 0; g < 4; ++g) istore(lines.codes[b + sub][4 + g], out[g]);
      lines.scales.d[b + sub] = s.d[sub];
      if constexpr (Fmt::kMin) lines.scales.m[b + sub] = s.m[sub];
      if constexpr (Fmt::kFactors)
        for (size_t h = 0; h < 2; ++h) lines.scales.factor[b + sub][h] = s.factor[sub][h];
      if constexpr (Fmt::kMinFactors)
        for (size_t h = 0; h < 2; ++h) lines.scales.min_factor[b + sub][h] = s.min_factor[sub][h];
    }
    p.base += sizeof(Block);
  }
}

// What the epilogue needs of one activation row over the blocks of a slab.
struct RowTerms {
  alignas(64) float sx[kSlabBlocks];                        // scale * (sum of the 32 codes)
  alignas(64) int32_t low[kSlabBlocks], high[kSlabBlocks];  // -offset * sums: the dot's start;
                                                            // kMinFactors: the sums themselves
};

template <class Fmt>
inline void row_terms(const float* scale, const int16_t* sum16, size_t blocks, RowTerms& t) {
  int16_t sums[2 * kSlabBlocks] = {};
  float scales[kSlabBlocks] = {};
  if (blocks < kSlabBlocks) {
    __builtin_memcpy(sums, sum16, blocks * 2 * sizeof(int16_t));
    __builtin_memcpy(scales, scale, blocks * sizeof(float));
    sum16 = sums;
    scale = scales;
  }
  const I pairs = iload(sum16);
  const I s0 = shift_right_signed(shift_left(pairs, 16), 16), s1 = shift_right_signed(pairs, 16);
  if constexpr (Fmt::kMin && !Fmt::kMinFactors) store(t.sx, load(scale) * to_float(s0 + s1));
  if constexpr (Fmt::kMinFactors) {
    static_assert(Fmt::kOffset == 0);
    istore(t.low, s0);
    istore(t.high, s1);
  } else if constexpr (Fmt::kFactors) {
    istore(t.low, iset1(-Fmt::kOffset) * s0);
    istore(t.high, iset1(-Fmt::kOffset) * s1);
  } else if constexpr (Fmt::kOffset != 0) {
    istore(t.low, iset1(-Fmt::kOffset) * (s0 + s1));
  }
}

// kRows activation rows from r on over `blocks` blocks from block b0 on.
template <class Fmt, size_t kRows>
void sweep_lines(const MatmulArgs& a, const Lines& lines, size_t b0, size_t blocks, size_t r,
                 const Target& target) {
  const size_t row_blocks = a.k / kQuantBlock;
  const int8_t* q[kRows];
  const float* scale[kRows];
  RowTerms terms[kRows];
  F acc[kRows];
  for (size_t i = 0; i < kRows; ++i) {
    q[i] = a.xq.q + (r + i) * a.k + b0 * kQuantBlock;
    scale[i] = a.xq.scale + (r + i) * row_blocks + b0;
    row_terms<Fmt>(scale[i], a.xq.sum16 + 2 * ((r + i) * row_blocks + b0), blocks, terms[i]);
    acc[i] = b0 == 0 ? zero() : target.get(r + i);
  }
  for (size_t b = 0; b < blocks; ++b) {
    I sum[kRows], sum_high[kRows];
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) {
      sum[i] = Fmt::kOffset != 0 ? broadcast4(&terms[i].low[b]) : iset1(0);
      sum_high[i] = Fmt::kFactors && Fmt::kOffset != 0 ? broadcast4(&terms[i].high[b]) : iset1(0);
    }
#pragma GCC unroll 8
    for (size_t g = 0; g < 8; ++g) {
      const I line = iload(lines.codes[b][g]);
#pragma GCC unroll 8
      for (size_t i = 0; i < kRows; ++i) {
        I& to = Fmt::kFactors && g >= 4 ? sum_high[i] : sum[i];
        to = dot<Fmt::kSigned>(to, line, broadcast4(q[i] + 32 * b + 4 * g));
      }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) {
      const F dx = set1(scale[i][b]);
      F sx;
      if constexpr (Fmt::kMinFactors)
        sx = min_sums(lines.scales, b, dx, broadcast4(&terms[i].low[b]),
                      broadcast4(&terms[i].high[b]));
      else
        sx = set1(terms[i].sx[b]);
      acc[i] = add_block<Fmt>(acc[i], lines.scales, b, sum[i], sum_high[i], dx, sx);
    }
  }
  for (size_t i = 0; i < kRows; ++i) target.put(r + i, acc[i]);
}

template <class Block>
void lines_panel(const MatmulArgs& a, Panel p, const Target& target) {
  using Fmt = Format<Block>;
  const size_t row_blocks = a.k / kQuantBlock;
  Lines lines;
  for (size_t b0 = 0; b0 < row_blocks; b0 += kSlabBlocks) {
    const size_t blocks = row_blocks - b0 < kSlabBlocks ? row_blocks - b0 : kSlabBlocks;
    unpack_slab<Block>(p, blocks, lines);
    p.base += kSlabBlocks / Fmt::kSubs * sizeof(Block);
    size_t r = 0;
    for (; r + kPanelRows <= a.rows; r += kPanelRows)
      sweep_lines<Fmt, kPanelRows>(a, lines, b0, blocks, r, target);
    if constexpr (kPanelRows > 4)
      for (; r + 4 <= a.rows; r += 4) sweep_lines<Fmt, 4>(a, lines, b0, blocks, r, target);
    if constexpr (kPanelRows > 2)
      for (; r + 2 <= a.rows; r += 2) sweep_lines<Fmt, 2>(a, lines, b0, blocks, r, target);
    for (; r < a.rows; ++r) sweep_lines<Fmt, 1>(a, lines, b0, blocks, r, target);
  }
}

// ---- panels of a range ----

template <class Block>
void run_panel(const MatmulArgs& a, size_t n, bool single) {
  const Panel p{reinterpret_cast<const uint8_t*>(a.weights) + n * a.row_bytes,
                single ? 0 : a.row_bytes};
  const Target target{a.y + n, a.ldy, single};
  if (a.rows == 1) return direct_panel<Block, 1>(a, p, 0, target);
  if (a.rows == 2) return direct_panel<Block, 2>(a, p, 0, target);
  if constexpr (kDirectRows == 3)
    if (a.rows == 3) return direct_panel<Block, 3>(a, p, 0, target);
  lines_panel<Block>(a, p, target);
}

// A range that is no multiple of 16 ends with a panel that overlaps the one before (the same bits
// again); one shorter than 16 takes its rows one by one, as panels whose rows are all the same.
template <class Block>
void matmul_fast_blocks(const MatmulArgs& a) {
  const size_t count = a.row_end - a.row_begin;
  if (count < kLanes) {
    for (size_t n = a.row_begin; n < a.row_end; ++n) run_panel<Block>(a, n, true);
    return;
  }
  size_t n = a.row_begin;
  for (; n + kLanes <= a.row_end; n += kLanes) run_panel<Block>(a, n, false);
  if (n < a.row_end) run_panel<Block>(a, a.row_end - kLanes, false);
}

}  // namespace
}  // namespace localai::kernels
