#pragma once
// The table of one instruction set, from what the other .inl.h files and matmul_fast_blocks<Block>
// and set_packed<Block> define. Included last.
#include "base/cpu.h"
#include "kernels/kernels.h"

namespace localai::kernels {
namespace {

constexpr void set_plain(KernelSet& set, DType type, MatmulFn matmul,
                         void (*dequantize)(const std::byte*, float*, size_t)) {
  const auto i = static_cast<size_t>(type);
  set.matmul_exact[i] = matmul;
  set.matmul_fast[i] = matmul;
  set.dequantize_row[i] = dequantize;
}

template <class Block, size_t kElements>
constexpr void set_blocks(KernelSet& set, DType type) {
  const auto i = static_cast<size_t>(type);
  set.matmul_exact[i] = matmul_blocks<Block, kElements>;
  set.matmul_fast[i] = matmul_fast_blocks<Block>;
  set.dequantize_row[i] = dequantize_blocks<Block, kElements>;
  set_packed<Block, kElements>(set, i);
}

constexpr KernelSet make_set(std::string_view name, uint32_t needs) {
  KernelSet set{};
  set.name = name;
  set.needs = needs;
  set_plain(set, DType::kF32, matmul_tiles<PlainTile<PlainF32>>, dequantize_plain<PlainF32>);
  set_plain(set, DType::kF16, matmul_tiles<PlainTile<PlainF16>>, dequantize_plain<PlainF16>);
  set_plain(set, DType::kBF16, matmul_tiles<PlainTile<PlainBF16>>, dequantize_plain<PlainBF16>);
  set_plain(set, DType::kF8_E4M3, matmul_tiles<ScaledTile<PlainF8E4M3>>,
            dequantize_plain<PlainF8E4M3>);
  set_plain(set, DType::kF8_E5M2, matmul_tiles<ScaledTile<PlainF8E5M2>>,
            dequantize_plain<PlainF8E5M2>);
  set_blocks<BlockQ4_0, 32>(set, DType::kQ4_0);
  set_blocks<BlockQ4_1, 32>(set, DType::kQ4_1);
  set_blocks<BlockQ5_0, 32>(set, DType::kQ5_0);
  set_blocks<BlockQ5_1, 32>(set, DType::kQ5_1);
  set_blocks<BlockQ8_0, 32>(set, DType::kQ8_0);
  set_blocks<BlockQ4_K, 256>(set, DType::kQ4_K);
  set_blocks<BlockQ5_K, 256>(set, DType::kQ5_K);
  set_blocks<BlockQ6_K, 256>(set, DType::kQ6_K);
  set_blocks<BlockQ2_K, 256>(set, DType::kQ2_K);
  set_blocks<BlockQ3_K, 256>(set, DType::kQ3_K);
  set_blocks<BlockIQ4_NL, 32>(set, DType::kIQ4_NL);
  set_blocks<BlockIQ4_XS, 256>(set, DType::kIQ4_XS);
  set_blocks<BlockMXFP4, 32>(set, DType::kMXFP4);
  set.quantize_row = quantize_row;
  set.rms_norm = rms_norm;
  set.layer_norm = layer_norm;
  set.rope = rope;
  set.silu_mul = silu_mul;
  set.gelu_tanh_mul = gelu_tanh_mul;
  set.gelu_erf = gelu_erf;
  set.add_scaled = add_scaled;
  set.scale = scale;
  set.softcap = softcap;
  set.to_f16 = to_f16;
  set.attention = attention;
  set.ssm_conv = ssm_conv;
  set.ssm_scan = ssm_scan;
  return set;
}

}  // namespace
}  // namespace localai::kernels
