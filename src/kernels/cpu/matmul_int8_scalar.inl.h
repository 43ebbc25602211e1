#pragma once
// The specification of matmul_fast for block weights. Per 32 elements b, with dx = scale[b] and
// xsum the sum of the 32 activation codes:
//   Q4_0 Q5_0 Q8_0   acc = fma(d * dx, float(sum (q - off) x), acc)
//   Q4_1 Q5_1        acc = fma(d * dx, float(sum q x), acc), then acc = fma(m, dx * xsum, acc)
//   Q4_K Q5_K        the same with d * sc for d and 0 - dmin * mn for m of the sub-block
//   Q6_K Q3_K        acc = fma(d * dx, float(sc0 sum0 + sc1 sum1), acc), sum0 and sum1 over the two
//                    sub-blocks of 16; integers throughout
//   Q2_K             the same, then acc = fma(0 - dmin, dx * float(mn0 xsum0 + mn1 xsum1), acc)
//   IQ4_NL MXFP4     acc = fma(d * dx, float(sum value x), acc), values from a table of integers
//   IQ4_XS           the same with d * sc for d
// One chain an output, b ascending from acc = 0. Sums of products are exact in int32.
#include "kernels/cpu/dequantize.inl.h"
#include "kernels/kernels.h"

namespace localai::kernels {
namespace {

// 32 weights as integers: w = d * scale[i / 16] * q + m * min_scale[i / 16].
struct Codes {
  int32_t q[32];
  int32_t scale[2] = {1, 1}, min_scale[2] = {1, 1};
  float d = 0.f, m = 0.f;
  bool has_min = false;
};

inline void nibbles(const uint8_t* qs, uint32_t qh, int32_t offset, int32_t (&q)[32]) {
  for (size_t i = 0; i < 32; ++i) {
    const int low = i < 16 ? qs[i] & 15 : qs[i - 16] >> 4;
    q[i] = (low | static_cast<int>(qh >> i & 1) << 4) - offset;
  }
}

inline Codes codes(const BlockQ4_0* row, size_t b) {
  Codes c;
  nibbles(row[b].qs, 0, 8, c.q);
  c.d = half_to_float(row[b].d);
  return c;
}
inline Codes codes(const BlockQ4_1* row, size_t b) {
  Codes c;
  nibbles(row[b].qs, 0, 0, c.q);
  c.d = half_to_float(row[b].d);
  c.m = half_to_float(row[b].m);
  c.has_min = true;
  return c;
}
inline Codes codes(const BlockQ5_0* row, size_t b) {
  Codes c;
  nibbles(row[b].qs, row[b].qh, 16, c.q);
  c.d = half_to_float(row[b].d);
  return c;
}
inline Codes codes(const BlockQ5_1* row, size_t b) {
  Codes c;
  nibbles(row[b].qs, row[b].qh, 0, c.q);
  c.d = half_to_float(row[b].d);
  c.m = half_to_float(row[b].m);
  c.has_min = true;
  return c;
}
inline Codes codes(const BlockQ8_0* row, size_t b) {
  Codes c;
  for (size_t i = 0; i < 32; ++i) c.q[i] = row[b].qs[i];
  c.d = half_to_float(row[b].d);
  return c;
}
template <class Block>
inline Codes sub_codes(const Block& block, size_t k) {
  Codes c;
  const SubScale s = sub_scale(block.scales, k);
  c.d = half_to_float(block.d) * s.scale;
  c.m = 0.f - half_to_float(block.dmin) * s.min;
  c.has_min = true;
  for (size_t i = 0; i < 32; ++i) c.q[i] = block.qs[32 * (k / 2) + i] >> 4 * (k & 1) & 15;
  return c;
}
inline Codes codes(const BlockQ4_K* row, size_t b) { return sub_codes(row[b / 8], b % 8); }
inline Codes codes(const BlockQ5_K* row, size_t b) {
  Codes c = sub_codes(row[b / 8], b % 8);
  for (size_t i = 0; i < 32; ++i) c.q[i] |= (row[b / 8].qh[i] >> b % 8 & 1) << 4;
  return c;
}
inline Codes codes(const BlockQ6_K* row, size_t b) {
  const BlockQ6_K& block = row[b / 8];
  const size_t n = b % 8 / 4, j = b % 4;
  Codes c;
  c.d = half_to_float(block.d);
  for (size_t i = 0; i < 32; ++i) {
    const int low = block.ql[64 * n + 32 * (j & 1) + i] >> 4 * (j / 2) & 15;
    c.q[i] = (low | (block.qh[32 * n + i] >> 2 * j & 3) << 4) - 32;
  }
  for (size_t i = 0; i < 2; ++i) c.scale[i] = block.scales[8 * n + 2 * j + i];
  return c;
}

inline int32_t two_bits(const uint8_t (&qs)[64], size_t sub, size_t i) {
  return qs[32 * (sub / 4) + i] >> 2 * (sub % 4) & 3;
}
inline Codes codes(const BlockQ2_K* row, size_t b) {
  const BlockQ2_K& block = row[b / 8];
  const size_t sub = b % 8;
  Codes c;
  c.d = half_to_float(block.d);
  c.m = 0.f - half_to_float(block.dmin);
  c.has_min = true;
  for (size_t i = 0; i < 32; ++i) c.q[i] = two_bits(block.qs, sub, i);
  for (size_t i = 0; i < 2; ++i) {
    c.scale[i] = block.scales[2 * sub + i] & 15;
    c.min_scale[i] = block.scales[2 * sub + i] >> 4;
  }
  return c;
}
inline Codes codes(const BlockQ3_K* row, size_t b) {
  const BlockQ3_K& block = row[b / 8];
  const size_t sub = b % 8;
  Codes c;
  c.d = half_to_float(block.d);
  for (size_t i = 0; i < 32; ++i)
    c.q[i] = (two_bits(block.qs, sub, i) | (block.hmask[i] >> sub & 1) << 2) - 4;
  for (size_t i = 0; i < 2; ++i) c.scale[i] = sub_scale(block, 2 * sub + i);
  return c;
}
inline void table_values(const int8_t (&table)[16], const uint8_t* qs, int32_t (&q)[32]) {
  nibbles(qs, 0, 0, q);
  for (int32_t& code : q) code = table[code];
}
inline Codes codes(const BlockIQ4_NL* row, size_t b) {
  Codes c;
  table_values(kIq4Values, row[b].qs, c.q);
  c.d = half_to_float(row[b].d);
  return c;
}
inline Codes codes(const BlockIQ4_XS* row, size_t b) {
  const BlockIQ4_XS& block = row[b / 8];
  Codes c;
  table_values(kIq4Values, block.qs + 16 * (b % 8), c.q);
  c.d = half_to_float(block.d) * static_cast<float>(sub_scale(block, b % 8));
  return c;
}
inline Codes codes(const BlockMXFP4* row, size_t b) {
  Codes c;
  table_values(kFp4Values, row[b].qs, c.q);
  c.d = half_of_e8m0(row[b].e);
  return c;
}

inline float accumulate_block(const Codes& w, const int8_t* x, float dx, const int16_t* sum16,
                              float acc) {
  int32_t dot[2] = {0, 0};
  for (size_t i = 0; i < 32; ++i) dot[i / 16] += w.q[i] * x[i];
  const int32_t sum = dot[0] * w.scale[0] + dot[1] * w.scale[1];
  acc = fma1(w.d * dx, static_cast<float>(sum), acc);
  const int32_t mins = sum16[0] * w.min_scale[0] + sum16[1] * w.min_scale[1];
  if (w.has_min) acc = fma1(w.m, dx * static_cast<float>(mins), acc);
  return acc;
}

template <class Block>
void matmul_fast_blocks(const MatmulArgs& a) {
  const size_t blocks = a.k / kQuantBlock;
  for (size_t n = a.row_begin; n < a.row_end; ++n) {
    const auto* row = reinterpret_cast<const Block*>(a.weights + n * a.row_bytes);
    for (size_t r = 0; r < a.rows; ++r) a.y[r * a.ldy + n] = 0.f;
    for (size_t b = 0; b < blocks; ++b) {
      const Codes w = codes(row, b);
      for (size_t r = 0; r < a.rows; ++r) {
        float& y = a.y[r * a.ldy + n];
        y = accumulate_block(w, a.xq.q + r * a.k + b * kQuantBlock, a.xq.scale[r * blocks + b],
                             a.xq.sum16 + 2 * (r * blocks + b), y);
      }
    }
  }
}

// This set reads file layout only.
template <class Block, size_t kElements>
constexpr void set_packed(KernelSet& /*set*/, size_t /*type*/) {}

}  // namespace
}  // namespace localai::kernels
