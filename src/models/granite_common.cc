#include "models/granite_common.h"

#include <string>

namespace localai::models::granite {
namespace {

constexpr uint64_t kExpertsMax = 1024;
constexpr uint64_t kExpertsUsedMax = 64;
constexpr uint64_t kWidthMax = 1u << 20;

// A multiplier; in GGUF files 0 means the same as leaving it out.
Status read_multiplier(const Metadata& metadata, Key key, double fallback, float& out) {
  LAI_TRY(const double value, metadata.number_or(key, fallback));
  out = static_cast<float>(metadata.is_gguf() && value == 0.0 ? fallback : value);
  if (!(out > 0.f)) return metadata.error(Code::kCorrupt, key, "has to be positive");
  return Ok{};
}

}  // namespace

Status read_common(const Metadata& metadata, Hyperparameters& hyper) {
  LAI_TRY(const std::optional<bool> rope, metadata.boolean({"rope.scaling.finetuned", ""}));
  hyper.use_rope = rope.value_or(true);
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

Status read_experts(const Metadata& metadata, Hyperparameters& hyper) {
  constexpr Key kExperts{"expert_count", "num_local_experts"};
  constexpr Key kUsed{"expert_used_count", "num_experts_per_tok"};
  constexpr Key kShared{"expert_shared_feed_forward_length", "shared_intermediate_size"};
  LAI_TRY(const std::optional<uint64_t> stated, metadata.unsigned_integer(kExperts));
  const uint64_t experts = stated.value_or(metadata.is_gguf() ? 0 : 8);  // transformers' default
  LAI_TRY(const std::optional<uint64_t> shared, metadata.unsigned_integer(kShared));
  hyper.expert_ffn = hyper.ffn;
  hyper.shared_expert = shared.value_or(0) > 0;
  if (hyper.shared_expert && (experts > 0 || !metadata.is_gguf())) {
    LAI_TRY(hyper.ffn, metadata.dimension(kShared, kWidthMax));
  }
  if (experts == 0) return Ok{};
  LAI_TRY(hyper.experts, metadata.dimension(kExperts, kExpertsMax, experts));
  LAI_TRY(hyper.experts_used,
          metadata.dimension(kUsed, kExpertsUsedMax, metadata.is_gguf() ? 0 : 2));
  if (hyper.experts_used > hyper.experts)
    return metadata.error(
        Code::kCorrupt, kUsed,
        std::to_string(hyper.experts_used) + " of " + std::to_string(hyper.experts) + " experts");
  return Ok{};
}

}  // namespace localai::models::granite
