#pragma once
// Tensor rows of Granite's MoE and hybrid models. Sources: transformers' state dicts; gguf-py's
// tensor mapping and what the converter does.
#include "models/tensor_rows.h"

namespace localai::models::rows {

// Gate rows first.
inline constexpr Dim kExpertGateUpParts[] = {Dim::kExpertFfn, Dim::kExpertFfn};
inline constexpr FusedTensor kSharedInput{"", "model.layers.{}.shared_mlp.input_linear.weight",
                                          kGateUpParts};
inline constexpr FusedTensor kExpertInput{
    "", "model.layers.{}.block_sparse_moe.input_linear.weight", kExpertGateUpParts};

// A part of safetensors' fused tensor, a tensor of its own in GGUF.
constexpr TensorRow gguf_or_part(std::string_view gguf, const FusedTensor& fused, size_t part,
                                 Matrix LayerWeights::*slot, Dim size, Need need) {
  TensorRow row{gguf, "", slot, size, Dim::kHidden, need};
  row.fused = &fused;
  row.part = part;
  row.per_expert = need == Need::kIfExperts;
  return row;
}
constexpr TensorRow expert_down() {
  TensorRow row{"blk.{}.ffn_down_exps.weight",
                "model.layers.{}.block_sparse_moe.output_linear.weight",
                &LayerWeights::down_experts,
                Dim::kHidden,
                Dim::kExpertFfn,
                Need::kIfExperts};
  row.per_expert = true;
  return row;
}
constexpr TensorRow router() {
  TensorRow row{"blk.{}.ffn_gate_inp.weight",
                "model.layers.{}.block_sparse_moe.router.layer.weight",
                &LayerWeights::router,
                Dim::kExperts,
                Dim::kHidden,
                Need::kIfExperts};
  row.exact = true;
  return row;
}

// The dense part: GGUF has one set of names for a dense FFN and one for the shared expert.
constexpr TensorRow dense_down(std::string_view gguf, Need need) {
  return {gguf,
          "model.layers.{}.shared_mlp.output_linear.weight",
          &LayerWeights::down,
          Dim::kHidden,
          Dim::kFfn,
          need};
}
inline constexpr TensorRow kDenseGate = gguf_or_part(
    "blk.{}.ffn_gate.weight", kSharedInput, 0, &LayerWeights::gate, Dim::kFfn, Need::kIfNoExperts);
inline constexpr TensorRow kDenseUp = gguf_or_part(
    "blk.{}.ffn_up.weight", kSharedInput, 1, &LayerWeights::up, Dim::kFfn, Need::kIfNoExperts);
inline constexpr TensorRow kDenseDown = dense_down("blk.{}.ffn_down.weight", Need::kIfNoExperts);
inline constexpr TensorRow kShexpGate =
    gguf_or_part("blk.{}.ffn_gate_shexp.weight", kSharedInput, 0, &LayerWeights::gate, Dim::kFfn,
                 Need::kIfSharedExpert);
inline constexpr TensorRow kShexpUp =
    gguf_or_part("blk.{}.ffn_up_shexp.weight", kSharedInput, 1, &LayerWeights::up, Dim::kFfn,
                 Need::kIfSharedExpert);
inline constexpr TensorRow kShexpDown =
    dense_down("blk.{}.ffn_down_shexp.weight", Need::kIfSharedExpert);

inline constexpr TensorRow kRouter = router();
inline constexpr TensorRow kExpertGate =
    gguf_or_part("blk.{}.ffn_gate_exps.weight", kExpertInput, 0, &LayerWeights::gate_experts,
                 Dim::kExpertFfn, Need::kIfExperts);
inline constexpr TensorRow kExpertUp =
    gguf_or_part("blk.{}.ffn_up_exps.weight", kExpertInput, 1, &LayerWeights::up_experts,
                 Dim::kExpertFfn, Need::kIfExperts);
inline constexpr TensorRow kExpertDown = expert_down();

}  // namespace localai::models::rows
