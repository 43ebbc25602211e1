// The limits of this machine that the other figures are measured against: DRAM read bandwidth, and
// the peaks of int8 and f32 (FMA) arithmetic, per thread and on all usable cores.
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

// The loops below in the widest form that a CPU has. Written with vector types of the compiler
// where that suffices: the answer is only there so that nothing is optimized away.
__attribute__((target("avx512f"))) uint64_t read_avx512(const char* p, size_t bytes) {
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (size_t i = 0; i < bytes; i += 256) {
    a = _mm512_xor_si512(a, _mm512_load_si512(p + i));
    b = _mm512_xor_si512(b, _mm512_load_si512(p + i + 64));
    c = _mm512_xor_si512(c, _mm512_load_si512(p + i + 128));
    d = _mm512_xor_si512(d, _mm512_load_si512(p + i + 192));
  }
  alignas(64) uint64_t lanes[8];
  _mm512_store_si512(lanes, _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d)));
  return lanes[0] ^ lanes[7];
}

__attribute__((target("avx2"))) uint64_t read_avx2(const char* p, size_t bytes) {
  __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
  const auto at = [p](size_t i) { return reinterpret_cast<const __m256i*>(p + i); };
  for (size_t i = 0; i < bytes; i += 128) {
    a = _mm256_xor_si256(a, *at(i));
    b = _mm256_xor_si256(b, *at(i + 32));
    c = _mm256_xor_si256(c, *at(i + 64));
    d = _mm256_xor_si256(d, *at(i + 96));
  }
  alignas(32) uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes),
                     _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d)));
  return lanes[0] ^ lanes[3];
}

void read_bandwidth(benchmark::State& state, uint64_t (*read)(const char*, size_t),
                    uint32_t threads) {
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return state.SkipWithError("mmap of 512 MiB failed");
  madvise(memory, kBytes, MADV_HUGEPAGE);
  auto* bytes = static_cast<char*>(memory);
  for (size_t i = 0; i < kBytes; i += 4096) bytes[i] = static_cast<char>(i >> 12);
  ThreadPool pool(threads);
  for (auto _ : state)
    pool.run([&](uint32_t t) {
      const size_t part = kBytes / threads;
      benchmark::DoNotOptimize(read(bytes + t * part, part));
    });
  munmap(memory, kBytes);
  state.counters["GB/s"] = benchmark::Counter(
      static_cast<double>(state.iterations()) * static_cast<double>(kBytes) * 1e-9,
      benchmark::Counter::kIsRate);
}

constexpr size_t kRounds = 1 << 20, kChains = 16;

// The empty asm keeps the chains apart and in registers.
__attribute__((target("avx512f,avx512vnni"))) void int8_avx512vnni() {
  __m512i acc[kChains], x = _mm512_set1_epi8(3);
  for (__m512i& a : acc) a = _mm512_setzero_si512();
  for (size_t i = 0; i < kRounds; ++i)
#pragma GCC unroll 16
    for (__m512i& a : acc) {
      a = _mm512_dpbusd_epi32(a, x, x);
      asm volatile("" : "+v"(a));
    }
}

__attribute__((target("avx512f"))) void f32_avx512() {
  __m512 acc[kChains], x = _mm512_set1_ps(0.5f);
  for (__m512& a : acc) a = _mm512_setzero_ps();
  for (size_t i = 0; i < kRounds; ++i)
#pragma GCC unroll 16
    for (__m512& a : acc) {
      a = _mm512_fmadd_ps(x, x, a);
      asm volatile("" : "+v"(a));
    }
}

// Without VNNI three instructions do the work of one: u8 x i8 pairs, pairs of pairs, the sum.
__attribute__((target("avx2"))) void int8_avx2() {
  __m256i acc[kChains / 2], x = _mm256_set1_epi8(3);
  const __m256i ones = _mm256_set1_epi16(1);
  for (__m256i& a : acc) a = _mm256_setzero_si256();
  for (size_t i = 0; i < kRounds; ++i)
#pragma GCC unroll 16
    for (__m256i& a : acc) {
      __m256i pairs = _mm256_maddubs_epi16(x, x);
      asm volatile("" : "+x"(pairs));
      a = _mm256_add_epi32(a, _mm256_madd_epi16(pairs, ones));
      asm volatile("" : "+x"(a));
    }
}

__attribute__((target("avx2,fma"))) void f32_avx2() {
  __m256 acc[kChains / 2], x = _mm256_set1_ps(0.5f);
  for (__m256& a : acc) a = _mm256_setzero_ps();
  for (size_t i = 0; i < kRounds; ++i)
#pragma GCC unroll 16
    for (__m256& a : acc) {
      a = _mm256_fmadd_ps(x, x, a);
      asm volatile("" : "+x"(a));
    }
}

// `operations`: of all chains in one round.
void peak(benchmark::State& state, void (*rounds)(), size_t operations, uint32_t threads) {
  ThreadPool pool(threads);
  for (auto _ : state) pool.run([&](uint32_t) { rounds(); });
  state.counters["Gop/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * 1e-9 *
                             static_cast<double>(kRounds * operations * threads),
                         benchmark::Counter::kIsRate);
}

void register_all() {
  const uint32_t cpu = cpu_features();
  for (const uint32_t threads : {1u, usable_cpu_count()}) {
    const std::string suffix = "/threads:" + std::to_string(threads);
    const auto add = [&](const std::string& name, auto fn) {
      benchmark::RegisterBenchmark((name + suffix).c_str(), fn)->UseRealTime();
    };
    const bool wide = (cpu & kCpuAvx512) != 0, vnni = (cpu & kCpuAvx512Vnni) != 0;
    if (!wide && (cpu & kCpuAvx2) == 0) continue;
    const size_t chains = wide ? kChains : kChains / 2, bytes = wide ? 64 : 32;
    add("read",
        [=](benchmark::State& s) { read_bandwidth(s, wide ? read_avx512 : read_avx2, threads); });
    add("f32_peak", [=](benchmark::State& s) {  // a multiplication and an addition each
      peak(s, wide ? f32_avx512 : f32_avx2, chains * bytes / 4 * 2, threads);
    });
    add(vnni ? "int8_peak_vnni" : "int8_peak_avx2", [=](benchmark::State& s) {
      peak(s, vnni ? int8_avx512vnni : int8_avx2, (vnni ? kChains * 64 : kChains / 2 * 32) * 2,
           threads);
    });
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
