#include "base/cpu.h"

#include <sched.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <fstream>
#include <string>

#include "base/number.h"

namespace localai {
namespace {

#if defined(__x86_64__)
// clang 14's __builtin_cpu_supports does not know the name "f16c".
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

// Tiles are a process's only after it asked for them (Linux, arch_prctl(2)).
bool has_amx_int8() {
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & kTile) == 0 || (edx & kInt8) == 0) return false;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

}  // namespace

uint32_t cpu_features() {
  uint32_t out = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())
    out |= kCpuAvx2;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    out |= kCpuAvx512;
  if (__builtin_cpu_supports("avx512vnni")) out |= kCpuAvx512Vnni;
  static const bool kAmxInt8 = has_amx_int8();
  if (kAmxInt8) out |= kCpuAmxInt8;
  if (__builtin_cpu_supports("avx512bf16")) out |= kCpuAvx512Bf16;
#if defined(__GNUC__) && !defined(__clang__)
  if (__builtin_cpu_supports("avxvnni")) out |= kCpuAvxVnni;
#endif
#endif
  return out;
}

std::string cpu_feature_names(uint32_t features) {
  static constexpr struct {
    uint32_t bit;
    const char* name;
  } kNames[] = {{kCpuAvx2, "avx2"},
                {kCpuAvx512, "avx512"},
                {kCpuAvx512Vnni, "avx512vnni"},
                {kCpuAvx512Bf16, "avx512bf16"},
                {kCpuAvxVnni, "avxvnni"},
                {kCpuAmxInt8, "amxint8"}};
  std::string out;
  for (const auto& entry : kNames)
    if (features & entry.bit) out += (out.empty() ? "" : " ") + std::string(entry.name);
  return out;
}

uint32_t usable_cpu_count() {
  cpu_set_t set;
  uint32_t count = 1;
  if (::sched_getaffinity(0, sizeof set, &set) == 0)
    count = static_cast<uint32_t>(std::max(1, CPU_COUNT(&set)));
  // "max 100000" or "150000 100000": microseconds of CPU in each period.
  std::ifstream quota("/sys/fs/cgroup/cpu.max");
  std::string used, period;
  if (quota >> used >> period) {
    const auto u = parse_number<uint64_t>(used);
    const auto p = parse_number<uint64_t>(period);
    if (u && p && *p > 0)
      count = std::min(count, static_cast<uint32_t>(std::clamp<uint64_t>(*u / *p, 1, 4096)));
  }
  return count;
}

}  // namespace localai
