// The avx2 set: AVX2, FMA and F16C. Only this file and the other wide sets are compiled with
// wide instructions: nothing here may be a weak symbol that the linker could prefer elsewhere (a
// test looks).
#include "kernels/cpu/lanes_avx2.h"
// The lanes come first.
#include "kernels/cpu/tiles_none.h"
// The kernels come after what they are made of.
#include "kernels/cpu/wide.inl.h"
// The declaration gives the table external linkage.
#include "kernels/cpu/sets.h"

namespace localai::kernels {

constexpr KernelSet kAvx2Set = make_set("avx2", kCpuAvx2);

}  // namespace localai::kernels
