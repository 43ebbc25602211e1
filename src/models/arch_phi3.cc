// Phi-3 and 3.5: Llama's graph with fused projections, LongRoPE in the long-context versions, and
// in some a sliding window on every layer. Source: transformers models/phi3.
#include "models/arch_list.h"
#include "models/tensor_rows.h"

namespace localai::models {
namespace {

constexpr std::string_view kNames[] = {"phi3"};

constexpr TensorRow kTensors[] = {
    rows::kEmbedding,       rows::kFinalNorm,     rows::kHead,    rows::kShortRopeFactors,
    rows::kLongRopeFactors, rows::kAttentionNorm, rows::kQuery,   rows::kKey,
    rows::kValue,           rows::kOutput,        rows::kFfnNorm, rows::kFusedGate,
    rows::kFusedUp,         rows::kDown,
};

// config.json: null or missing means none; the GGUF converter writes 0 for that.
Status read(const Metadata& metadata, Hyperparameters& hyper) {
  constexpr Key kWindow{"attention.sliding_window", "sliding_window"};
  LAI_TRY(const std::optional<uint64_t> window, metadata.unsigned_integer(kWindow));
  if (!window || (metadata.is_gguf() && *window == 0)) return Ok{};
  LAI_TRY(hyper.sliding_window, metadata.dimension(kWindow, 1u << 30));
  hyper.kinds.assign(hyper.layers, LayerKind::kSlidingAttention);
  return Ok{};
}

}  // namespace

const ArchSpec kPhi3 = {
    .name = "phi3",
    .gguf_names = kNames,
    .config_names = kNames,
    .tensors = kTensors,
    .default_eps = 1e-5,
    .read = read,
};

}  // namespace localai::models
