#pragma once
// exp, tanh and erfc over 16 lanes, the same operations in every instruction set. Included after
// one of the lanes_*.h, which bring F and I.

namespace localai::kernels {
namespace {

// exp(x): x = n ln2 + r, |r| <= ln2 / 2, with ln2 in two parts (Cody and Waite); e^r by the
// degree-6 minimax polynomial of the Cephes library (expf.c); 2^n in two factors, so that results
// below FLT_MIN are rounded once and results above FLT_MAX become infinity. exp(-inf) = 0, NaN
// stays NaN.
inline F exp(F x) {
  x = min(set1(89.f), max(set1(-104.f), x));  // NaN passes: both give the second operand
  const F n = round_even(x * set1(1.44269504088896341f));
  F r = fma(n, set1(-0.693359375f), x);
  r = fma(n, set1(2.12194440e-4f), r);
  F p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = fma(p, r * r, r) + set1(1.f);
  const I k = to_int(n), k1 = shift_right_signed(k, 1), bias = iset1(127);
  const F s1 = as_float(shift_left(k1 + bias, 23)), s2 = as_float(shift_left(k - k1 + bias, 23));
  return p * s1 * s2;
}

// tanh(x): an odd polynomial (Cephes tanhf.c) below 0.625, else 1 - 2 / (e^2|x| + 1) with x's sign.
inline F tanh(F x) {
  const I sign = as_int(x) & iset1(INT32_MIN);
  const F a = as_float(as_int(x) & iset1(INT32_MAX));
  const F z = x * x;
  F p = set1(-5.70498872745e-3f);
  p = fma(p, z, set1(2.06390887954e-2f));
  p = fma(p, z, set1(-5.37397155531e-2f));
  p = fma(p, z, set1(1.33314422036e-1f));
  p = fma(p, z, set1(-3.33332819422e-1f));
  const F small = fma(p * z, x, x);
  const F large = set1(1.f) - set1(2.f) / (exp(a + a) + set1(1.f));
  return select_less(a, set1(0.625f), small, as_float(as_int(large) | sign));
}

// erfc(z), z = a / sqrt(2), for a >= 0: t e^(P(t) - z^2), t = 1 / (1 + z/2), with the degree-9
// Chebyshev fit of Press et al., Numerical Recipes, section 6.2 (relative error below 1.2e-7).
// Takes a, since the exponent -a^2 / 2 is rounded once, where z^2 would carry z's rounding twice.
inline F erfc_of_half_root(F a) {
  const F z = a * set1(0.70710678118654752f);
  const F t = set1(1.f) / fma(z, set1(0.5f), set1(1.f));
  F p = set1(0.17087277f);
  p = fma(p, t, set1(-0.82215223f));
  p = fma(p, t, set1(1.48851587f));
  p = fma(p, t, set1(-1.13520398f));
  p = fma(p, t, set1(0.27886807f));
  p = fma(p, t, set1(-0.18628806f));
  p = fma(p, t, set1(0.09678418f));
  p = fma(p, t, set1(0.37409196f));
  p = fma(p, t, set1(1.00002368f));
  p = fma(p, t, set1(-1.26551223f));
  return t * exp(fma(a * set1(-0.5f), a, p));
}

}  // namespace
}  // namespace localai::kernels
