#pragma once
// Mamba2's two inner loops (Dao and Gu 2024): the short convolution and the recurrence. Included
// after vector_ops.inl.h.
#include "kernels/kernels.h"

namespace localai::kernels {
namespace {

void ssm_conv(float* x, float* const* history, size_t taps, const float* w, size_t stride,
              const float* bias, size_t n) {
  for (size_t i = 0; i < n; i += kLanes) {
    const size_t count = n - i;
    const auto get = [&](const float* p) {
      return count < kLanes ? load_part(p + i, count) : load(p + i);
    };
    const auto put = [&](float* p, F a) {
      count < kLanes ? store_part(p + i, a, count) : store(p + i, a);
    };
    F sum = get(bias);
    for (size_t j = 0; j < taps; ++j) sum = fma(get(w + j * stride), get(history[j]), sum);
    const F raw = get(x);
    sum = fma(get(w + taps * stride), raw, sum);
    put(history[0], raw);
    put(x, sum / (set1(1.f) + exp(zero() - sum)));
  }
}

// One row of S: returns S C.
inline float ssm_row(float* state, const float* b, const float* c, float decay, float input,
                     size_t n) {
  const F keep = set1(decay), add = set1(input);
  F sum = zero();
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const F s = fma(keep, load(state + i), add * load(b + i));
    store(state + i, s);
    sum = fma(s, load(c + i), sum);
  }
  if (i < n) {
    const F s = fma(keep, load_part(state + i, n - i), add * load_part(b + i, n - i));
    store_part(state + i, s, n - i);
    sum = fma(s, load_part(c + i, n - i), sum);
  }
  return reduce_add(sum);
}

void ssm_scan(const SsmScanArgs& a) {
  for (size_t r = 0; r < a.rows; ++r) {
    float* x = a.x + r * a.stride;
    const float dt = a.dt[r * a.dt_stride], decay = a.decay[r * a.dt_stride];
    for (size_t p = 0; p < a.head_dim; ++p) {
      const float y = ssm_row(a.state + p * a.state_size, a.b + r * a.stride, a.c + r * a.stride,
                              decay, dt * x[p], a.state_size);
      x[p] = fma1(a.d, x[p], y);
    }
  }
}

}  // namespace
}  // namespace localai::kernels
