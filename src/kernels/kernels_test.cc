#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include "base/cpu.h"

namespace localai::kernels {
namespace {

TEST(SelectKernels, TakesTheBestTheCpuRuns) {
  for (const KernelSet* set : kernel_sets()) {
    auto chosen = select_kernels(set->needs, "");
    ASSERT_TRUE(chosen.ok());
    EXPECT_EQ(*chosen, set);
  }
  EXPECT_EQ((*select_kernels(0, ""))->name, "scalar");
}

TEST(SelectKernels, TakesTheOneAskedFor) {
  for (const KernelSet* set : kernel_sets())
    EXPECT_EQ((*select_kernels(set->needs, set->name))->name, set->name);
  EXPECT_EQ((*select_kernels(UINT32_MAX, "scalar"))->name, "scalar");
}

TEST(SelectKernels, RefusesUnknownNames) {
  auto chosen = select_kernels(UINT32_MAX, "sse9");
  ASSERT_FALSE(chosen.ok());
  EXPECT_EQ(chosen.error().code, Code::kInvalidArgument);
#if defined(__x86_64__)
  EXPECT_EQ(chosen.error().message,
            "kernel set 'sse9' is not known; known: amx, avx512vnni, avx512, avx2, scalar");
#endif
}

#if defined(__x86_64__)
TEST(SelectKernels, RefusesWhatTheCpuLacks) {
  auto chosen = select_kernels(kCpuAvx2 | kCpuAvx512, "avx512vnni");
  ASSERT_FALSE(chosen.ok());
  EXPECT_EQ(chosen.error().code, Code::kUnsupported);
  EXPECT_EQ(chosen.error().message,
            "kernel set 'avx512vnni' needs avx512vnni, which this CPU lacks");
}
#endif

TEST(KernelSets, HaveEveryKernelForEveryWeightType) {
  for (const KernelSet* set : kernel_sets())
    for (size_t i = 0; i < kDTypeCount; ++i) {
      const auto type = static_cast<DType>(i);
      const bool integers = type >= DType::kI8 && type <= DType::kBool;
      const bool weights = !integers && type != DType::kF64 && type != DType::kQ8_K;
      EXPECT_EQ(set->matmul_exact[i] != nullptr, weights) << set->name << dtype_name(type);
      EXPECT_EQ(set->matmul_fast[i] != nullptr, weights) << set->name << dtype_name(type);
      EXPECT_EQ(set->dequantize_row[i] != nullptr, weights) << set->name << dtype_name(type);
    }
}

}  // namespace
}  // namespace localai::kernels
