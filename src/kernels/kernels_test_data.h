#pragma once
// Shared by the kernel tests: random numbers with a fixed seed, weights of any type at odd
// alignments, quantized activations, and bit comparison.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "kernels/packed.h"
#include "tensor/blocks.h"

namespace localai::kernels::testing {

inline const KernelSet& scalar_set() { return *kernel_sets().back(); }

// Every set this CPU runs, but the scalar one.
inline std::vector<const KernelSet*> wide_sets() {
  std::vector<const KernelSet*> sets;
  for (const KernelSet* set : kernel_sets())
    if ((set->needs & ~cpu_features()) == 0 && set != &scalar_set()) sets.push_back(set);
  return sets;
}

inline const std::vector<DType> kPlainTypes = {DType::kF32, DType::kF16, DType::kBF16,
                                               DType::kF8_E4M3, DType::kF8_E5M2};
inline const std::vector<DType> kBlockTypes = {
    DType::kQ4_0,   DType::kQ4_1,   DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
    DType::kQ4_K,   DType::kQ5_K,   DType::kQ6_K, DType::kQ2_K, DType::kQ3_K,
    DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4};
inline std::vector<DType> weight_types() {
  std::vector<DType> all = kPlainTypes;
  all.insert(all.end(), kBlockTypes.begin(), kBlockTypes.end());
  return all;
}

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  float uniform(float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(engine_);
  }
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(engine_() % limit); }
  std::vector<float> floats(size_t n, float low = -1.f, float high = 1.f) {
    std::vector<float> out(n);
    for (float& x : out) x = uniform(low, high);
    return out;
  }

 private:
  std::mt19937 engine_;
};

// Bits, but one NaN is as good as another.
inline void expect_same_bits(const std::vector<float>& want, const std::vector<float>& got,
                             const std::string& what) {
  ASSERT_EQ(want.size(), got.size()) << what;
  for (size_t i = 0; i < want.size(); ++i) {
    if (std::isnan(want[i]) && std::isnan(got[i])) continue;
    ASSERT_EQ(__builtin_bit_cast(uint32_t, want[i]), __builtin_bit_cast(uint32_t, got[i]))
        << what << ": element " << i << ": " << want[i] << " and " << got[i];
  }
}

// Weights [rows, k] of a type, stored from an odd address on.
struct Weights {
  DType type;
  size_t rows, k, row_bytes;
  std::vector<std::byte> storage;
  [[nodiscard]] const std::byte* data() const { return storage.data() + 1; }
  [[nodiscard]] std::vector<float> row(size_t n) const {
    std::vector<float> out(k);
    dequantize(type, data() + n * row_bytes, out.data(), k);
    return out;
  }
};

inline Weights make_weights(DType type, size_t rows, size_t k, Random& random) {
  Weights w{type, rows, k, *dtype_bytes(type, k), {}};
  w.storage.resize(rows * w.row_bytes + 1);
  const std::vector<float> values = random.floats(rows * k);
  std::vector<std::byte> row(w.row_bytes);
  for (size_t n = 0; n < rows; ++n) {
    quantize(type, values.data() + n * k, row.data(), k);
    std::memcpy(w.storage.data() + 1 + n * w.row_bytes, row.data(), w.row_bytes);
  }
  return w;
}

// Quantized activations [rows, k].
struct Activations {
  size_t rows, k;
  std::vector<float> x;
  std::vector<int8_t> q;
  std::vector<float> scale;
  std::vector<int16_t> sum16;
  [[nodiscard]] QuantRows quant() const { return {q.data(), scale.data(), sum16.data()}; }
};

inline Activations make_activations(size_t rows, size_t k, std::vector<float> x,
                                    const KernelSet& set = scalar_set()) {
  Activations a{rows, k, std::move(x), {}, {}, {}};
  if (k % kQuantBlock != 0) return a;
  a.q.resize(rows * k);
  a.scale.resize(rows * k / 32);
  a.sum16.resize(rows * k / 16);
  for (size_t r = 0; r < rows; ++r)
    set.quantize_row(a.x.data() + r * k, k, a.q.data() + r * k, a.scale.data() + r * k / 32,
                     a.sum16.data() + r * k / 16);
  return a;
}

// The same weights in the panels of `set`.
inline std::vector<std::byte> pack(const KernelSet& set, const Weights& w) {
  std::vector<std::byte> packed(packed_bytes(w.rows, w.row_bytes));
  for (size_t n = 0; n < w.rows; n += kPanelRows)
    set.pack_panel[static_cast<size_t>(w.type)](w.data() + n * w.row_bytes, w.row_bytes,
                                                std::min(kPanelRows, w.rows - n), w.k,
                                                packed.data() + n * w.row_bytes);
  return packed;
}

enum class Way : uint8_t { kExact, kFast, kPacked };

inline std::vector<Way> ways_of(const KernelSet& set, DType type) {
  std::vector<Way> ways = {Way::kExact, Way::kFast};
  if (set.matmul_packed[static_cast<size_t>(type)] != nullptr) ways.push_back(Way::kPacked);
  return ways;
}

// y [rows, w.rows + 3]; columns outside [begin, end) stay at `untouched`.
inline constexpr float kUntouched = -12345.f;
inline std::vector<float> run_matmul(const KernelSet& set, Way way, const Weights& w,
                                     const Activations& a, size_t begin, size_t end,
                                     const WeightScales& scales = {}) {
  const std::vector<std::byte> packed =
      way == Way::kPacked ? pack(set, w) : std::vector<std::byte>();
  MatmulArgs args;
  args.weights = way == Way::kPacked ? packed.data() : w.data();
  args.row_bytes = w.row_bytes;
  args.k = w.k;
  args.scales = scales;
  args.row_begin = begin;
  args.row_end = end;
  args.rows = a.rows;
  args.x = a.x.data();
  args.ldx = a.k;
  args.xq = a.quant();
  args.ldy = w.rows + 3;
  std::vector<float> y(a.rows * args.ldy, kUntouched);
  args.y = y.data();
  const auto i = static_cast<size_t>(w.type);
  const auto& table = way == Way::kExact  ? set.matmul_exact
                      : way == Way::kFast ? set.matmul_fast
                                          : set.matmul_packed;
  table[i](args);
  return y;
}

}  // namespace localai::kernels::testing
