#pragma once
// Sixteen lanes in two 256-bit registers (AVX2, FMA, F16C), and integer dot products. The meaning
// of each function is in lanes_scalar.h and matmul_int8.inl.h.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/lanes_f8.h"

namespace localai::kernels {
namespace {

inline constexpr int kLanes = 16;

struct F {
  __m256 lo, hi;
};
struct I {
  __m256i lo, hi;
};

inline float half_to_float(uint16_t h) { return _cvtsh_ss(h); }
inline float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

inline F set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F load(const void* p) {
  const auto* f = static_cast<const float*>(p);
  return {_mm256_loadu_ps(f), _mm256_loadu_ps(f + 8)};
}
inline void store(float* p, F a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline F load_f16(const void* p) {
  const auto* h = static_cast<const char*>(p);
  return {_mm256_cvtph_ps(load128(h)), _mm256_cvtph_ps(load128(h + 16))};
}
inline F load_bf16(const void* p) {
  const auto* h = static_cast<const char*>(p);
  const __m256i lo = _mm256_slli_epi32(_mm256_cvtepu16_epi32(load128(h)), 16);
  const __m256i hi = _mm256_slli_epi32(_mm256_cvtepu16_epi32(load128(h + 16)), 16);
  return {_mm256_castsi256_ps(lo), _mm256_castsi256_ps(hi)};
}
inline void store_f16(uint16_t* p, F a) {
  auto* out = reinterpret_cast<__m128i*>(p);
  _mm_storeu_si128(out, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  _mm_storeu_si128(out + 1, _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline F halves_to_float(__m256i h) {
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(h)),
          _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1))};
}

inline F operator+(F a, F b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline F operator-(F a, F b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline F operator*(F a, F b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline F operator/(F a, F b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline F fma(F a, F b, F c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline F load_f8_e4m3(const void* p) { return halves_to_float(f8_e4m3_to_halves(p)) * set1(256.f); }
inline F load_f8_e5m2(const void* p) { return halves_to_float(f8_e5m2_to_halves(p)); }
inline F min(F a, F b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline F max(F a, F b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline F round_even(F a) {
  return {_mm256_round_ps(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline F select_less(F a, F b, F x, F y) {
  return {_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}

inline I iset1(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline I iota() {
  return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
          _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)};
}
inline I load_u8(const uint8_t* p) {
  const __m128i b = load128(p);
  return {_mm256_cvtepu8_epi32(b), _mm256_cvtepu8_epi32(_mm_srli_si128(b, 8))};
}
inline I load_i8(const int8_t* p) {
  const __m128i b = load128(p);
  return {_mm256_cvtepi8_epi32(b), _mm256_cvtepi8_epi32(_mm_srli_si128(b, 8))};
}
// The byte looked up becomes the sign-extended dword.
inline __m256i look_up8(__m256i table, __m256i index) {
  return _mm256_srai_epi32(_mm256_slli_epi32(_mm256_shuffle_epi8(table, index), 24), 24);
}
inline I look_up(const int8_t (&table)[16], I index) {
  const __m256i t = _mm256_broadcastsi128_si256(load128(table));
  return {look_up8(t, index.lo), look_up8(t, index.hi)};
}
inline I operator+(I a, I b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
inline I operator-(I a, I b) {
  return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
inline I operator*(I a, I b) {
  return {_mm256_mullo_epi32(a.lo, b.lo), _mm256_mullo_epi32(a.hi, b.hi)};
}
inline I operator&(I a, I b) {
  return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
inline I operator|(I a, I b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
inline I operator^(I a, I b) {
  return {_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)};
}
inline I max(I a, I b) { return {_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)}; }
inline I shift_left(I a, int n) { return {_mm256_slli_epi32(a.lo, n), _mm256_slli_epi32(a.hi, n)}; }
inline I shift_right(I a, int n) {
  return {_mm256_srli_epi32(a.lo, n), _mm256_srli_epi32(a.hi, n)};
}
inline I shift_right_signed(I a, int n) {
  return {_mm256_srai_epi32(a.lo, n), _mm256_srai_epi32(a.hi, n)};
}
inline I shift_right_each(I a, I n) {
  return {_mm256_srlv_epi32(a.lo, n.lo), _mm256_srlv_epi32(a.hi, n.hi)};
}
inline F to_float(I a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline I to_int(F a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
inline I as_int(F a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
inline F as_float(I a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
// 16 lanes of int32 to int16 in order: packs works within 128 bits, the permute undoes that.
inline __m256i pack16(I a) {
  return _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
}
inline void store_i8(int8_t* p, I a) {
  const __m256i h = pack16(a);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packs_epi16(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1)));
}

inline float reduce_add(F a) {
  const __m256 b = _mm256_add_ps(a.lo, a.hi);
  const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
inline float reduce_max(F a) {
  const __m256 b = _mm256_max_ps(a.lo, a.hi);
  const __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  const __m128 d = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
}
inline int32_t reduce_add(I a) {
  const __m256i b = _mm256_add_epi32(a.lo, a.hi);
  __m128i c = _mm_add_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
  c = _mm_add_epi32(c, _mm_shuffle_epi32(c, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(c, _mm_shuffle_epi32(c, 0xb1)));
}
inline int32_t reduce_max(I a) {
  const __m256i b = _mm256_max_epi32(a.lo, a.hi);
  __m128i c = _mm_max_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
  c = _mm_max_epi32(c, _mm_shuffle_epi32(c, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(c, _mm_shuffle_epi32(c, 0xb1)));
}

// Steps 4, 2, 1 of the tree, each on two vectors at once; step 8 is lo + hi.
inline __m256 tree4(F a, F b) {
  const __m256 x = _mm256_add_ps(a.lo, a.hi), y = _mm256_add_ps(b.lo, b.hi);
  return _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
}
inline __m256 tree2(__m256 a, __m256 b) {
  const __m256d x = _mm256_castps_pd(a), y = _mm256_castps_pd(b);
  return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)),
                       _mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
}
inline __m256 reduce_add_eight(const F* a) {
  const __m256 low = tree2(tree4(a[0], a[4]), tree4(a[1], a[5]));
  const __m256 high = tree2(tree4(a[2], a[6]), tree4(a[3], a[7]));
  return _mm256_add_ps(_mm256_shuffle_ps(low, high, 0x88), _mm256_shuffle_ps(low, high, 0xdd));
}
inline F reduce_add_each(const F (&a)[kLanes]) {
  return {reduce_add_eight(a), reduce_add_eight(a + 8)};
}

// ---- bytes ----

inline I iload(const void* p) {
  const auto* v = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(v), _mm256_loadu_si256(v + 1)};
}
inline void istore(void* p, I a) {
  auto* v = static_cast<__m256i*>(p);
  _mm256_storeu_si256(v, a.lo);
  _mm256_storeu_si256(v + 1, a.hi);
}
inline I bytes(uint8_t x) {
  const __m256i v = _mm256_set1_epi8(static_cast<char>(x));
  return {v, v};
}
inline I broadcast4(const void* p) {
  int32_t x;
  __builtin_memcpy(&x, p, sizeof x);
  return iset1(x);
}
inline I broadcast16(const void* p) {
  const __m256i v = _mm256_broadcastsi128_si256(load128(p));
  return {v, v};
}
inline I load_rows(const uint8_t* p, size_t stride) {
  return {_mm256_inserti128_si256(_mm256_castsi128_si256(load128(p)), load128(p + stride), 1),
          _mm256_inserti128_si256(_mm256_castsi128_si256(load128(p + 2 * stride)),
                                  load128(p + 3 * stride), 1)};
}
// One by one: a gather takes longer on the CPUs that use this set.
inline int32_t load_dword(const uint8_t* p) {
  int32_t x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
inline __m128i load_four_dwords(const uint8_t* p, size_t stride) {
  return _mm_setr_epi32(load_dword(p), load_dword(p + stride), load_dword(p + 2 * stride),
                        load_dword(p + 3 * stride));
}
inline I load_dwords(const uint8_t* p, size_t stride) {
  return {_mm256_setr_m128i(load_four_dwords(p, stride), load_four_dwords(p + 4 * stride, stride)),
          _mm256_setr_m128i(load_four_dwords(p + 8 * stride, stride),
                            load_four_dwords(p + 12 * stride, stride))};
}
inline F low_half_to_float(I a) {
  const I low = a & iset1(0xffff);
  return halves_to_float(_mm256_permute4x64_epi64(_mm256_packus_epi32(low.lo, low.hi), 0xd8));
}
inline I unpack_low32(I a, I b) {
  return {_mm256_unpacklo_epi32(a.lo, b.lo), _mm256_unpacklo_epi32(a.hi, b.hi)};
}
inline I unpack_high32(I a, I b) {
  return {_mm256_unpackhi_epi32(a.lo, b.lo), _mm256_unpackhi_epi32(a.hi, b.hi)};
}
inline I unpack_low64(I a, I b) {
  return {_mm256_unpacklo_epi64(a.lo, b.lo), _mm256_unpacklo_epi64(a.hi, b.hi)};
}
inline I unpack_high64(I a, I b) {
  return {_mm256_unpackhi_epi64(a.lo, b.lo), _mm256_unpackhi_epi64(a.hi, b.hi)};
}
inline I shuffle_bytes(I a, I index) {
  return {_mm256_shuffle_epi8(a.lo, index.lo), _mm256_shuffle_epi8(a.hi, index.hi)};
}
inline I add16_where(I codes, I flags, I bit) {
  const I test = flags & bit;
  const I set = {_mm256_cmpeq_epi8(test.lo, bit.lo), _mm256_cmpeq_epi8(test.hi, bit.hi)};
  return codes | (set & bytes(16));
}

inline constexpr bool kSignedDot = true;
inline constexpr size_t kDirectPass = 4, kDirectRows = 4;
inline constexpr size_t kSweepRows = 2;

// Sums of products of bytes in 16 bits (int8_sums.inl.h).
inline constexpr bool kSums16 = true;
template <bool kSigned>
inline I pair_products(I w, I x) {
  if constexpr (kSigned) {
    x = {_mm256_sign_epi8(x.lo, w.lo), _mm256_sign_epi8(x.hi, w.hi)};
    w = {_mm256_abs_epi8(w.lo), _mm256_abs_epi8(w.hi)};
  }
  return {_mm256_maddubs_epi16(w.lo, x.lo), _mm256_maddubs_epi16(w.hi, x.hi)};
}
inline I add16(I a, I b) { return {_mm256_add_epi16(a.lo, b.lo), _mm256_add_epi16(a.hi, b.hi)}; }
inline I widen_pairs(I a) {
  const __m256i ones = _mm256_set1_epi16(1);
  return {_mm256_madd_epi16(a.lo, ones), _mm256_madd_epi16(a.hi, ones)};
}
template <bool kSigned>
inline I dot(I acc, I w, I x) {
  return acc + widen_pairs(pair_products<kSigned>(w, x));
}

}  // namespace
}  // namespace localai::kernels
