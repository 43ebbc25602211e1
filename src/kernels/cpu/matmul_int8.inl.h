#pragma once
// matmul_fast and matmul_packed for block weights, 16 weight rows (a panel) at a time, one lane an
// output: the operations of matmul_int8_scalar.inl.h on 16 outputs at once.
//   packed weights, few activation rows: codes come out of the panel as they are needed
//   many: the codes of a slab become bytes once, and every activation row sweeps over them
//   weights in file layout: a slab of 16 rows is packed first
// Included after the lanes and products of a set:
//   kSums16                 whether products of bytes add up in 16 bits first
//   pair_products<s>(w, x)  16-bit sums of two products, w unsigned unless s, x signed; add16
//   widen_pairs(a)          the 32-bit sums of pairs of 16-bit lanes
//   dot<s>(acc, w, x)       acc + the sums of four products
//   kDirectRows, kSweepRows  most activation rows of the first way; rows at once in the second
//   kDirectPass             rows at once in the first, 4 or 8
//   Tiles                   sums of many activation rows at once, if Tiles::kThere (tiles_amx.h)
#include "kernels/cpu/int8_formats.inl.h"
#include "kernels/cpu/int8_pack.inl.h"
#include "kernels/kernels.h"

// The parts of a block, each with shifts of its own. Not unrolled where every load is
// instrumented: compilers take minutes over that.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LAI_UNROLL_BLOCK
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LAI_UNROLL_BLOCK
#endif
#endif
#ifndef LAI_UNROLL_BLOCK
#define LAI_UNROLL_BLOCK _Pragma("GCC unroll 8")
#endif

namespace localai::kernels {
namespace {

// Where a panel's results go: the columns [first, last) of its 16.
struct Target {
  float* y;  // column 0 of the panel in row 0
  size_t ldy;
  size_t first, last;
  [[nodiscard]] bool whole() const { return last - first == kPanelRows; }
  [[nodiscard]] F get(size_t r) const {
    if (whole()) return load(y + r * ldy);
    alignas(64) float lanes[kPanelRows] = {};
    for (size_t i = first; i < last; ++i) lanes[i] = y[r * ldy + i];
    return load(lanes);
  }
  void put(size_t r, F value) const {
    if (whole()) return store(y + r * ldy, value);
    alignas(64) float lanes[kPanelRows];
    store(lanes, value);
    for (size_t i = first; i < last; ++i) y[r * ldy + i] = lanes[i];
  }
};

// How many pair_products can be added up in 16 bits: one is at most 2 * 127 * kMaxCode.
template <class Fmt>
constexpr int pairs_in_16_bits() {
  int count = 1;
  while (count < 8 && 2 * count * 2 * 127 * Fmt::kMaxCode <= INT16_MAX) count *= 2;
  return Fmt::kFactors && count > 4 ? 4 : count;
}

// The exact sum of the products of one block of 32, or of its two halves where each has a factor.
template <class Fmt>
struct BlockSums {
  I low, high, run;

  // Elements 4e..4e+3, e = 0..7 in this order.
  [[gnu::always_inline]] void add(int e, I codes, I x) {
    if (Fmt::kFactors && e >= 4)
      add_to(high, e, codes, x);
    else
      add_to(low, e, codes, x);
  }

