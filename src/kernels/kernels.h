#pragma once
// The kernel table: every inner loop of the engine, once per instruction set. Callers split work
// over threads by rows; a kernel never splits the inner (K) dimension.
//
// Determinism contract (docs/ARCHITECTURE.md, "Same bits"): the result of one output element
// depends only on its own weight row and its own activation row, never on how many rows are
// computed together, on the range asked for, or on the thread. Float sums run in 16 lanes (lane l
// takes elements l, l+16, ... ascending, fused multiply-add), then the fixed tree
// (8,4,2,1): lane i += lane i+8, i+4, i+2, i+1. "scalar" is the specification; every other set is
// bit-equal to it unless a function says otherwise.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "tensor/dtype.h"

namespace localai::kernels {

inline constexpr size_t kQuantBlock = 32;

// Activation rows as integers: x[i] ~ scale[i/32] * q[i], with the sums that turn unsigned weight
// codes into signed ones. scale and the sums' products stay in f32.
struct QuantRows {
  const int8_t* q = nullptr;       // [rows, k], k a multiple of 32, codes in -127..127
  const float* scale = nullptr;    // [rows, k/32], max|x| / 127 of the 32
  const int16_t* sum16 = nullptr;  // [rows, k/16], sum of the codes of each 16
};

// Scales of F8 weights: w[n, k] = q[n, k] * values[n / rows * stride + k / cols], rounded to f32.
struct WeightScales {
  const float* values = nullptr;            // null: w = q
  size_t rows = SIZE_MAX, cols = SIZE_MAX;  // weights that share a scale; cols a multiple of 16
  size_t stride = 0;                        // scales of one group of rows
};

// One matrix product y[r, n] = sum_k w[n, k] * x[r, k] for n in [row_begin, row_end), r < rows.
// W rows are in file layout (row_bytes apart), or in panels for matmul_packed. k a multiple of the
// type's block.
struct MatmulArgs {
  const std::byte* weights = nullptr;  // row 0 of W; any alignment
  size_t row_bytes = 0;
  size_t k = 0;
  WeightScales scales;                // F8 only
  size_t row_begin = 0, row_end = 0;  // rows of W = columns of y
  size_t rows = 0;                    // of x and y
  const float* x = nullptr;           // exact: [rows, ldx]
  size_t ldx = 0;
  QuantRows xq;        // fast, for integer kernels
  float* y = nullptr;  // [rows, ldy], indexed by the absolute n
  size_t ldy = 0;
};
using MatmulFn = void (*)(const MatmulArgs&);

// Attention of some query rows of one KV head (all query heads that share it may come together)
// over the paged KV cache of one sequence. Positions are absolute; the softmax runs over fixed
// chunks of kAttentionChunk positions [c*256, c*256+256) in ascending order, merged in that order,
// so the result does not depend on what else is computed.
inline constexpr size_t kAttentionChunk = 256;
struct AttentionArgs {
  size_t queries = 0;
  const float* const* q = nullptr;      // [queries] pointers to head_dim floats, RoPE applied
  float* const* out = nullptr;          // [queries] pointers to head_dim floats
  const uint32_t* key_begin = nullptr;  // [queries] first visible position
  const uint32_t* key_end = nullptr;    // [queries] one past the last visible position
  const std::byte* const* k_blocks = nullptr;  // [blocks] K of this head: [block_tokens, head_dim]
  const std::byte* const* v_blocks =
      nullptr;                   // [blocks] V likewise; position p is row p % block_tokens
  size_t block_tokens = 0;       // divides kAttentionChunk
  DType kv_dtype = DType::kF16;  // kF32 or kF16
  size_t head_dim = 0;
  float scale = 1.f;
  float softcap = 0.f;  // s = softcap * tanh(s / softcap) before the mask; 0: none
};

// Mamba2's recurrence for one head of one sequence, over `rows` positions in order:
//   S = decay * S + (dt * x) outer B;  y = S C + d * x.
// One row of S never waits for another, so rows of S and heads may run anywhere.
struct SsmScanArgs {
  size_t rows = 0, head_dim = 0, state_size = 0;
  float* state = nullptr;  // S [head_dim, state_size], updated
  float* x = nullptr;      // [rows] x [head_dim], `stride` floats apart; y takes its place
  const float* b = nullptr;
  const float* c = nullptr;  // [rows] x [state_size], `stride` floats apart, as b
  size_t stride = 0;
  const float* dt = nullptr;
  const float* decay = nullptr;  // [rows], `dt_stride` floats apart, as dt
  size_t dt_stride = 0;
  float d = 0.f;
};

struct KernelSet {
  std::string_view name;  // "scalar", "avx2", "avx512", "avx512vnni", "amx": LOCALAI_KERNELS
  uint32_t needs;         // CpuFeature bits

