#pragma once
// A decoder's weights, bound: matrices as views into the mapped file, vectors as private f32.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/page_region.h"
#include "kernels/kernels.h"
#include "tensor/tensor_view.h"

namespace localai::models {

// Scales of an F8 matrix, as kernels::WeightScales.
struct MatrixScales {
  std::vector<float> values;  // empty: none
  size_t rows = SIZE_MAX, cols = SIZE_MAX, stride = 0;
};

// A Linear weight [rows, cols] = [out, in], with the kernel chosen for its type.
struct Matrix {
  const std::byte* data = nullptr;  // null: this model has no such matrix
  DType dtype = DType::kF32;
  size_t rows = 0, cols = 0, row_bytes = 0;
  kernels::MatmulFn matmul = nullptr;
  bool quantized_input = false;  // matmul reads int8 rows, not f32 ones
  bool fused = false;            // rows of a tensor that holds others too (TensorRow::fused)
  bool exact = false;            // f32 activations with any precision
  bool packed = false;           // in panels (kernels/packed.h), not in file layout
  size_t expert_bytes = 0;       // from one expert's row 0 to the next one's; 0: not per expert
  MatrixScales scales;           // F8 only

  [[nodiscard]] kernels::WeightScales weight_scales() const {
    if (scales.values.empty()) return {};
    return {scales.values.data(), scales.rows, scales.cols, scales.stride};
  }
  [[nodiscard]] Matrix expert(size_t e) const {
    Matrix out = *this;
    out.data += e * expert_bytes;
    return out;
  }
};

// A private f32 copy: norm weights (with Gemma's +1 added), biases. Empty: not there.
using Vector = std::vector<float>;

enum class LayerKind : uint8_t { kFullAttention, kSlidingAttention, kMamba };

struct LayerWeights {
  Vector attention_norm;  // [H]
  Matrix query, key, value, output;
  Vector query_bias, key_bias, value_bias, output_bias;
  Vector query_norm, key_norm;  // [d], per head, before RoPE
  Vector attention_post_norm;   // [H], on the branch before it is added
  Vector ffn_norm;              // [H]
  Matrix gate, up, down;        // [F, H], [F, H], [H, F]
  Vector gate_bias, up_bias, down_bias;
  Vector ffn_post_norm;                                 // [H]
  Vector attention_post_norm_bias, ffn_post_norm_bias;  // [H], of LayerNorms

  // Mamba2 in place of attention; the output projection's bias is output_bias.
  Matrix mamba_in, mamba_out;        // [projection, H], [H, inner]
  Vector mamba_in_bias;              // [projection]
  Vector conv, conv_bias;            // [taps + 1, channels], [channels]
  Vector mamba_a, mamba_d, dt_bias;  // [heads]; a = -exp(A_log)
  Vector mamba_norm;                 // [inner]

  // Mixture of experts, beside or in place of the dense part.
  Matrix router;                                  // [E, H]
  Matrix gate_experts, up_experts, down_experts;  // per expert: [I, H], [I, H], [H, I]
};

struct Weights {
  Matrix embedding;                            // [V, H]
  Matrix head;                                 // [V, H]; the embedding itself when tied
  Vector final_norm;                           // [H]
  Matrix positions, token_types;               // [context, H], [types, H]: an encoder's
  Vector embedding_norm, embedding_norm_bias;  // [H]
  Vector rope_divisors;       // [rotary/2], GGUF rope_freqs.weight or LongRoPE's short factors
  Vector long_rope_divisors;  // [rotary/2], LongRoPE's long factors; either may be empty
  std::vector<LayerWeights> layers;

  // Matrices of our own (packed, or quantized while loading); the others lie in the mapped file.
  std::vector<PageRegion> copies;

  uint64_t parameters = 0;
  uint64_t private_bytes = 0;

  [[nodiscard]] bool tied() const { return head.data == embedding.data; }
};

// For what copies mapped matrices and gives their pages back one after the other: a fault brings in
// what lies behind it in the page cache's folio too, up to 2 MiB, and only in the order of the file
// is that never what was given back before. Targets have a member `matrix`, a pointer to one.
template <typename Target>
void sort_by_address(std::vector<Target>& targets) {
  std::sort(targets.begin(), targets.end(), [](const Target& a, const Target& b) {
    return std::less<>()(a.matrix->data, b.matrix->data);
  });
}

}  // namespace localai::models