 private:
  [[gnu::always_inline]] void add_to(I& to, int e, I codes, I x) {
    constexpr int kRun = pairs_in_16_bits<Fmt>();
    if constexpr (!kSums16) {
      to = dot<Fmt::kSigned>(to, codes, x);
    } else {
      const I pairs = pair_products<Fmt::kSigned>(codes, x);
      run = e % kRun == 0 ? pairs : add16(run, pairs);
      if (e % kRun == kRun - 1) to = to + widen_pairs(run);
    }
  }
};

// One block of 32 into the 16 chains. sx is used with minima only.
template <class Fmt, size_t kSubs>
[[gnu::always_inline]] inline F add_block(F acc, const Scales<kSubs>& s, size_t sub,
                                          const BlockSums<Fmt>& sums, F dx, F sx) {
  I sum = sums.low;
  if constexpr (Fmt::kFactors) sum = sum * s.factor[sub][0] + sums.high * s.factor[sub][1];
  acc = fma(s.d[sub] * dx, to_float(sum), acc);
  if constexpr (Fmt::kMin) acc = fma(s.m[sub], sx, acc);
  return acc;
}

// Blocks in a slab of rows of `blocks`: whole blocks of the format, and no short one at the end.
template <class Fmt>
constexpr size_t slab_blocks(size_t blocks) {
  if (Fmt::kSubs == 8) return kSlabBlocks / 8 * 8;
  const size_t slabs = (blocks + kSlabBlocks - 1) / kSlabBlocks;
  return (blocks + slabs - 1) / slabs;
}

// What a slab of one activation row adds besides its codes.
struct RowTerms {
  static constexpr size_t kTerms = (kSlabBlocks + 15) / 16 * 16;
  alignas(64) float sx[kTerms];                   // scale * (sum of the 32 codes)
  alignas(64) int32_t low[kTerms], high[kTerms];  // -offset * sums: the sums' start;
                                                  // kMinFactors: the sums themselves
};

// Of blocks `at` to at + 15, as far as there are `blocks`.
template <class Fmt>
[[gnu::always_inline]] inline void terms_of_16(const float* scale, const int16_t* sum16, size_t at,
                                               size_t blocks, RowTerms& t) {
  int16_t sums[32] = {};
  float scales[16] = {};
  scale += at;
  sum16 += 2 * at;
  blocks -= at;
  if (blocks < 16) {
    __builtin_memcpy(sums, sum16, blocks * 2 * sizeof(int16_t));
    __builtin_memcpy(scales, scale, blocks * sizeof(float));
    sum16 = sums;
    scale = scales;
  }
  const I pairs = iload(sum16);
  const I s0 = shift_right_signed(shift_left(pairs, 16), 16), s1 = shift_right_signed(pairs, 16);
  if constexpr (Fmt::kMin && !Fmt::kMinFactors) store(t.sx + at, load(scale) * to_float(s0 + s1));
  if constexpr (Fmt::kMinFactors) {
    static_assert(Fmt::kOffset == 0);
    istore(t.low + at, s0);
    istore(t.high + at, s1);
  } else if constexpr (Fmt::kFactors) {
    istore(t.low + at, iset1(-Fmt::kOffset) * s0);
    istore(t.high + at, iset1(-Fmt::kOffset) * s1);
  } else if constexpr (Fmt::kOffset != 0) {
    istore(t.low + at, iset1(-Fmt::kOffset) * (s0 + s1));
  }
}

template <class Fmt>
inline void row_terms(const float* scale, const int16_t* sum16, size_t blocks, RowTerms& t) {
  for (size_t at = 0; at < blocks; at += 16) terms_of_16<Fmt>(scale, sum16, at, blocks, t);
}

// kRows activation rows and what they have added up to.
template <class Fmt, size_t kRows>
struct Sweep {
  const int8_t* q[kRows];
  const float* scale[kRows];
  const int16_t* sum16[kRows];
  const RowTerms* terms;  // of the slab, a row each
  F acc[kRows];

  // Rows r, r + 1, ...; their first block is b0.
  Sweep(const MatmulArgs& a, size_t r, size_t b0, const Target& target, const RowTerms* of_rows)
      : terms(of_rows) {
    for (size_t i = 0; i < kRows; ++i) {
      q[i] = a.xq.q + (r + i) * a.k + b0 * kQuantBlock;
      scale[i] = a.xq.scale + (r + i) * (a.k / kQuantBlock) + b0;
      sum16[i] = a.xq.sum16 + (r + i) * (a.k / 16) + 2 * b0;
      acc[i] = b0 == 0 ? zero() : target.get(r + i);
    }
  }
  // Before and after the sums of up to 16 blocks.
  void start_16(size_t blocks, RowTerms (&out)[kRows]) {
    for (size_t i = 0; i < kRows; ++i) terms_of_16<Fmt>(scale[i], sum16[i], 0, blocks, out[i]);
  }
  void end_16(size_t blocks) {
    for (size_t i = 0; i < kRows; ++i) {
      q[i] += blocks * kQuantBlock;
      scale[i] += blocks;
      sum16[i] += 2 * blocks;
    }
  }

