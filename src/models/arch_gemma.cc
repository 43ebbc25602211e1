// Gemma 1: Llama's graph with norms centred on 1, a scaled embedding, GELU and a tied head.
// Source: transformers models/gemma.
#include "models/arch_list.h"
#include "models/gemma_common.h"
#include "models/tensor_rows.h"

namespace localai::models {
namespace {

constexpr std::string_view kNames[] = {"gemma"};

constexpr TensorRow kTensors[] = {
    rows::kEmbedding, rows::kFinalNorm, rows::kHead,  rows::kAttentionNorm,
    rows::kQuery,     rows::kKey,       rows::kValue, rows::kOutput,
    rows::kFfnNorm,   rows::kGate,      rows::kUp,    rows::kDown,
};

Status read(const Metadata&, Hyperparameters& hyper) {
  set_gemma_embedding_scale(hyper);
  return Ok{};
}

}  // namespace

const ArchSpec kGemma = {
    .name = "gemma",
    .gguf_names = kNames,
    .config_names = kNames,
    .tensors = kTensors,
    .activation = Activation::kGeluTanh,
    .norm_minus_one = true,
    .tied_default = true,
    .read = read,
};

}  // namespace localai::models
