#pragma once
// Integer dot products of AVX-512 without VNNI. Included after lanes_avx512.h.

namespace localai::kernels {
namespace {

inline constexpr bool kSums16 = true;
inline constexpr bool kSignedDot = true;
inline constexpr size_t kDirectPass = 4, kDirectRows = 4;
inline constexpr size_t kSweepRows = 8;

template <bool kSigned>
inline I dot(I acc, I w, I x) {
  return acc + widen_pairs(pair_products<kSigned>(w, x));
}

}  // namespace
}  // namespace localai::kernels
