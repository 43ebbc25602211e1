// Mistral: Llama's graph, in some versions with a sliding window on every layer.
// Source: transformers models/mistral. (Its GGUF files call themselves "llama" and drop the
// window.)
#include "models/arch_list.h"
#include "models/tensor_rows.h"

namespace localai::models {
namespace {

constexpr std::string_view kConfigNames[] = {"mistral"};

constexpr TensorRow kTensors[] = {
    rows::kEmbedding, rows::kFinalNorm, rows::kHead,  rows::kAttentionNorm,
    rows::kQuery,     rows::kKey,       rows::kValue, rows::kOutput,
    rows::kFfnNorm,   rows::kGate,      rows::kUp,    rows::kDown,
};

// null means no window; leaving the key out means 4096.
Status read(const Metadata& metadata, Hyperparameters& hyper) {
  if (metadata.config_says_null("sliding_window")) return Ok{};
  LAI_TRY(hyper.sliding_window, metadata.dimension({"", "sliding_window"}, 1u << 30, 4096));
  hyper.kinds.assign(hyper.layers, LayerKind::kSlidingAttention);
  return Ok{};
}

}  // namespace

const ArchSpec kMistral = {
    .name = "mistral",
    .gguf_names = {},
    .config_names = kConfigNames,
    .tensors = kTensors,
    .read = read,
};

}  // namespace localai::models
