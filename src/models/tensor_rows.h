#pragma once
// Tensor rows that decoders share, by the names both formats use. An architecture lists those it
// has. Sources: transformers' state dicts; gguf-py's tensor mapping.
#include "models/arch.h"

namespace localai::models::rows {

inline constexpr TensorRow kEmbedding{"token_embd.weight", "model.embed_tokens.weight",
                                      &Weights::embedding, Dim::kVocab};
inline constexpr TensorRow kFinalNorm{"output_norm.weight",
                                      "model.norm.weight",
                                      &Weights::final_norm,
                                      Dim::kHidden,
                                      Dim::kHidden,
                                      Need::kAlways,
                                      true};
inline constexpr TensorRow kHead{"output.weight", "lm_head.weight", &Weights::head,
                                 Dim::kVocab,     Dim::kHidden,     Need::kIfUntied};
inline constexpr TensorRow kRopeDivisors{"rope_freqs.weight", "",           &Weights::rope_divisors,
                                         Dim::kRotaryHalf,    Dim::kHidden, Need::kIfPresent};

// LongRoPE. In config.json they are lists of numbers.
inline constexpr TensorRow kShortRopeFactors{"rope_factors_short.weight",
                                             "",
                                             &Weights::rope_divisors,
                                             Dim::kRotaryHalf,
                                             Dim::kHidden,
                                             Need::kIfPresent};
inline constexpr TensorRow kLongRopeFactors{
    "rope_factors_long.weight", "",           &Weights::long_rope_divisors,
    Dim::kRotaryHalf,           Dim::kHidden, Need::kIfPresent};

// A norm weight of a layer, stored minus one in Gemma's safetensors.
constexpr TensorRow norm(std::string_view gguf, std::string_view hf, Vector LayerWeights::*slot,
                         Dim size = Dim::kHidden) {
  return {gguf, hf, slot, size, Dim::kHidden, Need::kAlways, true};
}
constexpr TensorRow bias(std::string_view gguf, std::string_view hf, Vector LayerWeights::*slot,
                         Dim size, Need need, const FusedTensor* fused = nullptr, size_t part = 0) {
  return {gguf, hf, slot, size, Dim::kHidden, need, false, fused, part};
}
// A matrix of a layer that may be part of a larger one.
constexpr TensorRow part_of(const FusedTensor& fused, size_t part, Matrix LayerWeights::*slot,
                            std::string_view gguf, std::string_view hf) {
  return {gguf, hf, slot, fused.parts[part], Dim::kHidden, Need::kAlways, false, &fused, part};
}

// Phi-3 fuses these; a GGUF file of any architecture may hold fused q, k and v.
inline constexpr Dim kQkvParts[] = {Dim::kQuery, Dim::kKv, Dim::kKv};
inline constexpr Dim kGateUpParts[] = {Dim::kFfn, Dim::kFfn};
inline constexpr FusedTensor kQkv{"blk.{}.attn_qkv.weight",
                                  "model.layers.{}.self_attn.qkv_proj.weight", kQkvParts};
inline constexpr FusedTensor kQkvBias{"blk.{}.attn_qkv.bias",
                                      "model.layers.{}.self_attn.qkv_proj.bias", kQkvParts};
inline constexpr FusedTensor kGateUp{"blk.{}.ffn_up.weight",
                                     "model.layers.{}.mlp.gate_up_proj.weight", kGateUpParts};

inline constexpr TensorRow kAttentionNorm =
    norm("blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight",
         &LayerWeights::attention_norm);
inline constexpr TensorRow kQuery = part_of(kQkv, 0, &LayerWeights::query, "blk.{}.attn_q.weight",
                                            "model.layers.{}.self_attn.q_proj.weight");
inline constexpr TensorRow kKey = part_of(kQkv, 1, &LayerWeights::key, "blk.{}.attn_k.weight",
                                          "model.layers.{}.self_attn.k_proj.weight");
inline constexpr TensorRow kValue = part_of(kQkv, 2, &LayerWeights::value, "blk.{}.attn_v.weight",
                                            "model.layers.{}.self_attn.v_proj.weight");
inline constexpr TensorRow kOutput{"blk.{}.attn_output.weight",
                                   "model.layers.{}.self_attn.o_proj.weight", &LayerWeights::output,
                                   Dim::kHidden, Dim::kQuery};
inline constexpr TensorRow kQueryNorm =
    norm("blk.{}.attn_q_norm.weight", "model.layers.{}.self_attn.q_norm.weight",
         &LayerWeights::query_norm, Dim::kHead);
inline constexpr TensorRow kKeyNorm =
    norm("blk.{}.attn_k_norm.weight", "model.layers.{}.self_attn.k_norm.weight",
         &LayerWeights::key_norm, Dim::kHead);

// The norm before the feed-forward part, by its two Hugging Face names: what is called
// post_attention_layernorm comes before the FFN in most models, but is a true post norm in Gemma 2
// and 3.
inline constexpr TensorRow kFfnNorm =
    norm("blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight",
         &LayerWeights::ffn_norm);
inline constexpr TensorRow kPreFfnNorm =
    norm("blk.{}.ffn_norm.weight", "model.layers.{}.pre_feedforward_layernorm.weight",
         &LayerWeights::ffn_norm);
inline constexpr TensorRow kAttentionPostNorm =
    norm("blk.{}.post_attention_norm.weight", "model.layers.{}.post_attention_layernorm.weight",
         &LayerWeights::attention_post_norm);
inline constexpr TensorRow kFfnPostNorm =
    norm("blk.{}.post_ffw_norm.weight", "model.layers.{}.post_feedforward_layernorm.weight",
         &LayerWeights::ffn_post_norm);

inline constexpr TensorRow kGate{"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight",
                                 &LayerWeights::gate, Dim::kFfn};
inline constexpr TensorRow kUp{"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight",
                               &LayerWeights::up, Dim::kFfn};
inline constexpr TensorRow kDown{"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight",
                                 &LayerWeights::down, Dim::kHidden, Dim::kFfn};

inline constexpr TensorRow kFusedGate = part_of(kGateUp, 0, &LayerWeights::gate, "", "");
inline constexpr TensorRow kFusedUp = part_of(kGateUp, 1, &LayerWeights::up, "", "");

constexpr TensorRow query_bias(Need need) {
  return bias("blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias",
              &LayerWeights::query_bias, Dim::kQuery, need, &kQkvBias, 0);
}
constexpr TensorRow key_bias(Need need) {
  return bias("blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias",
              &LayerWeights::key_bias, Dim::kKv, need, &kQkvBias, 1);
}
constexpr TensorRow value_bias(Need need) {
  return bias("blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias",
              &LayerWeights::value_bias, Dim::kKv, need, &kQkvBias, 2);
}
inline constexpr TensorRow kOutputBias =
    bias("blk.{}.attn_output.bias", "model.layers.{}.self_attn.o_proj.bias",
         &LayerWeights::output_bias, Dim::kHidden, Need::kIfAttentionBias);
inline constexpr TensorRow kGateBias =
    bias("blk.{}.ffn_gate.bias", "model.layers.{}.mlp.gate_proj.bias", &LayerWeights::gate_bias,
         Dim::kFfn, Need::kIfMlpBias);
inline constexpr TensorRow kUpBias = bias("blk.{}.ffn_up.bias", "model.layers.{}.mlp.up_proj.bias",
                                          &LayerWeights::up_bias, Dim::kFfn, Need::kIfMlpBias);
inline constexpr TensorRow kDownBias =
    bias("blk.{}.ffn_down.bias", "model.layers.{}.mlp.down_proj.bias", &LayerWeights::down_bias,
         Dim::kHidden, Need::kIfMlpBias);

// The same row, but only where a layer is of this kind, or with another need.
constexpr TensorRow only_in(LayerSet layers, TensorRow row) {
  row.layers = layers;
  return row;
}
constexpr TensorRow needed(Need need, TensorRow row) {
  row.need = need;
  return row;
}

}  // namespace localai::models::rows