  // Block b of the slab: code(e) are its elements 4e..4e+3, scale `sub` of s is its own.
  template <size_t kSubs, class Code>
  [[gnu::always_inline]] void add(size_t b, const Scales<kSubs>& s, size_t sub, Code code) {
    BlockSums<Fmt> sums[kRows];
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) {
      constexpr bool kStart = Fmt::kOffset != 0;
      sums[i].low = kStart ? broadcast4(&terms[i].low[b]) : iset1(0);
      sums[i].high = kStart && Fmt::kFactors ? broadcast4(&terms[i].high[b]) : iset1(0);
    }
    LAI_UNROLL_BLOCK
    for (int e = 0; e < 8; ++e) {
      const I codes = code(static_cast<size_t>(e));
#pragma GCC unroll 8
      for (size_t i = 0; i < kRows; ++i)
        sums[i].add(e, codes, broadcast4(q[i] + 32 * b + 4 * static_cast<size_t>(e)));
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) acc[i] = added(acc[i], i, b, s, sub, sums[i]);
  }

  // The same of row i alone, with the sums of its products: `to` and what the block adds.
  template <size_t kSubs>
  [[nodiscard, gnu::always_inline]] F added(F to, size_t i, size_t b, const Scales<kSubs>& s,
                                            size_t sub, const int32_t* products) const {
    static_assert(!Fmt::kFactors);
    BlockSums<Fmt> sums;
    sums.low = iload(products);
    if constexpr (Fmt::kOffset != 0) sums.low = sums.low + broadcast4(&terms[i].low[b]);
    return added(to, i, b, s, sub, sums);
  }

