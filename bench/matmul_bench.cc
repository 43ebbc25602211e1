// Matrix products and attention of every kernel set this CPU runs, over the ThreadPool, in the
// shapes of small real models. GB/s counts weight bytes once a pass, Gop/s two operations a weight
// and row. Weights cycle through enough copies to come from DRAM.
//
//   matmul_bench --benchmark_filter=avx2/packed/Q4_1 --benchmark_repetitions=5
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/page_region.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "kernels/packed.h"
#include "tensor/blocks.h"

namespace localai::kernels {
namespace {

constexpr size_t kWorkingSetBytes = 96u << 20;  // past any last-level cache share

struct Shape {
  DType type;
  size_t n, k;
};

std::vector<float> random_floats(size_t count) {
  std::mt19937 engine(1);
  std::uniform_real_distribution<float> uniform(-1.f, 1.f);
  std::vector<float> out(count);
  for (float& x : out) x = uniform(engine);
  return out;
}

// Copies of one quantized matrix (16 distinct rows repeated: the bytes do not matter), in panels of
// `packed` or in file layout. In huge pages, as the packed weights of a model.
PageRegion make_weights(const Shape& s, size_t row_bytes, size_t copies, const KernelSet* packed) {
  const std::vector<float> values = random_floats(kPanelRows * s.k);
  std::vector<std::byte> rows(kPanelRows * row_bytes);
  for (size_t i = 0; i < kPanelRows; ++i)
    quantize(s.type, values.data() + i * s.k, rows.data() + i * row_bytes, s.k);
  if (packed != nullptr) {
    const std::vector<std::byte> file_layout = rows;
    packed->pack_panel[static_cast<size_t>(s.type)](file_layout.data(), row_bytes, kPanelRows, s.k,
                                                    rows.data());
  }
  PageRegion out = std::move(*PageRegion::reserve(copies * s.n * row_bytes, "weights"));
  for (size_t i = 0; i < copies * s.n; i += kPanelRows)
    std::copy(rows.begin(), rows.end(), out.data() + i * row_bytes);
  return out;
}

void matmul(benchmark::State& state, const KernelSet* set, const std::string& kind, Shape s,
            size_t rows, uint32_t threads) {
  const bool packed = kind == "packed";
  const size_t row_bytes = *dtype_bytes(s.type, s.k);
  const size_t copies = std::max<size_t>(1, kWorkingSetBytes / (s.n * row_bytes));
  const PageRegion weights = make_weights(s, row_bytes, copies, packed ? set : nullptr);
  const std::vector<float> x = random_floats(rows * s.k);
  std::vector<int8_t> q(rows * s.k);
  std::vector<float> scale(rows * s.k / 32), y(rows * s.n);
  std::vector<int16_t> sums(rows * s.k / 16);
  for (size_t r = 0; r < rows; ++r)
    set->quantize_row(x.data() + r * s.k, s.k, q.data() + r * s.k, scale.data() + r * s.k / 32,
                      sums.data() + r * s.k / 16);
  MatmulArgs args;
  args.row_bytes = row_bytes;
  args.k = s.k;
  args.rows = rows;
  args.x = x.data();
  args.ldx = s.k;
  args.xq = {q.data(), scale.data(), sums.data()};
  args.y = y.data();
  args.ldy = s.n;
  ThreadPool pool(threads);
  const auto type = static_cast<size_t>(s.type);
  const MatmulFn run = packed           ? set->matmul_packed[type]
                       : kind == "fast" ? set->matmul_fast[type]
                                        : set->matmul_exact[type];
  size_t copy = 0;
  for (auto _ : state) {
    args.weights = weights.data() + copy * s.n * row_bytes;
    copy = (copy + 1) % copies;
    pool.for_ranges(s.n, 64, [&](size_t begin, size_t end) {
      MatmulArgs part = args;
      part.row_begin = begin;
      part.row_end = end;
      run(part);
    });
    benchmark::DoNotOptimize(y.data());
  }
  const double passes = static_cast<double>(state.iterations());
  state.counters["GB/s"] = benchmark::Counter(passes * static_cast<double>(s.n * row_bytes) * 1e-9,
                                              benchmark::Counter::kIsRate);
  state.counters["Gop/s"] =
      benchmark::Counter(passes * 2e-9 * static_cast<double>(s.n * s.k) * static_cast<double>(rows),
                         benchmark::Counter::kIsRate);
}

// `queries` query rows that share one KV head of 1024 positions, f16.
void attention(benchmark::State& state, const KernelSet* set, size_t head_dim, size_t queries) {
  constexpr size_t kKeys = 1024, kBlock = 32;
  const std::vector<uint16_t> cache(2 * kKeys * head_dim, 0x3400);
  const std::vector<float> q = random_floats(queries * head_dim);
  std::vector<float> out(q.size());
  std::vector<const float*> q_rows;
  std::vector<float*> out_rows;
  for (size_t i = 0; i < queries; ++i) {
    q_rows.push_back(q.data() + i * head_dim);
    out_rows.push_back(out.data() + i * head_dim);
  }
  std::vector<const std::byte*> k_blocks, v_blocks;
  for (size_t b = 0; b < kKeys / kBlock; ++b) {
    k_blocks.push_back(reinterpret_cast<const std::byte*>(cache.data() + b * kBlock * head_dim));
    v_blocks.push_back(k_blocks.back() + kKeys * head_dim * 2);
  }
  const std::vector<uint32_t> begin(queries, 0), end(queries, kKeys);
  AttentionArgs args;
  args.queries = queries;
  args.q = q_rows.data();
  args.out = out_rows.data();
  args.key_begin = begin.data();
  args.key_end = end.data();
  args.k_blocks = k_blocks.data();
  args.v_blocks = v_blocks.data();
  args.block_tokens = kBlock;
  args.head_dim = head_dim;
  args.scale = 1.f / std::sqrt(static_cast<float>(head_dim));
  for (auto _ : state) {
    set->attention(args);
    benchmark::DoNotOptimize(out.data());
  }
  const double pairs =
      static_cast<double>(state.iterations() * static_cast<int64_t>(queries * kKeys));
  state.counters["Gflop/s"] =
      benchmark::Counter(pairs * 4e-9 * static_cast<double>(head_dim), benchmark::Counter::kIsRate);
}

void register_all() {
  const Shape shapes[] = {
      {DType::kQ4_1, 1536, 576},   {DType::kQ4_1, 576, 1536},     {DType::kQ8_0, 49152, 576},
      {DType::kQ5_0, 2048, 640},   {DType::kQ8_0, 32768, 640},    {DType::kQ4_K, 640, 2048},
      {DType::kQ6_K, 640, 2048},   {DType::kQ4_0, 2048, 2048},    {DType::kQ5_1, 2048, 2048},
      {DType::kQ5_K, 2048, 2048},  {DType::kBF16, 1536, 576},     {DType::kF32, 1536, 576},
      {DType::kF16, 1536, 576},    {DType::kQ4_K, 2048, 2048},    {DType::kQ2_K, 2048, 2048},
      {DType::kQ3_K, 2048, 2048},  {DType::kIQ4_NL, 2048, 2048},  {DType::kIQ4_XS, 2048, 2048},
      {DType::kMXFP4, 2048, 2048}, {DType::kF8_E4M3, 2048, 2048}, {DType::kF8_E5M2, 2048, 2048},
      {DType::kBF16, 2048, 2048},  {DType::kQ4_K, 16384, 2048},   {DType::kQ4_K, 2048, 16384},
      {DType::kQ6_K, 2048, 16384}, {DType::kQ6_K, 65536, 2048},   {DType::kQ8_0, 16384, 2048},
      {DType::kQ8_0, 2048, 16384},
  };
  const uint32_t cpu = cpu_features();
  for (const KernelSet* set : kernel_sets()) {
    if ((set->needs & ~cpu) != 0) continue;
    const std::string name(set->name);
    for (const Shape& s : shapes)
      for (const std::string kind : {"packed", "fast", "exact"})
        for (const size_t rows : {1, 2, 4, 8, 16, 32, 512})
          for (const uint32_t threads : {1u, usable_cpu_count()}) {
            if (kind == "packed" && set->matmul_packed[static_cast<size_t>(s.type)] == nullptr)
              continue;
            const std::string label = name + "/" + kind + "/" + std::string(dtype_name(s.type)) +
                                      "/" + std::to_string(s.n) + "x" + std::to_string(s.k) +
                                      "/rows:" + std::to_string(rows) +
                                      "/threads:" + std::to_string(threads);
            benchmark::RegisterBenchmark(label.c_str(), [=](benchmark::State& state) {
              matmul(state, set, kind, s, rows, threads);
            })->UseRealTime();
          }
    for (const size_t head_dim : {64, 256})
      for (const size_t queries : {1, 3, 64})
        benchmark::RegisterBenchmark(
            (name + "/attention/" + std::to_string(head_dim) +
             "/queries:" + std::to_string(queries))
                .c_str(),
            [=](benchmark::State& state) { attention(state, set, head_dim, queries); });
  }
}

}  // namespace
}  // namespace localai::kernels

int main(int argc, char** argv) {
  localai::kernels::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
