// Gemma 3, text: norms before and after both branches, norms on query and key heads, local and
// global layers with a RoPE base each. Source: transformers models/gemma3.
#include "models/arch_list.h"
#include "models/gemma_common.h"
#include "models/tensor_rows.h"

namespace localai::models {
namespace {

constexpr std::string_view kGgufNames[] = {"gemma3"};
constexpr std::string_view kConfigNames[] = {"gemma3_text"};

constexpr TensorRow kTensors[] = {
    rows::kEmbedding,
    rows::kFinalNorm,
    rows::kHead,
    rows::kAttentionNorm,
    rows::kQuery,
    rows::kKey,
    rows::kValue,
    rows::kOutput,
    rows::kQueryNorm,
    rows::kKeyNorm,
    rows::kAttentionPostNorm,
    rows::kPreFfnNorm,
    rows::kGate,
    rows::kUp,
    rows::kDown,
    rows::kFfnPostNorm,
};

constexpr uint32_t kLayersOf27b = 62;

// Every `pattern`-th layer is global.
bool is_sliding(uint32_t layer, uint64_t pattern) { return (layer + 1) % pattern != 0; }

// v5 files nest one object per layer type; older ones have rope_local_base_freq, and rope_theta
// and rope_scaling for the global layers only.
Status read_ropes(const Metadata& metadata, Hyperparameters& hyper) {
  RopeParameters& sliding = hyper.sliding_rope;
  sliding = {.base = 10000.0, .rotary = hyper.rope.rotary};
  LAI_TRY(sliding.base,
          metadata.number_or({"rope.freq_base_swa", "rope_local_base_freq"}, sliding.base));
  const Json* parameters = metadata.config("rope_parameters");
  if (parameters == nullptr) return Ok{};
  const std::string where = metadata.file() + ": config.json: rope_parameters";
  if (const auto full = parameters->find("full_attention"); full != parameters->end())
    LAI_TRY_STATUS(read_rope_object(*full, where + ".full_attention", hyper.rope));
  if (const auto local = parameters->find("sliding_attention"); local != parameters->end())
    LAI_TRY_STATUS(read_rope_object(*local, where + ".sliding_attention", sliding));
  return Ok{};
}

Status read(const Metadata& metadata, Hyperparameters& hyper) {
  set_gemma_embedding_scale(hyper);
  LAI_TRY_STATUS(read_ropes(metadata, hyper));
  LAI_TRY_STATUS(read_gemma_attention_scale(metadata, 256.0, kLayersOf27b, hyper));
  LAI_TRY_STATUS(read_gemma_softcaps(metadata, 0.0, 0.0, hyper));
  LAI_TRY(hyper.sliding_window, metadata.dimension({"attention.sliding_window", "sliding_window"},
                                                   1u << 30, metadata.is_gguf() ? 0 : 4096));
  LAI_TRY(const std::optional<std::vector<bool>> flags,
          metadata.flags("attention.sliding_window_pattern"));
  if (flags) return use_layer_flags(metadata, *flags, hyper);
  LAI_TRY(const uint32_t pattern,
          metadata.dimension({"attention.sliding_window_pattern", "sliding_window_pattern"},
                             1u << 16, 6));
  return read_layer_kinds(metadata, is_sliding, pattern, hyper);
}

}  // namespace

const ArchSpec kGemma3 = {
    .name = "gemma3",
    .gguf_names = kGgufNames,
    .config_names = kConfigNames,
    .tensors = kTensors,
    .activation = Activation::kGeluTanh,
    .norm_minus_one = true,
    .tied_default = true,
    .default_rope_base = 1e6,
    .read = read,
};

}  // namespace localai::models
