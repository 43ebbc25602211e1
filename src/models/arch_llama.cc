// Llama and what is built like it (SmolLM, TinyLlama, Llama 3 with its RoPE scaling).
// Source: transformers models/llama; its GGUF files permute q and k rows for interleaved RoPE.
#include "models/arch_list.h"
#include "models/tensor_rows.h"

namespace localai::models {
namespace {

constexpr std::string_view kNames[] = {"llama"};

constexpr TensorRow kTensors[] = {
    rows::kEmbedding,
    rows::kFinalNorm,
    rows::kHead,
    rows::kRopeDivisors,
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

const ArchSpec kLlama = {
    .name = "llama",
    .gguf_names = kNames,
    .config_names = kNames,
    .tensors = kTensors,
    .activation = Activation::kSilu,
    .gguf_interleaved_rope = true,
};

}  // namespace localai::models
