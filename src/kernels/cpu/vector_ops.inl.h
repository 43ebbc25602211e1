#pragma once
// The kernels over vectors: norms, RoPE, activations, conversions. One source for every instruction
// set; included after one of the lanes_*.h.
#include "kernels/cpu/math.inl.h"

namespace localai::kernels {
namespace {

// The last n < 16 elements, padded with zeros.
inline F load_part(const float* p, size_t n) {
  float buffer[kLanes] = {};
  __builtin_memcpy(buffer, p, n * sizeof(float));
  return load(buffer);
}
inline void store_part(float* p, F a, size_t n) {
  float buffer[kLanes];
  store(buffer, a);
  __builtin_memcpy(p, buffer, n * sizeof(float));
}

// out[i] = fn(a[i], b[i]); out may be a or b.
template <class Fn>
inline void map2(const float* a, const float* b, float* out, size_t n, Fn fn) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, fn(load(a + i), load(b + i)));
  if (i < n) store_part(out + i, fn(load_part(a + i, n - i), load_part(b + i, n - i)), n - i);
}

void rms_norm(const float* x, const float* w, float eps, float* out, size_t n) {
  F sum = zero();
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum = fma(load(x + i), load(x + i), sum);
  if (i < n) sum = fma(load_part(x + i, n - i), load_part(x + i, n - i), sum);
  const float mean = reduce_add(sum) / static_cast<float>(n);
  const F r = set1(1.f / __builtin_sqrtf(mean + eps));
  map2(x, w, out, n, [&](F a, F b) { return a * r * b; });
}

void layer_norm(const float* x, const float* w, const float* b, float eps, float* out, size_t n) {
  F sum = zero();
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum = sum + load(x + i);
  if (i < n) sum = sum + load_part(x + i, n - i);
  const F mean = set1(reduce_add(sum) / static_cast<float>(n));
  F squares = zero();
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const F d = load(x + i) - mean;
    squares = fma(d, d, squares);
  }
  if (i < n) {  // the lanes past the end differ by nothing
    float padded[kLanes];
    store(padded, mean);
    __builtin_memcpy(padded, x + i, (n - i) * sizeof(float));
    const F d = load(padded) - mean;
    squares = fma(d, d, squares);
  }
  const F r = set1(1.f / __builtin_sqrtf(reduce_add(squares) / static_cast<float>(n) + eps));
  for (i = 0; i + kLanes <= n; i += kLanes)
    store(out + i, fma((load(x + i) - mean) * r, load(w + i), load(b + i)));
  if (i < n)
    store_part(
        out + i,
        fma((load_part(x + i, n - i) - mean) * r, load_part(w + i, n - i), load_part(b + i, n - i)),
        n - i);
}

void rope(float* head, const float* cos, const float* sin, size_t rotary, bool interleaved) {
  const size_t half = rotary / 2;
  if (interleaved) {
    for (size_t i = 0; i < half; ++i) {
      const float a = head[2 * i], b = head[2 * i + 1];
      head[2 * i] = fma1(-b, sin[i], a * cos[i]);
      head[2 * i + 1] = fma1(a, sin[i], b * cos[i]);
    }
    return;
  }
  size_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const F a = load(head + i), b = load(head + half + i), c = load(cos + i), s = load(sin + i);
    store(head + i, fma(zero() - b, s, a * c));
    store(head + half + i, fma(a, s, b * c));
  }
  for (; i < half; ++i) {
    const float a = head[i], b = head[half + i];
    head[i] = fma1(-b, sin[i], a * cos[i]);
    head[half + i] = fma1(a, sin[i], b * cos[i]);
  }
}

void silu_mul(const float* gate, const float* up, float* out, size_t n) {
  map2(gate, up, out, n, [](F g, F u) { return g / (set1(1.f) + exp(zero() - g)) * u; });
}

// 0.5 x (1 + tanh(u)) = x / (1 + e^-2u), which keeps its relative precision for x << 0.
void gelu_tanh_mul(const float* gate, const float* up, float* out, size_t n) {
  map2(gate, up, out, n, [](F g, F u) {
    const F cubic = fma(g * g * set1(0.044715f), g, g);
    return g / (set1(1.f) + exp(cubic * set1(-1.5957691216057308f))) * u;  // -2 sqrt(2 / pi)
  });
}

// x/2 erfc(-x / sqrt(2)), which keeps its relative precision for x << 0; erfc(-z) = 2 - erfc(z).
void gelu_erf(float* x, size_t n) {
  map2(x, x, x, n, [](F a, F) {
    const F magnitude = as_float(as_int(a) & iset1(INT32_MAX));
    const F e = erfc_of_half_root(magnitude);
    return a * set1(0.5f) * select_less(a, zero(), e, set1(2.f) - e);
  });
}

void add_scaled(float* y, const float* x, float a, size_t n) {
  map2(y, x, y, n, [&](F b, F c) { return fma(set1(a), c, b); });
}

void scale(float* x, float a, size_t n) {
  map2(x, x, x, n, [&](F b, F) { return b * set1(a); });
}

void softcap(float* x, float cap, size_t n) {
  map2(x, x, x, n, [&](F b, F) { return set1(cap) * tanh(b / set1(cap)); });
}

void to_f16(const float* x, uint16_t* out, size_t n) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_f16(out + i, load(x + i));
  if (i == n) return;
  uint16_t buffer[kLanes];
  store_f16(buffer, load_part(x + i, n - i));
  __builtin_memcpy(out + i, buffer, (n - i) * sizeof(uint16_t));
}

// Codes of 32 values. The largest magnitude is found on the bit patterns, so a NaN wins and shows
// in the scale; then, and when 127 / max overflows (max below 4e-37), the codes are zero.
void quantize_block(const float* x, int8_t* q, float* scale, int16_t* sum16) {
  const F a = load(x), b = load(x + kLanes);
  const I magnitude = iset1(INT32_MAX);
  const int32_t bits = reduce_max(max(as_int(a) & magnitude, as_int(b) & magnitude));
  const float largest = __builtin_bit_cast(float, bits);
  const float inverse = 127.f / largest;
  I qa = iset1(0), qb = iset1(0);
  if (largest > 127.f / 3.4028235e38f && largest <= 3.4028235e38f) {
    *scale = largest / 127.f;
    qa = to_int(a * set1(inverse));
    qb = to_int(b * set1(inverse));
  } else {
    *scale = largest < 1.f ? 0.f : largest;
  }
  store_i8(q, qa);
  store_i8(q + kLanes, qb);
  sum16[0] = static_cast<int16_t>(reduce_add(qa));
  sum16[1] = static_cast<int16_t>(reduce_add(qb));
}

void quantize_row(const float* x, size_t k, int8_t* q, float* scale, int16_t* sum16) {
  for (size_t b = 0; b < k / 32; ++b)
    quantize_block(x + 32 * b, q + 32 * b, scale + b, sum16 + 2 * b);
}

}  // namespace
}  // namespace localai::kernels
