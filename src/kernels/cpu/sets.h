#pragma once
// The tables that the files of this folder define; kernels.cc lists them.
#include "kernels/kernels.h"

namespace localai::kernels {

extern const KernelSet kScalarSet;
#if defined(__x86_64__)
extern const KernelSet kAvx2Set;
extern const KernelSet kAvx512Set;
extern const KernelSet kAvx512VnniSet;
extern const KernelSet kAmxSet;
#endif

}  // namespace localai::kernels
