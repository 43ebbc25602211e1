// The scalar set: the specification, and what runs on a processor without AVX2.
#include "kernels/cpu/lanes_scalar.h"
// The lanes come first.
#include "kernels/cpu/vector_ops.inl.h"
// On those, in this order.
#include "kernels/cpu/dequantize.inl.h"
#include "kernels/cpu/matmul_exact.inl.h"
#include "kernels/cpu/matmul_int8_scalar.inl.h"
// Attention builds on the exact product.
#include "kernels/cpu/attention.inl.h"
#include "kernels/cpu/sets.h"
#include "kernels/cpu/ssm.inl.h"
#include "kernels/cpu/table.inl.h"

namespace localai::kernels {

constexpr KernelSet kScalarSet = make_set("scalar", 0);

}  // namespace localai::kernels
