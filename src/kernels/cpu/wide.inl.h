#pragma once
// Everything a wide set is made of, in the order in which it builds up. Included after the lanes
// and dot products of the set.
#include "kernels/cpu/vector_ops.inl.h"
// Vectors before weights before products, attention last.
#include "kernels/cpu/dequantize.inl.h"
#include "kernels/cpu/matmul_exact.inl.h"
#include "kernels/cpu/matmul_int8.inl.h"
// Attention builds on the exact product.
#include "kernels/cpu/attention.inl.h"
#include "kernels/cpu/ssm.inl.h"
// The table takes the addresses of all of them.
#include "kernels/cpu/table.inl.h"