  // Indexed by DType; nullptr where the type holds no weights. `exact`: f32 activations, each
  // weight dequantized to f32 exactly as tensor/blocks.h does. `fast`: int8 activations (QuantRows)
  // for block types: per 32 elements an exact int32 dot product, then one f32 multiply-add; for
  // plain numbers (F32, F16, BF16, F8) the same function as exact.
  MatmulFn matmul_exact[kDTypeCount];
  MatmulFn matmul_fast[kDTypeCount];
  // matmul_fast over weights in panels (kernels/packed.h); nullptr where this set has none. Same
  // bits. The ranges of one panel may be asked for in parts.
  MatmulFn matmul_packed[kDTypeCount];
  // `count` <= 16 rows of k elements in file layout, row_bytes apart, become one panel.
  void (*pack_panel[kDTypeCount])(const std::byte* rows, size_t row_bytes, size_t count, size_t k,
                                  std::byte* panel);
  // Whether matmul_fast of this type reads xq (true) or x.
  [[nodiscard]] static bool fast_uses_quant_rows(DType weights);

  // x [k] -> codes, scales and sums of one row; k a multiple of 32.
  void (*quantize_row)(const float* x, size_t k, int8_t* q, float* scale, int16_t* sum16);
  // One row of weights to f32 (embedding look-up). Indexed by DType.
  void (*dequantize_row[kDTypeCount])(const std::byte* row, float* out, size_t count);

  // out[i] = (x[i] - mean) * r * w[i] + b[i], r = 1/sqrt(mean((x - mean)^2) + eps). May alias x.
  void (*layer_norm)(const float* x, const float* w, const float* b, float eps, float* out,
                     size_t n);
  // out[i] = x[i] * r * w[i], r = 1/sqrt(mean(x^2) + eps); w already holds Gemma's +1. May alias.
  void (*rms_norm)(const float* x, const float* w, float eps, float* out, size_t n);
  // Rotates one head in place. cos/sin [rotary/2] of this position. interleaved: pairs (2i, 2i+1),
  // else (i, i + rotary/2). Elements past `rotary` stay.
  void (*rope)(float* head, const float* cos, const float* sin, size_t rotary, bool interleaved);
  // out[i] = silu(gate[i]) * up[i] and gelu_tanh(gate[i]) * up[i]. May alias gate.
  void (*silu_mul)(const float* gate, const float* up, float* out, size_t n);
  void (*gelu_tanh_mul)(const float* gate, const float* up, float* out, size_t n);
  // x[i] = gelu(x[i]), the exact form x/2 (1 + erf(x / sqrt(2))).
  void (*gelu_erf)(float* x, size_t n);
  // y[i] += a * x[i]; x[i] *= a.
  void (*add_scaled)(float* y, const float* x, float a, size_t n);
  void (*scale)(float* x, float a, size_t n);
  // x[i] = cap * tanh(x[i] / cap).
  void (*softcap)(float* x, float cap, size_t n);
  // f32 -> f16, round to nearest even; for the KV cache.
  void (*to_f16)(const float* x, uint16_t* out, size_t n);
  void (*attention)(const AttentionArgs& args);
  // One position of a causal depthwise convolution with silu, over n channels:
  //   x[i] = silu(bias[i] + sum_j w[j * stride + i] * history[j][i] + w[taps * stride + i] * x[i]),
  // history[0] (of `taps` >= 1, oldest first) then holds what x was.
  void (*ssm_conv)(float* x, float* const* history, size_t taps, const float* w, size_t stride,
                   const float* bias, size_t n);
  void (*ssm_scan)(const SsmScanArgs& args);
};

// Best first; the last is "scalar". Sets compiled out (other architectures) are not listed.
std::span<const KernelSet* const> kernel_sets();
// The best set that `cpu` (CpuFeature bits) can run, or the one named `forced` when not empty.
// Errors: kUnsupported (this CPU lacks it), kInvalidArgument (unknown name; lists the known ones).
Result<const KernelSet*> select_kernels(uint32_t cpu, std::string_view forced);

}  // namespace localai::kernels
