#pragma once
// Integer dot products of AVX-512 VNNI: unsigned by signed only. Included after lanes_avx512.h.

namespace localai::kernels {
namespace {

inline constexpr bool kSums16 = false;
inline constexpr bool kSignedDot = false;
inline constexpr size_t kDirectPass = 8, kDirectRows = 16;
inline constexpr size_t kSweepRows = 8;

template <bool kSigned>
inline I dot(I acc, I w, I x) {
  static_assert(!kSigned);
  return {_mm512_dpbusd_epi32(acc.v, w.v, x.v)};
}

}  // namespace
}  // namespace localai::kernels
