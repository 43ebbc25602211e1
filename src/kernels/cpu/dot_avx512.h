#pragma once
// Integer dot products of AVX-512 without VNNI. Included after lanes_avx512.h.

namespace localai::kernels {
namespace {

inline constexpr bool kSignedDot = true;
inline constexpr size_t kDirectRows = 2;
inline constexpr size_t kPanelRows = 8;

template <bool kSigned>
inline I dot(I acc, I w, I x) {
  if constexpr (kSigned) {
    const __mmask64 negative = _mm512_movepi8_mask(w.v);
    x.v = _mm512_mask_sub_epi8(x.v, negative, _mm512_setzero_si512(), x.v);
    w.v = _mm512_abs_epi8(w.v);
  }
  const __m512i pairs = _mm512_maddubs_epi16(w.v, x.v);
  return {_mm512_add_epi32(acc.v, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))};
}

}  // namespace
}  // namespace localai::kernels
