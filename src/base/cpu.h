#pragma once
// What this processor can do, and how many cores this process may really use.
#include <cstdint>
#include <string>

namespace localai {

enum CpuFeature : uint32_t {
  kCpuAvx2 = 1u << 0,    // AVX2 + FMA + F16C together (x86-64-v3)
  kCpuAvx512 = 1u << 1,  // F, BW, DQ, VL, CD (x86-64-v4)
  kCpuAvx512Vnni = 1u << 2,
  kCpuAvx512Bf16 = 1u << 3,
  kCpuAvxVnni = 1u << 4,
  kCpuAmxInt8 = 1u << 5,  // tiles of bytes, which the system lets this process use
};

// Bits of CpuFeature; the operating system's support for the wide registers is checked too. The
// first call asks it for the tiles.
uint32_t cpu_features();
std::string cpu_feature_names(uint32_t features);  // "avx2 avx512 avx512vnni"

// Threads worth running: the affinity mask, cut by the cgroup v2 CPU quota (rounded down, at least
// one).
uint32_t usable_cpu_count();

}  // namespace localai
