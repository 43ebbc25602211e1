// Granite (dense): Llama's graph with four multipliers. Source: transformers models/granite.
#include "models/arch_list.h"
#include "models/tensor_rows.h"

namespace localai::models {
namespace {

constexpr std::string_view kNames[] = {"granite"};

constexpr TensorRow kTensors[] = {
    rows::kEmbedding,
    rows::kFinalNorm,
    rows::kHead,
    rows::kAttentionNorm,
    rows::kQuery,
    rows::kKey,
    rows::kValue,
    rows::kOutput,
    rows::query_bias(Need::kIfAttentionBias),
    rows::key_bias(Need::kIfAttentionBias),
    rows::value_bias(Need::kIfAttentionBias),
    rows::kOutputBias,
    rows::kFfnNorm,
    rows::kGate,
    rows::kUp,
    rows::kDown,
    rows::kGateBias,
    rows::kUpBias,
    rows::kDownBias,
};

// A multiplier; in GGUF files 0 means the same as leaving it out.
Status read_multiplier(const Metadata& metadata, Key key, double fallback, float& out) {
  LAI_TRY(const double value, metadata.number_or(key, fallback));
  out = static_cast<float>(metadata.is_gguf() && value == 0.0 ? fallback : value);
  if (!(out > 0.f)) return metadata.error(Code::kCorrupt, key, "has to be positive");
  return Ok{};
}

Status read(const Metadata& metadata, Hyperparameters& hyper) {
  constexpr Key kFinetuned{"rope.scaling.finetuned", ""};
  LAI_TRY(const std::optional<bool> rope, metadata.boolean(kFinetuned));
  if (!rope.value_or(true))
    return metadata.error(Code::kUnsupported, kFinetuned,
                          "false stands for a Granite without RoPE, which is not supported");
  LAI_TRY_STATUS(read_multiplier(metadata, {"embedding_scale", "embedding_multiplier"}, 1.0,
                                 hyper.embedding_scale));
  LAI_TRY_STATUS(read_multiplier(metadata, {"residual_scale", "residual_multiplier"}, 1.0,
                                 hyper.residual_scale));
  LAI_TRY_STATUS(
      read_multiplier(metadata, {"logit_scale", "logits_scaling"}, 1.0, hyper.logit_divisor));
  const double scale = metadata.is_gguf() ? static_cast<double>(hyper.attention_scale) : 1.0;
  return read_multiplier(metadata, {"attention.scale", "attention_multiplier"}, scale,
                         hyper.attention_scale);
}

}  // namespace

const ArchSpec kGranite = {
    .name = "granite",
    .gguf_names = kNames,
    .config_names = kNames,
    .tensors = kTensors,
    .gguf_interleaved_rope = true,
    .read = read,
};

}  // namespace localai::models
