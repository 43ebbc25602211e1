#include "kernels/kernels.h"

#include <array>
#include <string>

#include "base/cpu.h"
#include "kernels/cpu/sets.h"

namespace localai::kernels {
namespace {

constexpr std::array kSets = {
#if defined(__x86_64__)
    &kAmxSet,    &kAvx512VnniSet, &kAvx512Set, &kAvx2Set,
#endif
    &kScalarSet,
};

std::string known_names() {
  std::string names;
  for (const KernelSet* set : kSets) names += (names.empty() ? "" : ", ") + std::string(set->name);
  return names;
}

}  // namespace

bool KernelSet::fast_uses_quant_rows(DType weights) {
  return dtype_info(weights).block_elements > 1;
}

std::span<const KernelSet* const> kernel_sets() { return kSets; }

Result<const KernelSet*> select_kernels(uint32_t cpu, std::string_view forced) {
  for (const KernelSet* set : kSets) {
    const uint32_t missing = set->needs & ~cpu;
    if (forced.empty() && missing == 0) return set;
    if (forced.empty() || forced != set->name) continue;
    if (missing == 0) return set;
    return unsupported("kernel set '" + std::string(forced) + "' needs " +
                       cpu_feature_names(missing) + ", which this CPU lacks");
  }
  return invalid("kernel set '" + std::string(forced) + "' is not known; known: " + known_names());
}

}  // namespace localai::kernels
