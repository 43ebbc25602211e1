#pragma once
// Sixteen lanes in one 512-bit register. The meaning of each function is in lanes_scalar.h; the
// byte operations for integer products are described in matmul_int8.inl.h.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/lanes_f8.h"

namespace localai::kernels {
namespace {

inline constexpr int kLanes = 16;

struct F {
  __m512 v;
};
struct I {
  __m512i v;
};

inline float half_to_float(uint16_t h) { return _cvtsh_ss(h); }
inline float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

inline F set1(float x) { return {_mm512_set1_ps(x)}; }
inline F zero() { return {_mm512_setzero_ps()}; }
inline F load(const void* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, F a) { _mm512_storeu_ps(p, a.v); }
inline F load_f16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
inline F load_bf16(const void* p) {
  const __m256i h = _mm256_loadu_si256(static_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16))};
}
inline void store_f16(uint16_t* p, F a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

inline F operator+(F a, F b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F operator-(F a, F b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F operator*(F a, F b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F operator/(F a, F b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F fma(F a, F b, F c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F load_f8_e4m3(const void* p) {
  return F{_mm512_cvtph_ps(f8_e4m3_to_halves(p))} * set1(256.f);
}
inline F load_f8_e5m2(const void* p) { return {_mm512_cvtph_ps(f8_e5m2_to_halves(p))}; }
inline F min(F a, F b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F max(F a, F b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F round_even(F a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline F select_less(F a, F b, F x, F y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}

inline I iset1(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline I iota() {
  return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
}
inline I load_u8(const uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline I load_i8(const int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
// The byte looked up becomes the sign-extended dword.
inline I look_up(const int8_t (&table)[16], I index) {
  const __m128i t = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  const __m512i found = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), index.v);
  return {_mm512_srai_epi32(_mm512_slli_epi32(found, 24), 24)};
}
inline I operator+(I a, I b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline I operator-(I a, I b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline I operator*(I a, I b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
inline I operator&(I a, I b) { return {_mm512_and_si512(a.v, b.v)}; }
inline I operator|(I a, I b) { return {_mm512_or_si512(a.v, b.v)}; }
inline I operator^(I a, I b) { return {_mm512_xor_si512(a.v, b.v)}; }
inline I max(I a, I b) { return {_mm512_max_epi32(a.v, b.v)}; }
inline I shift_left(I a, int n) { return {_mm512_slli_epi32(a.v, static_cast<unsigned>(n))}; }
inline I shift_right(I a, int n) { return {_mm512_srli_epi32(a.v, static_cast<unsigned>(n))}; }
inline I shift_right_signed(I a, int n) {
  return {_mm512_srai_epi32(a.v, static_cast<unsigned>(n))};
}
inline I shift_right_each(I a, I n) { return {_mm512_srlv_epi32(a.v, n.v)}; }
inline F to_float(I a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline I to_int(F a) { return {_mm512_cvtps_epi32(a.v)}; }
inline I as_int(F a) { return {_mm512_castps_si512(a.v)}; }
inline F as_float(I a) { return {_mm512_castsi512_ps(a.v)}; }
inline void store_i8(int8_t* p, I a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}

inline __m256 high_half(__m512 a) { return _mm512_extractf32x8_ps(a, 1); }
inline float reduce_add(F a) {
  const __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a.v), high_half(a.v));
  const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
inline float reduce_max(F a) {
  const __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a.v), high_half(a.v));
  const __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  const __m128 d = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
}
inline int32_t reduce_add(I a) { return _mm512_reduce_add_epi32(a.v); }
inline int32_t reduce_max(I a) { return _mm512_reduce_max_epi32(a.v); }

// Steps 8, 4, 2, 1 of the tree, each on two vectors at once.
inline F tree8(F a, F b) {
  return {
      _mm512_add_ps(_mm512_shuffle_f32x4(a.v, b.v, 0x44), _mm512_shuffle_f32x4(a.v, b.v, 0xee))};
}
inline F tree4(F a, F b) {
  return {
      _mm512_add_ps(_mm512_shuffle_f32x4(a.v, b.v, 0x88), _mm512_shuffle_f32x4(a.v, b.v, 0xdd))};
}
inline F tree2(F a, F b) {
  const __m512d x = _mm512_castps_pd(a.v), y = _mm512_castps_pd(b.v);
  return {_mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                        _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)))};
}
inline F tree1(F a, F b) {
  return {_mm512_add_ps(_mm512_shuffle_ps(a.v, b.v, 0x88), _mm512_shuffle_ps(a.v, b.v, 0xdd))};
}
// Vectors i, i + 4, i + 8, i + 12: the 128-bit parts of the result belong to them in this order.
inline F tree_quad(const F (&a)[kLanes], int i) {
  return tree4(tree8(a[i], a[i + 4]), tree8(a[i + 8], a[i + 12]));
}
inline F reduce_add_each(const F (&a)[kLanes]) {
  const F low = tree2(tree_quad(a, 0), tree_quad(a, 1));
  const F high = tree2(tree_quad(a, 2), tree_quad(a, 3));
  return tree1(low, high);
}

// ---- bytes ----

inline I iload(const void* p) { return {_mm512_loadu_si512(p)}; }
inline void istore(void* p, I a) { _mm512_storeu_si512(p, a.v); }
inline I bytes(uint8_t x) { return {_mm512_set1_epi8(static_cast<char>(x))}; }
inline I broadcast4(const void* p) {
  int32_t x;
  __builtin_memcpy(&x, p, sizeof x);
  return {_mm512_set1_epi32(x)};
}
inline I broadcast16(const void* p) {
  return {_mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
inline I load_rows(const uint8_t* p, size_t stride) {
  const auto at = [&](size_t i) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i * stride));
  };
  const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(at(0)), at(1), 1);
  const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(at(2)), at(3), 1);
  return {_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)};
}
inline I load_dwords(const uint8_t* p, size_t stride) {
  const __m512i index = _mm512_mullo_epi32(iota().v, _mm512_set1_epi32(static_cast<int>(stride)));
  return {_mm512_i32gather_epi32(index, p, 1)};
}
inline F low_half_to_float(I a) { return {_mm512_cvtph_ps(_mm512_cvtepi32_epi16(a.v))}; }
inline I unpack_low32(I a, I b) { return {_mm512_unpacklo_epi32(a.v, b.v)}; }
inline I unpack_high32(I a, I b) { return {_mm512_unpackhi_epi32(a.v, b.v)}; }
inline I unpack_low64(I a, I b) { return {_mm512_unpacklo_epi64(a.v, b.v)}; }
inline I unpack_high64(I a, I b) { return {_mm512_unpackhi_epi64(a.v, b.v)}; }
inline I shuffle_bytes(I a, I index) { return {_mm512_shuffle_epi8(a.v, index.v)}; }
inline I add16_where(I codes, I flags, I bit) {
  return {_mm512_mask_add_epi8(codes.v, _mm512_test_epi8_mask(flags.v, bit.v), codes.v,
                               _mm512_set1_epi8(16))};
}

// Sums of products of bytes in 16 bits (int8_sums.inl.h).
template <bool kSigned>
inline I pair_products(I w, I x) {
  if constexpr (kSigned) {
    const __mmask64 negative = _mm512_movepi8_mask(w.v);
    x.v = _mm512_mask_sub_epi8(x.v, negative, _mm512_setzero_si512(), x.v);
    w.v = _mm512_abs_epi8(w.v);
  }
  return {_mm512_maddubs_epi16(w.v, x.v)};
}
inline I add16(I a, I b) { return {_mm512_add_epi16(a.v, b.v)}; }
inline I widen_pairs(I a) { return {_mm512_madd_epi16(a.v, _mm512_set1_epi16(1))}; }

}  // namespace
}  // namespace localai::kernels
