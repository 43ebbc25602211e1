// Granite 4: Mamba2 mixers with a few attention layers among them (most without positions), and an
// FFN after each that is dense, or a mixture of experts with a dense part beside it. Source:
// transformers models/granitemoehybrid; Mamba2: Dao and Gu 2024.
#include <cmath>
#include <string>

#include "models/arch_list.h"
#include "models/granite_common.h"
#include "models/granite_rows.h"

namespace localai::models {
namespace {

constexpr std::string_view kGgufNames[] = {"granitehybrid"};
constexpr std::string_view kConfigNames[] = {"granitemoehybrid"};

constexpr TensorRow in_attention(TensorRow row) { return rows::only_in(LayerSet::kAttention, row); }
constexpr TensorRow in_mamba(TensorRow row) { return rows::only_in(LayerSet::kMamba, row); }
constexpr TensorRow mamba_bias(std::string_view gguf, std::string_view hf,
                               Vector LayerWeights::*slot, Dim rows, Need need = Need::kAlways) {
  return in_mamba({gguf, hf, slot, rows, Dim::kOne, need});
}
// GGUF holds [rows, cols].
constexpr TensorRow mamba_vector(std::string_view gguf, std::string_view hf,
                                 Vector LayerWeights::*slot, Dim rows, Dim cols = Dim::kOne) {
  TensorRow row = in_mamba({gguf, hf, slot, rows, cols});
  row.matrix_shape = true;
  return row;
}

constexpr TensorRow kTensors[] = {
    rows::kEmbedding,
    rows::kFinalNorm,
    rows::kHead,
    rows::kAttentionNorm,
    in_attention(rows::kQuery),
    in_attention(rows::kKey),
    in_attention(rows::kValue),
    in_attention(rows::kOutput),
    in_attention(rows::query_bias(Need::kIfAttentionBias)),
    in_attention(rows::key_bias(Need::kIfAttentionBias)),
    in_attention(rows::value_bias(Need::kIfAttentionBias)),
    in_attention(rows::kOutputBias),
    in_mamba({"blk.{}.ssm_in.weight", "model.layers.{}.mamba.in_proj.weight",
              &LayerWeights::mamba_in, Dim::kMambaProjection}),
    in_mamba({"blk.{}.ssm_out.weight", "model.layers.{}.mamba.out_proj.weight",
              &LayerWeights::mamba_out, Dim::kHidden, Dim::kMambaInner}),
    mamba_bias("blk.{}.ssm_in.bias", "model.layers.{}.mamba.in_proj.bias",
               &LayerWeights::mamba_in_bias, Dim::kMambaProjection, Need::kIfMambaBias),
    mamba_bias("blk.{}.ssm_out.bias", "model.layers.{}.mamba.out_proj.bias",
               &LayerWeights::output_bias, Dim::kHidden, Need::kIfMambaBias),
    mamba_vector("blk.{}.ssm_conv1d.weight", "model.layers.{}.mamba.conv1d.weight",
                 &LayerWeights::conv, Dim::kMambaChannels, Dim::kMambaTapsAndOne),
    mamba_bias("blk.{}.ssm_conv1d.bias", "model.layers.{}.mamba.conv1d.bias",
               &LayerWeights::conv_bias, Dim::kMambaChannels, Need::kIfConvBias),
    mamba_bias("blk.{}.ssm_dt.bias", "model.layers.{}.mamba.dt_bias", &LayerWeights::dt_bias,
               Dim::kMambaHeads),
    mamba_vector("blk.{}.ssm_a", "model.layers.{}.mamba.A_log", &LayerWeights::mamba_a,
                 Dim::kMambaHeads),
    mamba_vector("blk.{}.ssm_d", "model.layers.{}.mamba.D", &LayerWeights::mamba_d,
                 Dim::kMambaHeads),
    mamba_vector("blk.{}.ssm_norm.weight", "model.layers.{}.mamba.norm.weight",
                 &LayerWeights::mamba_norm, Dim::kMambaGroups, Dim::kMambaGroupWidth),
    rows::kFfnNorm,
    rows::kDenseGate,
    rows::kDenseUp,
    rows::kDenseDown,
    rows::kShexpGate,
    rows::kShexpUp,
    rows::kShexpDown,
    rows::kRouter,
    rows::kExpertGate,
    rows::kExpertUp,
    rows::kExpertDown,
};

// "mamba" and "attention" in files, "linear_attention" and "full_attention" since transformers 5.
Status read_kinds(const Metadata& metadata, Hyperparameters& hyper) {
  constexpr Key kTypes{"", "layer_types"};
  const Json* types = metadata.config("layer_types");
  if (types == nullptr) types = metadata.config("layers_block_type");
  if (types == nullptr) {
    hyper.kinds.assign(hyper.layers, LayerKind::kMamba);
    return Ok{};
  }
  if (!types->is_array() || types->size() != hyper.layers)
    return metadata.error(Code::kCorrupt, kTypes,
                          "expected an array of " + std::to_string(hyper.layers) + " layer types");
  for (size_t i = 0; i < hyper.layers; ++i) {
    const Json& type = (*types)[i];
    const bool mamba = type == "mamba" || type == "linear_attention";
    if (!mamba && type != "attention" && type != "full_attention")
      return metadata.error(Code::kUnsupported, kTypes, "layer type " + dump_json(type));
    hyper.kinds[i] = mamba ? LayerKind::kMamba : LayerKind::kFullAttention;
  }
  return Ok{};
}

// [low, high]; transformers writes an infinite one as {"__float__": "Infinity"}.
Status read_time_step_limit(const Metadata& metadata, MambaParameters& mamba) {
  constexpr Key kLimit{"", "time_step_limit"};
  const Json* limit = metadata.config(kLimit.config);
  if (limit == nullptr) return Ok{};
  if (!limit->is_array() || limit->size() != 2 || !(*limit)[0].is_number())
    return metadata.error(Code::kCorrupt, kLimit, "expected two numbers, got " + dump_json(*limit));
  mamba.dt_min = (*limit)[0].get<float>();
  const Json& high = (*limit)[1];
  if (high.is_object() && high.value("__float__", Json()) == "Infinity") return Ok{};
  if (!high.is_number() || high.get<float>() < mamba.dt_min)
    return metadata.error(Code::kCorrupt, kLimit, "expected two numbers, got " + dump_json(*limit));
  mamba.dt_max = high.get<float>();
  return Ok{};
}

Status read_mamba(const Metadata& metadata, Hyperparameters& hyper) {
  constexpr uint64_t kHeadsMax = 1u << 12, kWidthMax = 1u << 20, kStateMax = 1u << 12;
  constexpr Key kHeads{"ssm.time_step_rank", "mamba_n_heads"};
  constexpr Key kGroups{"ssm.group_count", "mamba_n_groups"};
  constexpr Key kTaps{"ssm.conv_kernel", "mamba_d_conv"};
  constexpr Key kInner{"ssm.inner_size", "mamba_expand"};
  MambaParameters& mamba = hyper.mamba;
  const bool gguf = metadata.is_gguf();
  LAI_TRY(mamba.heads, metadata.dimension(kHeads, kHeadsMax, gguf ? 0 : 128));
  LAI_TRY(mamba.groups, metadata.dimension(kGroups, kHeadsMax, 1));
  LAI_TRY(mamba.state_size,
          metadata.dimension({"ssm.state_size", "mamba_d_state"}, kStateMax, gguf ? 0 : 256));
  LAI_TRY(const uint32_t kernel, metadata.dimension(kTaps, kMambaTapsMax + 1, gguf ? 0 : 4));
  if (kernel < 2) return metadata.error(Code::kUnsupported, kTaps, "1 is no convolution");
  mamba.taps = kernel - 1;
  LAI_TRY(const uint64_t stated, metadata.dimension(kInner, kWidthMax, gguf ? 0 : 2));
  const uint64_t inner = gguf ? stated : stated * hyper.hidden;
  if (inner > kWidthMax || inner % mamba.heads != 0)
    return metadata.error(Code::kCorrupt, kInner,
                          std::to_string(mamba.heads) + " heads do not divide the inner size " +
                              std::to_string(inner));
  mamba.head_dim = static_cast<uint32_t>(inner / mamba.heads);
  if (mamba.heads % mamba.groups != 0)
    return metadata.error(Code::kCorrupt, kGroups,
                          std::to_string(mamba.groups) + " groups do not divide " +
                              std::to_string(mamba.heads) + " heads");
  LAI_TRY(const std::optional<bool> conv_bias, metadata.boolean({"", "mamba_conv_bias"}));
  mamba.conv_bias = conv_bias.value_or(true);
  LAI_TRY(const std::optional<bool> bias, metadata.boolean({"", "mamba_proj_bias"}));
  mamba.bias = bias.value_or(false);
  return read_time_step_limit(metadata, mamba);
}

Status read(const Metadata& metadata, Hyperparameters& hyper) {
  LAI_TRY_STATUS(granite::read_common(metadata, hyper));
  LAI_TRY_STATUS(granite::read_experts(metadata, hyper));
  if (!metadata.is_gguf()) {
    LAI_TRY_STATUS(read_kinds(metadata, hyper));
    LAI_TRY(const std::optional<std::string> positions,
            metadata.string({"", "position_embedding_type"}));
    hyper.use_rope = positions.value_or("") == "rope";
  }
  for (const LayerKind kind : hyper.kinds)
    if (kind == LayerKind::kMamba) return read_mamba(metadata, hyper);
  return Ok{};
}

// The kernel wants the convolution's weights by position, not by channel; GGUF holds -exp(A_log).
void adapt(const Hyperparameters& hyper, bool gguf, Weights& weights) {
  const size_t channels = hyper.mamba.channels(), width = size_t{hyper.mamba.taps} + 1;
  for (LayerWeights& layer : weights.layers) {
    if (layer.conv.empty()) continue;
    const Vector by_channel = layer.conv;
    for (size_t c = 0; c < channels; ++c)
      for (size_t j = 0; j < width; ++j) layer.conv[j * channels + c] = by_channel[c * width + j];
    if (layer.conv_bias.empty()) layer.conv_bias.assign(channels, 0.f);
    if (gguf) continue;
    for (float& a : layer.mamba_a) a = static_cast<float>(-std::exp(static_cast<double>(a)));
  }
}

}  // namespace

const ArchSpec kGraniteHybrid = {
    .name = "granitemoehybrid",
    .gguf_names = kGgufNames,
    .config_names = kConfigNames,
    .tensors = kTensors,
    .gguf_interleaved_rope = true,
    .mamba_layers = true,
    .read = read,
    .adapt = adapt,
};

}  // namespace localai::models
