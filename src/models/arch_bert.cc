// BERT and what is trained from it (MiniLM, BGE, E5): an encoder (encoder.h) with learned
// positions, LayerNorm after each sublayer, biases everywhere. Source: transformers models/bert.
#include "models/arch_list.h"
#include "models/tensor_rows.h"

namespace localai::models {
namespace {

constexpr std::string_view kNames[] = {"bert"};

constexpr TensorRow matrix(std::string_view gguf, std::string_view hf, Matrix LayerWeights::*slot,
                           Dim size, Dim cols = Dim::kHidden) {
  return {gguf, hf, slot, size, cols};
}
constexpr TensorRow vector(std::string_view gguf, std::string_view hf, Vector LayerWeights::*slot,
                           Dim size = Dim::kHidden) {
  return {gguf, hf, slot, size};
}

constexpr TensorRow kTensors[] = {
    {"token_embd.weight", "embeddings.word_embeddings.weight", &Weights::embedding, Dim::kVocab},
    {"position_embd.weight", "embeddings.position_embeddings.weight", &Weights::positions,
     Dim::kPositions},
    {"token_types.weight", "embeddings.token_type_embeddings.weight", &Weights::token_types,
     Dim::kTokenTypes},
    {"token_embd_norm.weight", "embeddings.LayerNorm.weight", &Weights::embedding_norm,
     Dim::kHidden},
    {"token_embd_norm.bias", "embeddings.LayerNorm.bias", &Weights::embedding_norm_bias,
     Dim::kHidden},
    matrix("blk.{}.attn_q.weight", "encoder.layer.{}.attention.self.query.weight",
           &LayerWeights::query, Dim::kQuery),
    matrix("blk.{}.attn_k.weight", "encoder.layer.{}.attention.self.key.weight", &LayerWeights::key,
           Dim::kKv),
    matrix("blk.{}.attn_v.weight", "encoder.layer.{}.attention.self.value.weight",
           &LayerWeights::value, Dim::kKv),
    vector("blk.{}.attn_q.bias", "encoder.layer.{}.attention.self.query.bias",
           &LayerWeights::query_bias, Dim::kQuery),
    vector("blk.{}.attn_k.bias", "encoder.layer.{}.attention.self.key.bias",
           &LayerWeights::key_bias, Dim::kKv),
    vector("blk.{}.attn_v.bias", "encoder.layer.{}.attention.self.value.bias",
           &LayerWeights::value_bias, Dim::kKv),
    matrix("blk.{}.attn_output.weight", "encoder.layer.{}.attention.output.dense.weight",
           &LayerWeights::output, Dim::kHidden, Dim::kQuery),
    vector("blk.{}.attn_output.bias", "encoder.layer.{}.attention.output.dense.bias",
           &LayerWeights::output_bias),
    vector("blk.{}.attn_output_norm.weight", "encoder.layer.{}.attention.output.LayerNorm.weight",
           &LayerWeights::attention_post_norm),
    vector("blk.{}.attn_output_norm.bias", "encoder.layer.{}.attention.output.LayerNorm.bias",
           &LayerWeights::attention_post_norm_bias),
    matrix("blk.{}.ffn_up.weight", "encoder.layer.{}.intermediate.dense.weight", &LayerWeights::up,
           Dim::kFfn),
    vector("blk.{}.ffn_up.bias", "encoder.layer.{}.intermediate.dense.bias", &LayerWeights::up_bias,
           Dim::kFfn),
    matrix("blk.{}.ffn_down.weight", "encoder.layer.{}.output.dense.weight", &LayerWeights::down,
           Dim::kHidden, Dim::kFfn),
    vector("blk.{}.ffn_down.bias", "encoder.layer.{}.output.dense.bias", &LayerWeights::down_bias),
    vector("blk.{}.layer_output_norm.weight", "encoder.layer.{}.output.LayerNorm.weight",
           &LayerWeights::ffn_post_norm),
    vector("blk.{}.layer_output_norm.bias", "encoder.layer.{}.output.LayerNorm.bias",
           &LayerWeights::ffn_post_norm_bias),
};

// What the original TensorFlow checkpoints, and those converted from them, call them.
constexpr OldEnding kOldEndings[] = {{".LayerNorm.gamma", ".LayerNorm.weight"},
                                     {".LayerNorm.beta", ".LayerNorm.bias"}};

// Only the plain form: a decoder-like BERT or relative positions would need another graph.
Status check_variant(const Metadata& metadata) {
  constexpr Key kCausal{"attention.causal", "is_decoder"};
  LAI_TRY(const std::optional<bool> causal, metadata.boolean(kCausal));
  if (causal.value_or(false))
    return metadata.error(Code::kUnsupported, kCausal, "a causal BERT is not supported");
  constexpr Key kActivation{"", "hidden_act"};
  LAI_TRY(const std::optional<std::string> activation, metadata.string(kActivation));
  if (activation.value_or("gelu") != "gelu")
    return metadata.error(Code::kUnsupported, kActivation,
                          "'" + *activation + "' is not supported (gelu is)");
  constexpr Key kPositions{"", "position_embedding_type"};
  LAI_TRY(const std::optional<std::string> positions, metadata.string(kPositions));
  if (positions.value_or("absolute") != "absolute")
    return metadata.error(Code::kUnsupported, kPositions,
                          "'" + *positions + "' is not supported (absolute is)");
  return Ok{};
}

Status read(const Metadata& metadata, Hyperparameters& hyper) {
  LAI_TRY_STATUS(check_variant(metadata));
  if (hyper.kv_heads != hyper.heads)
    return metadata.error(Code::kUnsupported, {"attention.head_count_kv", "num_key_value_heads"},
                          "differs from the number of query heads");
  // GGUF need not say: the tensor's own shape decides, in bind_weights().
  LAI_TRY(hyper.token_types, metadata.dimension({"", "type_vocab_size"}, kTokenTypesMax,
                                                metadata.is_gguf() ? kTokenTypesMax : 2));
  return Ok{};
}

}  // namespace

const ArchSpec kBert = {
    .name = "bert",
    .gguf_names = kNames,
    .config_names = kNames,
    .tensors = kTensors,
    .default_eps = 1e-12,
    .eps_key = {"attention.layer_norm_epsilon", "layer_norm_eps"},
    .optional_prefix = "bert.",
    .old_endings = kOldEndings,
    .encoder = true,
    .read = read,
};

}  // namespace localai::models
