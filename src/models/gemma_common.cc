#include "models/gemma_common.h"

#include <cmath>

namespace localai::models {
namespace {

Status read_cap(const Metadata& metadata, Key key, double fallback, float& out) {
  if (metadata.config_says_null(key.config)) fallback = 0.0;
  LAI_TRY(const double cap, metadata.number_or(key, fallback));
  if (cap < 0.0) return metadata.error(Code::kCorrupt, key, "has to be positive");
  out = static_cast<float>(cap);
  return Ok{};
}

}  // namespace

void set_gemma_embedding_scale(Hyperparameters& hyper) {
  hyper.embedding_scale = std::sqrt(static_cast<float>(hyper.hidden));
}

Status read_gemma_attention_scale(const Metadata& metadata, double config_default,
                                  uint32_t layers_of_27b, Hyperparameters& hyper) {
  constexpr Key kScalar{"", "query_pre_attn_scalar"};
  double fallback = config_default;
  if (metadata.is_gguf())
    fallback = hyper.layers == layers_of_27b ? static_cast<double>(hyper.hidden) / hyper.heads
                                             : static_cast<double>(hyper.head_dim);
  LAI_TRY(const double scalar, metadata.number_or(kScalar, fallback));
  if (!(scalar > 0.0)) return metadata.error(Code::kCorrupt, kScalar, "has to be positive");
  hyper.attention_scale = static_cast<float>(1.0 / std::sqrt(scalar));
  return Ok{};
}

Status read_gemma_softcaps(const Metadata& metadata, double attention_default, double final_default,
                           Hyperparameters& hyper) {
  LAI_TRY_STATUS(read_cap(metadata, {"attn_logit_softcapping", "attn_logit_softcapping"},
                          attention_default, hyper.attention_softcap));
  return read_cap(metadata, {"final_logit_softcapping", "final_logit_softcapping"}, final_default,
                  hyper.final_softcap);
}

}  // namespace localai::models
