// Mamba2's kernels: every set against the scalar one bit for bit, the scalar one against f64.
#include <array>
#include <cmath>

#include "kernels/kernels_test_data.h"

namespace localai::kernels::testing {
namespace {

struct Conv {
  size_t n, taps;
  std::vector<float> x, history, w, bias;
};

Conv make_conv(size_t n, size_t taps, Random& random) {
  return {n,
          taps,
          random.floats(n),
          random.floats(n * taps),
          random.floats(n * (taps + 1)),
          random.floats(n)};
}

// x, then the history.
std::vector<float> run_conv(const KernelSet& set, Conv conv) {
  std::vector<float*> history;
  for (size_t j = 0; j < conv.taps; ++j) history.push_back(conv.history.data() + j * conv.n);
  set.ssm_conv(conv.x.data(), history.data(), conv.taps, conv.w.data(), conv.n, conv.bias.data(),
               conv.n);
  std::vector<float> out = conv.x;
  out.insert(out.end(), conv.history.begin(), conv.history.end());
  return out;
}

TEST(SsmKernels, ConvolutionAgreesWithF64InEverySet) {
  Random random(31);
  for (size_t n = 1; n <= 70; ++n)
    for (const size_t taps : {1u, 3u}) {
      const Conv conv = make_conv(n, taps, random);
      const std::vector<float> got = run_conv(scalar_set(), conv);
      for (size_t i = 0; i < n; ++i) {
        double sum = conv.bias[i];
        for (size_t j = 0; j < taps; ++j)
          sum += double{conv.w[j * n + i]} * conv.history[j * n + i];
        sum += double{conv.w[taps * n + i]} * conv.x[i];
        EXPECT_NEAR(got[i], sum / (1 + std::exp(-sum)), 1e-6);
        EXPECT_EQ(got[n + i], conv.x[i]);  // the oldest made room
        for (size_t j = 1; j < taps; ++j) EXPECT_EQ(got[n + j * n + i], conv.history[j * n + i]);
      }
      for (const KernelSet* set : wide_sets())
        expect_same_bits(got, run_conv(*set, conv), std::string(set->name));
    }
}

struct Scan {
  size_t rows, head_dim, state_size, stride;
  std::vector<float> state, xbc, dt, decay;
};

Scan make_scan(size_t rows, size_t head_dim, size_t state_size, Random& random) {
  const size_t stride = head_dim + 2 * state_size + 5;
  return {rows,
          head_dim,
          state_size,
          stride,
          random.floats(head_dim * state_size),
          random.floats(rows * stride),
          random.floats(rows * 2, 0.f, 2.f),
          random.floats(rows * 2, 0.f, 1.f)};
}

// Rows of y among B and C, then the state.
std::vector<float> run_scan(const KernelSet& set, Scan s, size_t rows_at_once) {
  for (size_t r = 0; r < s.rows; r += rows_at_once) {
    float* row = s.xbc.data() + r * s.stride;
    set.ssm_scan({.rows = std::min(rows_at_once, s.rows - r),
                  .head_dim = s.head_dim,
                  .state_size = s.state_size,
                  .state = s.state.data(),
                  .x = row,
                  .b = row + s.head_dim,
                  .c = row + s.head_dim + s.state_size,
                  .stride = s.stride,
                  .dt = s.dt.data() + r * 2,
                  .decay = s.decay.data() + r * 2,
                  .dt_stride = 2,
                  .d = 0.7f});
  }
  std::vector<float> out = s.xbc;
  out.insert(out.end(), s.state.begin(), s.state.end());
  return out;
}

TEST(SsmKernels, RecurrenceAgreesWithF64InEverySetAndAnySplit) {
  Random random(32);
  for (const auto& [rows, head_dim, state_size] :
       {std::array<size_t, 3>{9, 4, 16}, {5, 3, 8}, {7, 2, 128}, {1, 5, 37}, {4, 1, 1}}) {
    const Scan scan = make_scan(rows, head_dim, state_size, random);
    const std::vector<float> got = run_scan(scalar_set(), scan, rows);
    std::vector<double> state(scan.state.begin(), scan.state.end());
    for (size_t r = 0; r < rows; ++r) {
      const float* x = scan.xbc.data() + r * scan.stride;
      const float *b = x + head_dim, *c = b + state_size;
      for (size_t p = 0; p < head_dim; ++p) {
        double y = 0.7 * double{x[p]};
        for (size_t i = 0; i < state_size; ++i) {
          double& s = state[p * state_size + i];
          s = double{scan.decay[r * 2]} * s + double{scan.dt[r * 2]} * x[p] * b[i];
          y += s * c[i];
        }
        EXPECT_NEAR(got[r * scan.stride + p], y, 1e-5);
      }
    }
    for (size_t i = 0; i < state.size(); ++i) EXPECT_NEAR(got[scan.xbc.size() + i], state[i], 1e-5);
    for (const size_t at_once : {rows, size_t{1}, size_t{2}}) {
      expect_same_bits(got, run_scan(scalar_set(), scan, at_once), "scalar split");
      for (const KernelSet* set : wide_sets())
        expect_same_bits(got, run_scan(*set, scan, at_once), std::string(set->name));
    }
  }
}

}  // namespace
}  // namespace localai::kernels::testing
