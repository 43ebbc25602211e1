// The limits of this machine that the other figures are measured against: DRAM read bandwidth, and
// the peaks of int8 (VNNI) and f32 (FMA) arithmetic, per thread and on all usable cores.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <cstdint>
#include <string>

#include "base/cpu.h"
#include "base/thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace localai {
namespace {

constexpr size_t kBytes = size_t{512} << 20;

__attribute__((target("avx512f"))) uint64_t read_all(const char* p, size_t bytes) {
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (size_t i = 0; i < bytes; i += 256) {
    a = _mm512_xor_si512(a, _mm512_load_si512(p + i));
    b = _mm512_xor_si512(b, _mm512_load_si512(p + i + 64));
    c = _mm512_xor_si512(c, _mm512_load_si512(p + i + 128));
    d = _mm512_xor_si512(d, _mm512_load_si512(p + i + 192));
  }
  const __m512i all = _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d));
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(all));
}

void read_bandwidth(benchmark::State& state, uint32_t threads) {
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return state.SkipWithError("mmap of 512 MiB failed");
  madvise(memory, kBytes, MADV_HUGEPAGE);
  auto* bytes = static_cast<char*>(memory);
  for (size_t i = 0; i < kBytes; i += 4096) bytes[i] = static_cast<char>(i >> 12);
  ThreadPool pool(threads);
  for (auto _ : state)
    pool.run([&](uint32_t t) {
      const size_t part = kBytes / threads;
      benchmark::DoNotOptimize(read_all(bytes + t * part, part));
    });
  munmap(memory, kBytes);
  state.counters["GB/s"] = benchmark::Counter(
      static_cast<double>(state.iterations()) * static_cast<double>(kBytes) * 1e-9,
      benchmark::Counter::kIsRate);
}

constexpr size_t kRounds = 1 << 20, kChains = 16;

// The empty asm keeps the chains apart and in registers.
__attribute__((target("avx512f,avx512vnni"))) void int8_rounds() {
  __m512i acc[kChains], x = _mm512_set1_epi8(3);
  for (__m512i& a : acc) a = _mm512_setzero_si512();
  for (size_t i = 0; i < kRounds; ++i)
    for (__m512i& a : acc) {
      a = _mm512_dpbusd_epi32(a, x, x);
      asm volatile("" : "+v"(a));
    }
}

__attribute__((target("avx512f"))) void f32_rounds() {
  __m512 acc[kChains], x = _mm512_set1_ps(0.5f);
  for (__m512& a : acc) a = _mm512_setzero_ps();
  for (size_t i = 0; i < kRounds; ++i)
    for (__m512& a : acc) {
      a = _mm512_fmadd_ps(x, x, a);
      asm volatile("" : "+v"(a));
    }
}

void peak(benchmark::State& state, void (*rounds)(), size_t operations, uint32_t threads) {
  ThreadPool pool(threads);
  for (auto _ : state) pool.run([&](uint32_t) { rounds(); });
  state.counters["Gop/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * 1e-9 *
                             static_cast<double>(kRounds * kChains * operations * threads),
                         benchmark::Counter::kIsRate);
}

void register_all() {
  const uint32_t cpu = cpu_features();
  for (const uint32_t threads : {1u, usable_cpu_count()}) {
    const std::string suffix = "/threads:" + std::to_string(threads);
    const auto add = [&](const std::string& name, auto fn) {
      benchmark::RegisterBenchmark((name + suffix).c_str(), fn)->UseRealTime();
    };
    if ((cpu & kCpuAvx512) != 0) {
      add("read", [=](benchmark::State& s) { read_bandwidth(s, threads); });
      add("f32_peak", [=](benchmark::State& s) { peak(s, f32_rounds, 32, threads); });
    }
    if ((cpu & kCpuAvx512Vnni) != 0)
      add("int8_peak", [=](benchmark::State& s) { peak(s, int8_rounds, 128, threads); });
  }
}

}  // namespace
}  // namespace localai

int main(int argc, char** argv) {
  localai::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
#else
int main() { return 0; }
#endif
