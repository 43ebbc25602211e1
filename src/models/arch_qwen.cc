// Qwen 2 (biases on q, k and v) and Qwen 3 (norms on query and key heads instead).
// Source: transformers models/qwen2 and models/qwen3.
#include "models/arch_list.h"
#include "models/tensor_rows.h"

namespace localai::models {
namespace {

constexpr std::string_view kQwen2Names[] = {"qwen2"};
constexpr std::string_view kQwen3Names[] = {"qwen3"};

constexpr TensorRow kQwen2Tensors[] = {
    rows::kEmbedding,
    rows::kFinalNorm,
    rows::kHead,
    rows::kAttentionNorm,
    rows::kQuery,
    rows::kKey,
    rows::kValue,
    rows::query_bias(Need::kAlways),
    rows::key_bias(Need::kAlways),
    rows::value_bias(Need::kAlways),
    rows::kOutput,
    rows::kFfnNorm,
    rows::kGate,
    rows::kUp,
    rows::kDown,
};

constexpr TensorRow kQwen3Tensors[] = {
    rows::kEmbedding,
    rows::kFinalNorm,
    rows::kHead,
    rows::kAttentionNorm,
    rows::kQuery,
    rows::kKey,
    rows::kValue,
    rows::query_bias(Need::kIfAttentionBias),
    rows::key_bias(Need::kIfAttentionBias),
    rows::value_bias(Need::kIfAttentionBias),
    rows::kOutputBias,
    rows::kOutput,
    rows::kQueryNorm,
    rows::kKeyNorm,
    rows::kFfnNorm,
    rows::kGate,
    rows::kUp,
    rows::kDown,
};

bool is_sliding(uint32_t layer, uint64_t full_layers) { return layer >= full_layers; }

// Only config.json can ask for windows: from layer max_window_layers on.
Status read(const Metadata& metadata, Hyperparameters& hyper) {
  LAI_TRY(const std::optional<bool> sliding, metadata.boolean({"", "use_sliding_window"}));
  if (!sliding.value_or(false)) return Ok{};
  LAI_TRY(hyper.sliding_window, metadata.dimension({"", "sliding_window"}, 1u << 30, 4096));
  LAI_TRY(const std::optional<uint64_t> full, metadata.unsigned_integer({"", "max_window_layers"}));
  return read_layer_kinds(metadata, is_sliding, full.value_or(28), hyper);
}

}  // namespace

const ArchSpec kQwen2 = {
    .name = "qwen2",
    .gguf_names = kQwen2Names,
    .config_names = kQwen2Names,
    .tensors = kQwen2Tensors,
    .read = read,
};

const ArchSpec kQwen3 = {
    .name = "qwen3",
    .gguf_names = kQwen3Names,
    .config_names = kQwen3Names,
    .tensors = kQwen3Tensors,
    .read = read,
};

}  // namespace localai::models
