// Gemma 2: norms before and after both branches, soft caps, every other layer local.
// Source: transformers models/gemma2.
#include "models/arch_list.h"
#include "models/gemma_common.h"
#include "models/tensor_rows.h"

namespace localai::models {
namespace {

constexpr std::string_view kNames[] = {"gemma2"};
constexpr uint32_t kLayersOf27b = 46;

constexpr TensorRow kTensors[] = {
    rows::kEmbedding, rows::kFinalNorm, rows::kHead,   rows::kAttentionNorm,     rows::kQuery,
    rows::kKey,       rows::kValue,     rows::kOutput, rows::kAttentionPostNorm, rows::kPreFfnNorm,
    rows::kGate,      rows::kUp,        rows::kDown,   rows::kFfnPostNorm,
};

bool is_sliding(uint32_t layer, uint64_t pattern) { return layer % pattern == 0; }

Status read(const Metadata& metadata, Hyperparameters& hyper) {
  set_gemma_embedding_scale(hyper);
  LAI_TRY_STATUS(read_gemma_attention_scale(metadata, 256.0, kLayersOf27b, hyper));
  LAI_TRY_STATUS(read_gemma_softcaps(metadata, 50.0, 30.0, hyper));
  LAI_TRY(hyper.sliding_window,
          metadata.dimension({"attention.sliding_window", "sliding_window"}, 1u << 30, 4096));
  return read_layer_kinds(metadata, is_sliding, 2, hyper);
}

}  // namespace

const ArchSpec kGemma2 = {
    .name = "gemma2",
    .gguf_names = kNames,
    .config_names = kNames,
    .tensors = kTensors,
    .activation = Activation::kGeluTanh,
    .norm_minus_one = true,
    .tied_default = true,
    .read = read,
};

}  // namespace localai::models
