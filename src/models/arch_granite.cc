// Granite (dense): Llama's graph with four multipliers. Source: transformers models/granite.
#include "models/arch_list.h"
#include "models/granite_common.h"
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

}  // namespace

const ArchSpec kGranite = {
    .name = "granite",
    .gguf_names = kNames,
    .config_names = kNames,
    .tensors = kTensors,
    .gguf_interleaved_rope = true,
    .read = granite::read_common,
};

}  // namespace localai::models
