#pragma once
// Sixteen 8-bit floats to halves (AVX2), for the wide sets: every E4M3 number but NaN is 256 times
// the half with its bits one place up, every E5M2 number is the upper byte of a half.
#include <immintrin.h>

namespace localai::kernels {
namespace {

inline __m256i widen_bytes(const void* p) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
// Of the number divided by 256.
inline __m256i f8_e4m3_to_halves(const void* p) {
  const __m256i v = widen_bytes(p);
  const __m256i magnitude = _mm256_and_si256(v, _mm256_set1_epi16(0x7F));
  const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(v, _mm256_set1_epi16(0x80)), 8);
  const __m256i nan = _mm256_and_si256(_mm256_cmpeq_epi16(magnitude, _mm256_set1_epi16(0x7F)),
                                       _mm256_set1_epi16(0x7E00));
  return _mm256_or_si256(_mm256_or_si256(sign, nan), _mm256_slli_epi16(magnitude, 7));
}
inline __m256i f8_e5m2_to_halves(const void* p) { return _mm256_slli_epi16(widen_bytes(p), 8); }

}  // namespace
}  // namespace localai::kernels