 private:
  template <size_t kSubs>
  [[nodiscard, gnu::always_inline]] F added(F to, size_t i, size_t b, const Scales<kSubs>& s,
                                            size_t sub, const BlockSums<Fmt>& sums) const {
    const F dx = set1(scale[i][b]);
    F sx = dx;
    if constexpr (Fmt::kMinFactors)
      sx = dx * to_float(broadcast4(&terms[i].low[b]) * s.min_factor[sub][0] +
                         broadcast4(&terms[i].high[b]) * s.min_factor[sub][1]);
    else if constexpr (Fmt::kMin)
      sx = set1(terms[i].sx[b]);
    return add_block<Fmt>(to, s, sub, sums, dx, sx);
  }
};

template <class Block>
inline void advance(PanelBlock& p) {
  p.lines += kPanelLayout<Block>.lines * kLineBytes;
  p.odd += kPanelLayout<Block>.odd_bytes * kPanelRows;
}

// A panel from block b of 32 on, the first of a block of its type.
template <class Block>
inline PanelBlock part_of(const PanelBlock& panel, size_t b) {
  const size_t block = b / Format<Block>::kSubs;
  return {panel.lines + block * kPanelLayout<Block>.lines * kLineBytes,
          panel.odd + block * kPanelLayout<Block>.odd_bytes * kPanelRows};
}

// ---- few activation rows ----

// A sub-block's share of the lines some way ahead, for formats whose lines are read in an order
// that processors do not foresee.
template <class Block>
[[gnu::always_inline]] inline void prefetch(const PanelBlock& p, size_t sub) {
  constexpr size_t kAhead = 4096;
  constexpr size_t kSubs = Format<Block>::kSubs, kLines = kPanelLayout<Block>.lines;
  constexpr size_t kShare = (kLines + kSubs - 1) / kSubs;
  const uint8_t* at = p.lines + kAhead + sub * kLines / kSubs * kLineBytes;
#pragma GCC unroll 8
  for (size_t i = 0; i < kShare; ++i) __builtin_prefetch(at + i * kLineBytes);
}

// kRows rows from r on, over `blocks` blocks of 32 from block b0 on, which is p's first.
template <class Block, size_t kRows>
[[gnu::noinline]] void direct_rows(const MatmulArgs& a, PanelBlock p, size_t b0, size_t blocks,
                                   size_t r, const Target& target) {
  using Fmt = Format<Block>;
  RowTerms terms[kRows];
  Sweep<Fmt, kRows> sweep(a, r, b0, target, terms);
  for (size_t done = 0; done < blocks; done += 16) {
    const size_t n = blocks - done < 16 ? blocks - done : 16;
    sweep.start_16(n, terms);
    for (size_t b = 0; b < n; b += Fmt::kSubs) {
      Scales<Fmt::kSubs> s;
      Fmt::scales(p, s);
      LAI_UNROLL_BLOCK
      for (size_t sub = 0; sub < Fmt::kSubs; ++sub) {
        if constexpr (Fmt::kPrefetch) prefetch<Block>(p, sub);
        sweep.add(b + sub, s, sub, [&](size_t e) { return Fmt::code(p, sub, e); });
      }
      advance<Block>(p);
    }
    sweep.end_16(n);
  }
  for (size_t i = 0; i < kRows; ++i) target.put(r + i, sweep.acc[i]);
}

// ---- many activation rows ----

struct Lines {
  alignas(64) uint8_t codes[kSlabBlocks][8][kLineBytes];  // [block][elements 4e..4e+3][row]
  Scales<kSlabBlocks> scales;
};

// A slab of activation rows: blocks b0 .. b0 + blocks of each, and their terms.
struct SlabRows {
  const MatmulArgs& a;
  size_t b0, blocks;
  const RowTerms* terms;
};

// `next` is what will be unpacked after this, of as many blocks: fetched while rows sweep.
template <class Block>
[[gnu::noinline]] void unpack_lines(PanelBlock p, size_t blocks, Lines& lines,
                                    const uint8_t* next) {
  using Fmt = Format<Block>;
  constexpr size_t kBlockLines = kPanelLayout<Block>.lines;
  for (size_t b = 0; b < blocks; b += Fmt::kSubs, advance<Block>(p)) {
    for (size_t i = 0; i < kBlockLines; ++i, next += kLineBytes) __builtin_prefetch(next, 0, 2);
    Scales<Fmt::kSubs> s;
    Fmt::scales(p, s);
    LAI_UNROLL_BLOCK
    for (size_t sub = 0; sub < Fmt::kSubs; ++sub) {
      LAI_UNROLL_BLOCK
      for (size_t e = 0; e < 8; ++e) istore(lines.codes[b + sub][e], Fmt::code(p, sub, e));
      lines.scales.d[b + sub] = s.d[sub];
      if constexpr (Fmt::kMin) lines.scales.m[b + sub] = s.m[sub];
      if constexpr (Fmt::kFactors)
        for (size_t h = 0; h < 2; ++h) lines.scales.factor[b + sub][h] = s.factor[sub][h];
      if constexpr (Fmt::kMinFactors)
        for (size_t h = 0; h < 2; ++h) lines.scales.min_factor[b + sub][h] = s.min_factor[sub][h];
    }
  }
}

// kRows activation rows from r on over the lines of the slab that starts at block b0.
template <class Fmt, size_t kRows>
[[gnu::noinline]] void sweep_lines(const SlabRows& x, const Lines& lines, size_t r,
                                   const Target& target) {
  Sweep<Fmt, kRows> sweep(x.a, r, x.b0, target, x.terms + r);
  for (size_t b = 0; b < x.blocks; ++b)
    sweep.add(b, lines.scales, b, [&](size_t e) { return iload(lines.codes[b][e]); });
  for (size_t i = 0; i < kRows; ++i) target.put(r + i, sweep.acc[i]);
}

// The same for as many as the tiles take, while their shapes are set.
template <class Tiles, class Fmt>
[[gnu::noinline]] void sweep_tiles(const SlabRows& x, const Lines& lines, size_t r,
                                   const Target& target) {
  constexpr size_t kRows = Tiles::kRows;
  Sweep<Fmt, kRows> sweep(x.a, r, x.b0, target, x.terms + r);
  constexpr size_t kBlocks = Tiles::kBlocks;
  alignas(64) int32_t sums[2 * kBlocks][kRows][kPanelRows];
  const auto multiply = [&](size_t b) {
    const int8_t* q = sweep.q[0] + 32 * b;
    if (b + kBlocks <= x.blocks)
      Tiles::sums(q, x.a.k, lines.codes + b, sums[b % (2 * kBlocks)][0]);
    else
      for (size_t i = 0; b + i < x.blocks; ++i)
        Tiles::sums_of_one(q + 32 * i, x.a.k, lines.codes + b + i, sums[b % (2 * kBlocks) + i][0]);
  };
  multiply(0);
  F acc[kRows];  // in registers: nothing else points here
#pragma GCC unroll 16
  for (size_t i = 0; i < kRows; ++i) acc[i] = sweep.acc[i];
  for (size_t b = 0; b < x.blocks; ++b) {
    if (b % kBlocks == 0) multiply(b + kBlocks);
#pragma GCC unroll 16
    for (size_t i = 0; i < kRows; ++i)
      acc[i] = sweep.added(acc[i], i, b, lines.scales, b, sums[b % (2 * kBlocks)][i]);
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < kRows; ++i) target.put(r + i, acc[i]);
}

// As many rows as fill tiles; how many those are.
template <class Tiles, class Fmt>
size_t sweep_in_tiles(const SlabRows& x, const Lines& lines, const Target& target) {
  size_t r = 0;
  for (; r + Tiles::kRows <= x.a.rows; r += Tiles::kRows)
    sweep_tiles<Tiles, Fmt>(x, lines, r, target);
  return r;
}

template <class Fmt>
void sweep_all(const SlabRows& x, const Lines& lines, const Target& target) {
  size_t r = 0;
  if constexpr (Tiles::kThere && !Fmt::kFactors) r = sweep_in_tiles<Tiles, Fmt>(x, lines, target);
  for (; r + kSweepRows <= x.a.rows; r += kSweepRows)
    sweep_lines<Fmt, kSweepRows>(x, lines, r, target);
  if constexpr (kSweepRows > 4)
    for (; r + 4 <= x.a.rows; r += 4) sweep_lines<Fmt, 4>(x, lines, r, target);
  if constexpr (kSweepRows > 2)
    for (; r + 2 <= x.a.rows; r += 2) sweep_lines<Fmt, 2>(x, lines, r, target);
  for (; r < x.a.rows; ++r) sweep_lines<Fmt, 1>(x, lines, r, target);
}

// ---- panels ----

// Few activation rows over `blocks` blocks of 32 from block b0 on, which is p's first.
template <class Block>
void direct_part(const MatmulArgs& a, PanelBlock p, size_t b0, size_t blocks,
                 const Target& target) {
  size_t r = 0;
  if constexpr (kDirectPass >= 8)
    for (; r + 8 <= a.rows; r += 8) direct_rows<Block, 8>(a, p, b0, blocks, r, target);
  for (; r + 4 <= a.rows; r += 4) direct_rows<Block, 4>(a, p, b0, blocks, r, target);
  if (r + 3 == a.rows) return direct_rows<Block, 3>(a, p, b0, blocks, r, target);
  if (r + 2 == a.rows) return direct_rows<Block, 2>(a, p, b0, blocks, r, target);
  if (r + 1 == a.rows) return direct_rows<Block, 1>(a, p, b0, blocks, r, target);
}

// Many over at most a slab.
template <class Block>
void slab_part(const SlabRows& x, PanelBlock p, const uint8_t* next, const Target& target) {
  Lines lines;
  unpack_lines<Block>(p, x.blocks, lines, next);
  sweep_all<Format<Block>>(x, lines, target);
}

// Panels that take their turns on a slab of the activations, while a cache holds it.
inline constexpr size_t kPanelsTogether = 4;
// Activation rows whose sums lie together until they are whole: in y they are a row apart, and many
// would fall on one another in a cache.
inline constexpr size_t kRowsTogether = 512;

struct PanelGroup {
  PanelBlock panels[kPanelsTogether];
  Target targets[kPanelsTogether];
  size_t count = 0;
};

// slab(rows, panel, sums) for every slab and panel, many activation rows at a time.
template <class Fmt, class Slab>
void sweep_group(const MatmulArgs& a, const PanelGroup& group, Slab slab) {
  alignas(64) float sums[kPanelsTogether][kRowsTogether][kPanelRows];
  RowTerms terms[kRowsTogether];
  const size_t blocks = a.k / kQuantBlock;
  const size_t at_once = slab_blocks<Fmt>(blocks);
  [[maybe_unused]] const Tiles tiles(!Fmt::kFactors && a.rows >= Tiles::kRows);
  for (size_t r0 = 0; r0 < a.rows; r0 += kRowsTogether) {
    MatmulArgs part = a;
    part.rows = a.rows - r0 < kRowsTogether ? a.rows - r0 : kRowsTogether;
    part.xq.q += r0 * a.k;
    part.xq.scale += r0 * blocks;
    part.xq.sum16 += r0 * 2 * blocks;
    for (size_t b0 = 0; b0 < blocks; b0 += at_once) {
      const size_t some = blocks - b0 < at_once ? blocks - b0 : at_once;
      for (size_t r = 0; r < part.rows; ++r)
        row_terms<Fmt>(part.xq.scale + r * blocks + b0, part.xq.sum16 + 2 * (r * blocks + b0), some,
                       terms[r]);
      for (size_t i = 0; i < group.count; ++i)
        slab(SlabRows{part, b0, some, terms}, i, Target{sums[i][0], kPanelRows, 0, kPanelRows});
    }
    for (size_t r = 0; r < part.rows; ++r)
      for (size_t i = 0; i < group.count; ++i) group.targets[i].put(r0 + r, load(sums[i][r]));
  }
}

template <class Block>
void matmul_packed_blocks(const MatmulArgs& a) {
  constexpr size_t kSubs = Format<Block>::kSubs;
  // Codes that are bytes already cost nothing to unpack.
  constexpr size_t kDirect = std::is_same_v<Block, BlockQ8_0> ? kDirectPass : kDirectRows;
  const auto* weights = reinterpret_cast<const uint8_t*>(a.weights);
  const size_t blocks = a.k / kQuantBlock;
  PanelGroup group;
  for (size_t n = a.row_begin / kPanelRows * kPanelRows; n < a.row_end; n += kPanelRows) {
    const uint8_t* lines = weights + n * a.row_bytes;
    const PanelBlock panel{lines, lines + blocks / kSubs * kPanelLayout<Block>.lines * kLineBytes};
    const Target target{a.y + n, a.ldy, a.row_begin > n ? a.row_begin - n : 0,
                        a.row_end - n < kPanelRows ? a.row_end - n : kPanelRows};
    if (a.rows <= kDirect) {
      // A second pass finds its part of the panel in the first cache.
      const size_t part = a.rows <= kDirectPass ? blocks : 64;
      for (size_t b0 = 0; b0 < blocks; b0 += part)
        direct_part<Block>(a, part_of<Block>(panel, b0), b0,
                           blocks - b0 < part ? blocks - b0 : part, target);
      continue;
    }
    group.panels[group.count] = panel;
    group.targets[group.count++] = target;
    if (group.count < kPanelsTogether && n + kPanelRows < a.row_end) continue;
    const auto lines_at = [&](size_t i, size_t b) {
      return part_of<Block>(group.panels[i], b).lines;
    };
    sweep_group<Format<Block>>(a, group, [&](const SlabRows& x, size_t i, const Target& sums) {
      const PanelBlock p = part_of<Block>(group.panels[i], x.b0);
      const uint8_t* next = i + 1 < group.count        ? lines_at(i + 1, x.b0)
                            : x.b0 + x.blocks < blocks ? lines_at(0, x.b0 + x.blocks)
                                                       : lines_at(i, 0) + kPanelRows * a.row_bytes;
      slab_part<Block>(x, p, next, sums);
    });
    group.count = 0;
  }
}

// The 16 rows from n on, in file layout.
template <class Block>
void pack_and_multiply(const MatmulArgs& a, size_t n) {
  constexpr size_t kSlab = kSlabBlocks / Format<Block>::kSubs;
  alignas(64) uint8_t packed[kSlab * kPanelRows * sizeof(Block)];
  uint8_t* odd = packed + kSlab * kPanelLayout<Block>.lines * kLineBytes;
  const auto* rows = reinterpret_cast<const uint8_t*>(a.weights) + n * a.row_bytes;
  const size_t count = a.row_end - n < kPanelRows ? a.row_end - n : kPanelRows;
  const size_t blocks = a.k / kQuantBlock;
  const auto pack = [&](size_t b0, size_t some) {
    pack_slab<Block>(rows + b0 / Format<Block>::kSubs * sizeof(Block), a.row_bytes, count,
                     some / Format<Block>::kSubs, packed, odd);
    return PanelBlock{packed, odd};
  };
  const Target target{a.y + n, a.ldy, 0, count};
  if (a.rows > kDirectRows) {
    PanelGroup group;
    group.targets[group.count++] = target;
    return sweep_group<Format<Block>>(a, group, [&](const SlabRows& x, size_t, const Target& sums) {
      const PanelBlock p = pack(x.b0, x.blocks);
      slab_part<Block>(x, p, p.lines, sums);
    });
  }
  const size_t slab = slab_blocks<Format<Block>>(blocks);
  for (size_t b0 = 0; b0 < blocks; b0 += slab) {
    const size_t some = blocks - b0 < slab ? blocks - b0 : slab;
    direct_part<Block>(a, pack(b0, some), b0, some, target);
  }
}

template <class Block>
void matmul_fast_blocks(const MatmulArgs& a) {
  for (size_t n = a.row_begin; n < a.row_end; n += kPanelRows) pack_and_multiply<Block>(a, n);
}

// This set reads packed weights.
template <class Block, size_t kElements>
constexpr void set_packed(KernelSet& set, size_t type) {
  set.matmul_packed[type] = matmul_packed_blocks<Block>;
  set.pack_panel[type] = pack_panel<Block, kElements>;
}

}  // namespace
}  // namespace localai::kernels
