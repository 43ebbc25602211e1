// Granite MoE: Granite's graph with experts, and in some a dense part beside them. Source:
// transformers models/granitemoe, models/granitemoeshared.
#include "models/arch_list.h"
#include "models/granite_common.h"
#include "models/granite_rows.h"

namespace localai::models {
namespace {

constexpr std::string_view kGgufNames[] = {"granitemoe"};
constexpr std::string_view kConfigNames[] = {"granitemoe", "granitemoeshared"};

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
    rows::kShexpGate,
    rows::kShexpUp,
    rows::kShexpDown,
    rows::kRouter,
    rows::kExpertGate,
    rows::kExpertUp,
    rows::kExpertDown,
};

Status read(const Metadata& metadata, Hyperparameters& hyper) {
  LAI_TRY_STATUS(granite::read_common(metadata, hyper));
  LAI_TRY_STATUS(granite::read_experts(metadata, hyper));
  if (hyper.experts == 0)
    return metadata.error(Code::kCorrupt, {"expert_count", "num_local_experts"}, "missing");
  return Ok{};
}

}  // namespace

const ArchSpec kGraniteMoe = {
    .name = "granitemoe",
    .gguf_names = kGgufNames,
    .config_names = kConfigNames,
    .tensors = kTensors,
    .gguf_interleaved_rope = true,
    .read = read,
};

}  // namespace localai::models
