// The avx512vnni set: AVX-512 F, BW, DQ, VL and VNNI. Only this file and the other wide sets are
// compiled with wide instructions: nothing here may be a weak symbol that the linker could prefer
// elsewhere (a test looks).
#include "kernels/cpu/lanes_avx512.h"
// The lanes come first.
#include "kernels/cpu/dot_avx512vnni.h"
#include "kernels/cpu/tiles_none.h"
// The kernels come after what they are made of.
#include "kernels/cpu/wide.inl.h"
// The declaration gives the table external linkage.
#include "kernels/cpu/sets.h"

namespace localai::kernels {

constexpr KernelSet kAvx512VnniSet = make_set("avx512vnni", kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni);

}  // namespace localai::kernels
