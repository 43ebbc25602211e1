// One call of each integer product of the avx2 set, for instruction counts: a profiler that counts
// only inside counted() sees nothing of the preparation. Prints a line a call, in order.
//
//   valgrind --tool=callgrind --toggle-collect=counted --dump-after=counted kernel_counts
#include <fmt/format.h>

#include <random>
#include <vector>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "kernels/packed.h"
#include "tensor/blocks.h"

extern "C" [[gnu::noinline]] void counted(localai::kernels::MatmulFn run,
                                          const localai::kernels::MatmulArgs& args) {
  run(args);
}

namespace localai::kernels {
namespace {

constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,
                            DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,
                            DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS,
                            DType::kMXFP4};
constexpr size_t kWeightRows = 64, kK = 1024, kRowsMax = 16;

void count(const KernelSet& set, DType type, const std::vector<float>& x) {
  const auto index = static_cast<size_t>(type);
  const size_t row_bytes = *dtype_bytes(type, kK);
  std::vector<std::byte> rows(kPanelRows * row_bytes), weights(kWeightRows * row_bytes);
  for (size_t i = 0; i < kPanelRows; ++i)
    quantize(type, x.data() + i * kK, rows.data() + i * row_bytes, kK);
  for (size_t n = 0; n < kWeightRows; n += kPanelRows)
    set.pack_panel[index](rows.data(), row_bytes, kPanelRows, kK, weights.data() + n * row_bytes);
  std::vector<int8_t> q(kRowsMax * kK);
  std::vector<float> scale(kRowsMax * kK / 32), y(kRowsMax * kWeightRows);
  std::vector<int16_t> sums(kRowsMax * kK / 16);
  for (size_t r = 0; r < kRowsMax; ++r)
    set.quantize_row(x.data() + r * kK, kK, q.data() + r * kK, scale.data() + r * kK / 32,
                     sums.data() + r * kK / 16);
  MatmulArgs args;
  args.weights = weights.data();
  args.row_bytes = row_bytes;
  args.k = kK;
  args.xq = {q.data(), scale.data(), sums.data()};
  args.y = y.data();
  args.ldy = kWeightRows;
  args.row_begin = 0;
  args.row_end = kWeightRows;
  for (const size_t rows_now : {size_t{1}, kRowsMax}) {
    args.rows = rows_now;
    counted(set.matmul_packed[index], args);
    fmt::print("{} rows:{}\n", dtype_name(type), rows_now);
  }
}

}  // namespace
}  // namespace localai::kernels

int main() {
  using namespace localai;
  const auto set = kernels::select_kernels(cpu_features(), "avx2");
  if (!set.ok()) {
    fmt::print(stderr, "{}\n", set.error().message);
    return 1;
  }
  std::mt19937 engine(1);
  std::uniform_real_distribution<float> uniform(-1.f, 1.f);
  std::vector<float> x(kernels::kRowsMax * kernels::kK);
  for (float& value : x) value = uniform(engine);
  for (const DType type : kernels::kTypes) kernels::count(**set, type, x);
  return 0;
}
