// The amx set: avx512vnni, and AMX-INT8 where there are many activation rows. Only this file and
// the other wide sets are compiled with wide instructions: nothing here may be a weak symbol that
// the linker could prefer elsewhere (a test looks).
#include "kernels/cpu/lanes_avx512.h"
// The lanes come first.
#include "kernels/cpu/dot_avx512vnni.h"
#include "kernels/cpu/tiles_amx.h"
// The kernels come after what they are made of.
#include "kernels/cpu/wide.inl.h"
// The declaration gives the table external linkage.
#include "kernels/cpu/sets.h"

namespace localai::kernels {

constexpr KernelSet kAmxSet = make_set("amx", kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni | kCpuAmxInt8);

}  // namespace localai::kernels
