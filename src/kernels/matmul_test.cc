// Matrix products: every set against the scalar one bit for bit, the scalar one against f64.
#include <cmath>

#include "kernels/kernels_test_data.h"

namespace localai::kernels::testing {
namespace {

std::string label(const KernelSet& set, Way way, const Weights& w, size_t rows) {
  static constexpr const char* kNames[] = {" exact ", " fast ", " packed "};
  return std::string(set.name) + kNames[static_cast<size_t>(way)] +
         std::string(dtype_name(w.type)) + " k=" + std::to_string(w.k) +
         " n=" + std::to_string(w.rows) + " rows=" + std::to_string(rows);
}

void compare_sets(const Weights& w, const Activations& a) {
  for (const KernelSet* set : wide_sets())
    for (const Way way : ways_of(*set, w.type)) {
      const Way reference = way == Way::kExact ? Way::kExact : Way::kFast;
      expect_same_bits(run_matmul(scalar_set(), reference, w, a, 0, w.rows),
                       run_matmul(*set, way, w, a, 0, w.rows), label(*set, way, w, a.rows));
    }
}

size_t block_of(DType type) { return dtype_info(type).block_elements; }

// |y - sum| <= n eps sum |terms| for n roundings in a chain: Higham, Accuracy and Stability of
// Numerical Algorithms, 3.1.
double bound(double magnitude, size_t roundings) {
  return static_cast<double>(roundings) * std::ldexp(1.0, -24) * magnitude * 1.01;
}

TEST(ExactMatmul, ScalarIsWithinTheBoundOfF64) {
  Random random(1);
  for (const DType type : weight_types()) {
    const size_t k = 3 * 256;
    const Weights w = make_weights(type, 7, k, random);
    const Activations a = make_activations(3, k, random.floats(3 * k));
    const std::vector<float> y = run_matmul(scalar_set(), Way::kExact, w, a, 0, 7);
    for (size_t n = 0; n < 7; ++n) {
      const std::vector<float> row = w.row(n);
      for (size_t r = 0; r < 3; ++r) {
        double sum = 0, magnitude = 0;
        for (size_t i = 0; i < k; ++i) {
          sum += double{row[i]} * double{a.x[r * k + i]};
          magnitude += std::abs(double{row[i]} * double{a.x[r * k + i]});
        }
        EXPECT_NEAR(y[r * 10 + n], sum, bound(magnitude, k / 16 + 4)) << dtype_name(type);
      }
    }
  }
}

TEST(FastMatmul, ScalarIsWithinTheBoundOfF64OverItsOwnCodes) {
  Random random(2);
  for (const DType type : kBlockTypes) {
    const size_t k = 3 * 256;
    const Weights w = make_weights(type, 7, k, random);
    const Activations a = make_activations(3, k, random.floats(3 * k));
    const std::vector<float> y = run_matmul(scalar_set(), Way::kFast, w, a, 0, 7);
    for (size_t n = 0; n < 7; ++n) {
      const std::vector<float> row = w.row(n);
      for (size_t r = 0; r < 3; ++r) {
        double sum = 0, magnitude = 0;
        for (size_t i = 0; i < k; ++i) {
          const double x = double{a.scale[(r * k + i) / 32]} * a.q[r * k + i];
          sum += double{row[i]} * x;
          // w = d q + m: the two parts are rounded apart, each at most 31 / 15 of |w| + |m|.
          magnitude += (std::abs(double{row[i]}) + 4.0) * std::abs(x);
        }
        EXPECT_NEAR(y[r * 10 + n], sum, bound(magnitude, 2 * k / 32 + 4)) << dtype_name(type);
      }
    }
  }
}

TEST(Matmul, SetsGiveTheSameBitsForAnyNumberOfRows) {
  Random random(3);
  for (const DType type : weight_types()) {
    const size_t k = block_of(type) == 256 ? 768 : 96 * 7;
    const Weights w = make_weights(type, 37, k, random);
    const std::vector<float> x = random.floats(33 * k, -3.f, 3.f);
    for (const size_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 16, 17, 31, 33})
      compare_sets(w,
                   make_activations(rows, k, {x.begin(), x.begin() + static_cast<long>(rows * k)}));
  }
}

TEST(Matmul, SetsGiveTheSameBitsForAnyShape) {
  Random random(4);
  for (const DType type : weight_types()) {
    const size_t block = block_of(type);
    for (const size_t blocks : {1, 2, 3, 15, 16, 17, 33}) {
      const size_t k = block * (block == 256 ? (blocks + 1) / 2 : blocks);
      for (const size_t n : {1, 2, 3, 8, 15, 16, 17, 31, 33}) {
        const Weights w = make_weights(type, n, k, random);
        compare_sets(w, make_activations(2, k, random.floats(2 * k)));
      }
    }
  }
}

TEST(Matmul, PlainTypesTakeAnyK) {
  Random random(5);
  for (const DType type : kPlainTypes)
    for (size_t k = 1; k <= 65; ++k) {
      const Weights w = make_weights(type, 5, k, random);
      compare_sets(w, make_activations(5, k, random.floats(5 * k)));
    }
}

TEST(Matmul, SetsGiveTheSameBitsForLongRows) {
  Random random(6);
  for (const DType type : weight_types()) {
    const size_t k = 5120 + block_of(type);  // more than two slabs
    const Weights w = make_weights(type, 18, k, random);
    for (const size_t rows : {5, 11, 16, 17})
      compare_sets(w, make_activations(rows, k, random.floats(rows * k)));
  }
}

// How many bytes of float scales a block begins and ends with.
struct FloatBytes {
  size_t head, tail;
};
FloatBytes float_bytes(DType type) {
  switch (type) {
    case DType::kQ2_K:
      return {0, 4};
    case DType::kQ3_K:
    case DType::kQ6_K:
      return {0, 2};
    case DType::kMXFP4:
      return {1, 0};
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {4, 0};
    default:
      return {2, 0};
  }
}

// Every byte of the codes and sub-block scales at its extremes, and any bytes at all; the float
// scales stay finite.
TEST(Matmul, SetsGiveTheSameBitsForExtremeCodes) {
  Random random(7);
  for (const DType type : kBlockTypes) {
    const size_t k = 512, block = block_of(type), bytes = dtype_info(type).block_bytes;
    const FloatBytes floats = float_bytes(type);
    constexpr int kAnyBytes = -1;
    for (const int fill : {0x00, 0x7f, 0x80, 0x88, 0xff, kAnyBytes}) {
      Weights w = make_weights(type, 17, k, random);
      for (size_t n = 0; n < 17; ++n)
        for (size_t b = 0; b < k / block; ++b) {
          std::byte* at = w.storage.data() + 1 + n * w.row_bytes + b * bytes;
          for (size_t i = floats.head; i < bytes - floats.tail; ++i)
            at[i] = static_cast<std::byte>(fill == kAnyBytes ? random.below(256) : fill);
        }
      for (const float x : {1.f, -1.f, 0.f})
        for (const size_t rows : {1, 9})
          compare_sets(w, make_activations(rows, k, std::vector<float>(rows * k, x)));
      compare_sets(w, make_activations(9, k, random.floats(9 * k)));
    }
  }
}

TEST(Matmul, NonFiniteActivationsStayVisible) {
  Random random(8);
  for (const DType type : weight_types()) {
    const Weights w = make_weights(type, 3, 512, random);
    for (const float bad : {std::nanf(""), INFINITY, -INFINITY}) {
      std::vector<float> x = random.floats(2 * 512);
      x[512 + 300] = bad;
      const Activations a = make_activations(2, 512, x);
      compare_sets(w, a);
      for (const Way way : {Way::kExact, Way::kFast}) {
        const std::vector<float> y = run_matmul(scalar_set(), way, w, a, 0, 3);
        EXPECT_TRUE(std::isfinite(y[0])) << dtype_name(type);
        EXPECT_FALSE(std::isfinite(y[6])) << label(scalar_set(), way, w, 2);
      }
    }
  }
}

TEST(Matmul, RangesAndBatchesDoNotChangeTheBits) {
  Random random(9);
  std::vector<const KernelSet*> sets = wide_sets();
  sets.push_back(&scalar_set());
  for (const KernelSet* set : sets)
    for (const DType type : weight_types())
      for (const Way way : ways_of(*set, type)) {
        const Weights w = make_weights(type, 45, 256, random);
        const Activations a = make_activations(6, 256, random.floats(6 * 256));
        const std::vector<float> whole = run_matmul(*set, way, w, a, 0, 45);
        std::vector<float> pieces(whole.size(), kUntouched);
        for (const auto& [begin, end] : {std::pair<size_t, size_t>{0, 5}, {5, 22}, {22, 45}}) {
          const std::vector<float> y = run_matmul(*set, way, w, a, begin, end);
          for (size_t i = 0; i < y.size(); ++i) {
            if (i % 48 >= begin && i % 48 < end)
              pieces[i] = y[i];
            else
              ASSERT_EQ(y[i], kUntouched) << label(*set, way, w, 6);
          }
        }
        expect_same_bits(whole, pieces, label(*set, way, w, 6));
        for (size_t r = 0; r < 6; ++r) {
          const Activations one =
              make_activations(1, 256,
                               {a.x.begin() + static_cast<long>(r * 256),
                                a.x.begin() + static_cast<long>((r + 1) * 256)});
          const std::vector<float> y = run_matmul(*set, way, w, one, 0, 45);
          expect_same_bits({whole.begin() + static_cast<long>(r * 48),
                            whole.begin() + static_cast<long>(r * 48 + 48)},
                           y, label(*set, way, w, 1));
        }
      }
}

// Scales one for all, one a row and one a block: what a matrix of the products q * scale gives.
TEST(Matmul, ScaledF8IsF32OfTheProducts) {
  Random random(11);
  std::vector<const KernelSet*> sets = wide_sets();
  sets.push_back(&scalar_set());
  constexpr size_t kRows = 37, kCols = 200;
  const std::vector<float> values = random.floats(kRows * 7, -3.f, 3.f);
  const WeightScales layouts[] = {{values.data()},
                                  {.values = values.data(), .rows = 1, .stride = 1},
                                  {.values = values.data(), .rows = 16, .cols = 32, .stride = 7}};
  for (const DType type : {DType::kF8_E4M3, DType::kF8_E5M2})
    for (const WeightScales& scales : layouts) {
      const Weights w = make_weights(type, kRows, kCols, random);
      Weights products = {DType::kF32, kRows, kCols, kCols * 4, {}};
      products.storage.resize(kRows * kCols * 4 + 1);
      for (size_t n = 0; n < kRows; ++n) {
        std::vector<float> row = w.row(n);
        for (size_t k = 0; k < kCols; ++k)
          row[k] *= scales.values[n / scales.rows * scales.stride + k / scales.cols];
        std::memcpy(products.storage.data() + 1 + n * kCols * 4, row.data(), kCols * 4);
      }
      for (const size_t rows : {1, 6}) {
        const Activations a = make_activations(rows, kCols, random.floats(rows * kCols));
        const std::vector<float> want =
            run_matmul(scalar_set(), Way::kExact, products, a, 0, kRows);
        for (const KernelSet* set : sets)
          for (const Way way : {Way::kExact, Way::kFast})
            expect_same_bits(want, run_matmul(*set, way, w, a, 0, kRows, scales),
                             label(*set, way, w, rows));
      }
    }
}

TEST(DequantizeRow, IsTensorDequantizeInEverySet) {
  Random random(10);
  std::vector<const KernelSet*> sets = wide_sets();
  sets.push_back(&scalar_set());
  for (const DType type : weight_types())
    for (size_t blocks = 1; blocks <= 5; ++blocks) {
      const size_t k = block_of(type) == 1 ? 7 * blocks : block_of(type) * blocks;
      Weights w = make_weights(type, 1, k, random);
      for (const KernelSet* set : sets) {
        std::vector<float> out(k);
        set->dequantize_row[static_cast<size_t>(type)](w.data(), out.data(), k);
        expect_same_bits(w.row(0), out, std::string(set->name));
      }
    }
}

TEST(Packed, BlocksComeBackAsTheyWere) {
  Random random(12);
  for (const KernelSet* set : wide_sets())
    for (const DType type : kBlockTypes) {
      const size_t block = block_of(type), bytes = dtype_info(type).block_bytes, k = 3 * block;
      for (const size_t rows : {1, 16, 19}) {
        const Weights w = make_weights(type, rows, k, random);
        const std::vector<std::byte> packed = pack(*set, w);
        for (size_t n = 0; n < rows; ++n)
          for (size_t b = 0; b < 3; ++b) {
            std::byte out[kBlockBytesMax];
            unpack_block(type, packed.data(), n, k, b, out);
            ASSERT_EQ(std::memcmp(out, w.data() + n * w.row_bytes + b * bytes, bytes), 0)
                << set->name << " " << dtype_name(type) << " row " << n << " block " << b;
          }
      }
    }
}

TEST(FastUsesQuantRows, ForBlockTypesOnly) {
  for (const DType type : kPlainTypes) EXPECT_FALSE(KernelSet::fast_uses_quant_rows(type));
  for (const DType type : kBlockTypes) EXPECT_TRUE(KernelSet::fast_uses_quant_rows(type));
}

}  // namespace
}  // namespace localai::kernels::testing
