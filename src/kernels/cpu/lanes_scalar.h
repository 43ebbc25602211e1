#pragma once
// Sixteen lanes in plain C++: the reference that the wide instruction sets must equal bit for bit.
// min, max and to_int behave as the x86 instructions do: min and max give the second operand when
// either is NaN, to_int gives INT32_MIN for what int32 cannot hold.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tensor/blocks.h"

namespace localai::kernels {
namespace {

inline constexpr int kLanes = 16;

struct F {
  float v[kLanes];
};
struct I {
  int32_t v[kLanes];
};

template <class Fn>
inline F each_f(Fn fn) {
  F out;
  for (int i = 0; i < kLanes; ++i) out.v[i] = fn(i);
  return out;
}
template <class Fn>
inline I each_i(Fn fn) {
  I out;
  for (int i = 0; i < kLanes; ++i) out.v[i] = fn(i);
  return out;
}

inline float half_to_float(uint16_t h) { return f16_to_f32(h); }
inline float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

inline F set1(float x) {
  return each_f([&](int) { return x; });
}
inline F zero() { return set1(0.f); }
inline F load(const void* p) {
  F out;
  std::memcpy(out.v, p, sizeof out.v);
  return out;
}
inline void store(float* p, F a) { std::memcpy(p, a.v, sizeof a.v); }
inline uint16_t load_u16(const void* p, int i) {
  uint16_t h;
  std::memcpy(&h, static_cast<const char*>(p) + 2 * i, 2);
  return h;
}
inline F load_f16(const void* p) {
  return each_f([&](int i) { return f16_to_f32(load_u16(p, i)); });
}
inline F load_bf16(const void* p) {
  return each_f([&](int i) { return bf16_to_f32(load_u16(p, i)); });
}
inline F load_f8_e4m3(const void* p) {
  return each_f([&](int i) { return f8_e4m3_to_f32(static_cast<const uint8_t*>(p)[i]); });
}
inline F load_f8_e5m2(const void* p) {
  return each_f([&](int i) { return f8_e5m2_to_f32(static_cast<const uint8_t*>(p)[i]); });
}
inline void store_f16(uint16_t* p, F a) {
  for (int i = 0; i < kLanes; ++i) p[i] = f32_to_f16(a.v[i]);
}

inline F operator+(F a, F b) {
  return each_f([&](int i) { return a.v[i] + b.v[i]; });
}
inline F operator-(F a, F b) {
  return each_f([&](int i) { return a.v[i] - b.v[i]; });
}
inline F operator*(F a, F b) {
  return each_f([&](int i) { return a.v[i] * b.v[i]; });
}
inline F operator/(F a, F b) {
  return each_f([&](int i) { return a.v[i] / b.v[i]; });
}
inline F fma(F a, F b, F c) {
  return each_f([&](int i) { return fma1(a.v[i], b.v[i], c.v[i]); });
}
inline F min(F a, F b) {
  return each_f([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline F max(F a, F b) {
  return each_f([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline F round_even(F a) {
  return each_f([&](int i) { return std::nearbyint(a.v[i]); });
}
// a < b ? x : y
inline F select_less(F a, F b, F x, F y) {
  return each_f([&](int i) { return a.v[i] < b.v[i] ? x.v[i] : y.v[i]; });
}

inline I iset1(int32_t x) {
  return each_i([&](int) { return x; });
}
inline I iota() {
  return each_i([](int i) { return i; });
}
inline I load_u8(const uint8_t* p) {
  return each_i([&](int i) { return static_cast<int32_t>(p[i]); });
}
inline I load_i8(const int8_t* p) {
  return each_i([&](int i) { return static_cast<int32_t>(p[i]); });
}
// table[index] of each lane; indices 0..15.
inline I look_up(const int8_t (&table)[16], I index) {
  return each_i([&](int i) { return static_cast<int32_t>(table[index.v[i]]); });
}
inline I operator+(I a, I b) {
  return each_i([&](int i) {
    return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) + static_cast<uint32_t>(b.v[i]));
  });
}
inline I operator-(I a, I b) {
  return each_i([&](int i) {
    return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) - static_cast<uint32_t>(b.v[i]));
  });
}
inline I operator&(I a, I b) {
  return each_i([&](int i) { return a.v[i] & b.v[i]; });
}
inline I operator|(I a, I b) {
  return each_i([&](int i) { return a.v[i] | b.v[i]; });
}
inline I max(I a, I b) {
  return each_i([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline I shift_left(I a, int n) {
  return each_i([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) << n); });
}
inline I shift_right(I a, int n) {
  return each_i([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) >> n); });
}
inline I shift_right_signed(I a, int n) {
  return each_i([&](int i) { return a.v[i] >> n; });
}
inline I shift_right_each(I a, I n) {
  return each_i(
      [&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) >> n.v[i]); });
}
inline F to_float(I a) {
  return each_f([&](int i) { return static_cast<float>(a.v[i]); });
}
inline I to_int(F a) {
  return each_i([&](int i) {
    const float r = std::nearbyint(a.v[i]);
    return r >= -2147483648.f && r < 2147483648.f ? static_cast<int32_t>(r) : INT32_MIN;
  });
}
inline I as_int(F a) { return __builtin_bit_cast(I, a); }
inline F as_float(I a) { return __builtin_bit_cast(F, a); }
inline void store_i8(int8_t* p, I a) {  // lanes within -128..127
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<int8_t>(a.v[i]);
}

// The fixed tree (8, 4, 2, 1).
inline float reduce_add(F a) {
  for (int step = 8; step != 0; step /= 2)
    for (int i = 0; i < step; ++i) a.v[i] = a.v[i] + a.v[i + step];
  return a.v[0];
}
inline int32_t reduce_add(I a) {
  int32_t sum = 0;
  for (int32_t x : a.v) sum += x;
  return sum;
}
inline int32_t reduce_max(I a) {
  int32_t best = a.v[0];
  for (int32_t x : a.v) best = best > x ? best : x;
  return best;
}
// x86 max semantics in the order of the tree.
inline float reduce_max(F a) {
  for (int step = 8; step != 0; step /= 2)
    for (int i = 0; i < step; ++i) a.v[i] = a.v[i] > a.v[i + step] ? a.v[i] : a.v[i + step];
  return a.v[0];
}
// out[i] = reduce_add(a[i]).
inline F reduce_add_each(const F (&a)[kLanes]) {
  return each_f([&](int i) { return reduce_add(a[i]); });
}

}  // namespace
}  // namespace localai::kernels
