#include "models/arch.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "models/arch_list.h"

namespace localai::models {
namespace {

const ArchSpec* const kArchitectures[] = {
    &kLlama, &kMistral, &kQwen2,  &kQwen3,  &kGranite,    &kGraniteMoe, &kGraniteHybrid,
    &kPhi3,  &kGemma,   &kGemma2, &kGemma3, &kVaultGemma, &kBert};

// Far above every published model, low enough that no product of two overflows 64 bits and no
// vector sized by one exhausts memory.
constexpr uint64_t kLayersMax = 1024;
constexpr uint64_t kHeadsMax = 1u << 12;
constexpr uint64_t kHeadDimMax = 1u << 12;
constexpr uint64_t kWidthMax = 1u << 20;
constexpr uint64_t kContextMax = 1u << 30;

Status read_sizes(const Metadata& metadata, Hyperparameters& hyper) {
  LAI_TRY(hyper.layers, metadata.dimension({"block_count", "num_hidden_layers"}, kLayersMax));
  LAI_TRY(hyper.hidden, metadata.dimension({"embedding_length", "hidden_size"}, kWidthMax));
  LAI_TRY(hyper.ffn, metadata.dimension({"feed_forward_length", "intermediate_size"}, kWidthMax));
  LAI_TRY(hyper.context,
          metadata.dimension({"context_length", "max_position_embeddings"}, kContextMax));
  return Ok{};
}

// GGUF files of models with other mixers state the KV heads per layer, 0 where there is no
// attention; the others have to be equal.
Status read_mixed_kv_heads(const Metadata& metadata, Key key, Hyperparameters& hyper) {
  LAI_TRY(const std::vector<uint64_t> counts, metadata.per_layer(key, hyper.layers));
  uint64_t kv_heads = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) {
      hyper.kinds[i] = LayerKind::kMamba;
      continue;
    }
    if (kv_heads != 0 && counts[i] != kv_heads)
      return metadata.error(Code::kUnsupported, key,
                            std::to_string(kv_heads) + " in one layer and " +
                                std::to_string(counts[i]) + " in another");
    kv_heads = counts[i];
  }
  if (kv_heads > kHeadsMax)
    return metadata.error(Code::kCorrupt, key, std::to_string(kv_heads) + " heads");
  hyper.kv_heads = kv_heads == 0 ? hyper.heads : static_cast<uint32_t>(kv_heads);
  return Ok{};
}

Status read_heads(const ArchSpec& spec, const Metadata& metadata, Hyperparameters& hyper) {
  constexpr Key kHeads{"attention.head_count", "num_attention_heads"};
  constexpr Key kKvHeads{"attention.head_count_kv", "num_key_value_heads"};
  constexpr Key kHeadDim{"attention.key_length", "head_dim"};
  LAI_TRY(hyper.heads, metadata.dimension(kHeads, kHeadsMax));
  if (spec.mamba_layers && metadata.is_gguf()) {
    LAI_TRY_STATUS(read_mixed_kv_heads(metadata, kKvHeads, hyper));
  } else {
    LAI_TRY(hyper.kv_heads, metadata.dimension(kKvHeads, kHeadsMax, hyper.heads));
  }
  if (hyper.heads % hyper.kv_heads != 0)
    return metadata.error(Code::kCorrupt, kKvHeads,
                          std::to_string(hyper.kv_heads) + " does not divide " +
                              std::to_string(hyper.heads) + " query heads");
  LAI_TRY(const std::optional<uint64_t> stated, metadata.unsigned_integer(kHeadDim));
  if (!stated && hyper.hidden % hyper.heads != 0)
    return metadata.error(Code::kCorrupt, kHeads,
                          std::to_string(hyper.heads) + " does not divide the hidden size " +
                              std::to_string(hyper.hidden));
  LAI_TRY(hyper.head_dim,
          metadata.dimension(kHeadDim, kHeadDimMax, std::max(hyper.hidden / hyper.heads, 1u)));
  LAI_TRY(const std::optional<uint64_t> value_length,
          metadata.unsigned_integer({"attention.value_length", ""}));
  if (value_length.value_or(hyper.head_dim) != hyper.head_dim)
    return metadata.error(Code::kUnsupported, {"attention.value_length", ""},
                          std::to_string(*value_length) + " differs from the key length " +
                              std::to_string(hyper.head_dim));
  return Ok{};
}

Status read_flags(const ArchSpec& spec, const Metadata& metadata, Hyperparameters& hyper) {
  const Key eps_key = spec.eps_key;
  LAI_TRY(const double eps,
          metadata.number_or(eps_key, metadata.is_gguf() ? -1.0 : spec.default_eps));
  if (!(eps >= 0.0 && eps < 1.0))
    return metadata.error(Code::kCorrupt, eps_key, "has to be within 0..1");
  hyper.norm_eps = static_cast<float>(eps);
  LAI_TRY(const std::optional<bool> tied, metadata.boolean({"", "tie_word_embeddings"}));
  hyper.tied = tied.value_or(!metadata.is_gguf() && spec.tied_default);
  LAI_TRY(const std::optional<bool> attention, metadata.boolean({"", "attention_bias"}));
  hyper.attention_bias = attention.value_or(false);
  LAI_TRY(const std::optional<bool> mlp, metadata.boolean({"", "mlp_bias"}));
  hyper.mlp_bias = mlp.value_or(false);
  return Ok{};
}

}  // namespace

bool has_ffn_part(Need need, const Hyperparameters& hyper) {
  if (need == Need::kIfNoExperts) return hyper.experts == 0;
  if (need == Need::kIfExperts) return hyper.experts != 0;
  return need != Need::kIfSharedExpert || (hyper.experts != 0 && hyper.shared_expert);
}

bool has_tensor(LayerSet layers, LayerKind kind) {
  return layers == LayerSet::kAll || (layers == LayerSet::kMamba) == (kind == LayerKind::kMamba);
}

uint64_t dim_size(Dim dim, const Hyperparameters& hyper) {
  switch (dim) {
    case Dim::kVocab:
      return hyper.vocab;
    case Dim::kHidden:
      return hyper.hidden;
    case Dim::kFfn:
      return hyper.ffn;
    case Dim::kQuery:
      return hyper.query_rows();
    case Dim::kKv:
      return hyper.kv_rows();
    case Dim::kHead:
      return hyper.head_dim;
    case Dim::kRotaryHalf:
      return hyper.rope.rotary / 2;
    case Dim::kPositions:
      return hyper.context;
    case Dim::kTokenTypes:
      return hyper.token_types;
    case Dim::kMambaInner:
      return hyper.mamba.inner();
    case Dim::kMambaProjection:
      return hyper.mamba.projection();
    case Dim::kMambaChannels:
      return hyper.mamba.channels();
    case Dim::kMambaTapsAndOne:
      return uint64_t{hyper.mamba.taps} + 1;
    case Dim::kMambaHeads:
      return hyper.mamba.heads;
    case Dim::kMambaGroups:
      return hyper.mamba.groups;
    case Dim::kMambaGroupWidth:
      return hyper.mamba.groups == 0 ? 0 : hyper.mamba.inner() / hyper.mamba.groups;
    case Dim::kExperts:
      return hyper.experts;
    case Dim::kExpertFfn:
      return hyper.expert_ffn;
    case Dim::kOne:
      return 1;
  }
  return 0;
}

Result<Hyperparameters> read_hyperparameters(const ArchSpec& spec, const Metadata& metadata) {
  Hyperparameters hyper;
  LAI_TRY_STATUS(read_sizes(metadata, hyper));
  hyper.kinds.assign(hyper.layers, LayerKind::kFullAttention);
  LAI_TRY_STATUS(read_heads(spec, metadata, hyper));
  LAI_TRY_STATUS(read_flags(spec, metadata, hyper));
  // GGUF need not say: the embedding's own shape decides, in bind_weights().
  LAI_TRY(hyper.vocab, metadata.dimension({"vocab_size", "vocab_size"}, kVocabMax,
                                          metadata.is_gguf() ? kVocabMax : 0));
  hyper.attention_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(hyper.head_dim)));
  hyper.rope.base = metadata.is_gguf() ? hyper.rope.base : spec.default_rope_base;
  LAI_TRY_STATUS(read_rope(metadata, hyper.head_dim, hyper.rope));
  hyper.sliding_rope = hyper.rope;
  if (spec.read != nullptr) LAI_TRY_STATUS(spec.read(metadata, hyper));
  LAI_TRY_STATUS(check_rope(metadata, hyper.head_dim, hyper.rope));
  LAI_TRY_STATUS(check_rope(metadata, hyper.head_dim, hyper.sliding_rope));
  return hyper;
}

Status use_layer_flags(const Metadata& metadata, const std::vector<bool>& flags,
                       Hyperparameters& hyper) {
  if (flags.size() != hyper.layers)
    return metadata.error(
        Code::kCorrupt, {"attention.sliding_window_pattern", "layer_types"},
        std::to_string(flags.size()) + " entries for " + std::to_string(hyper.layers) + " layers");
  for (size_t i = 0; i < flags.size(); ++i)
    hyper.kinds[i] = flags[i] ? LayerKind::kSlidingAttention : LayerKind::kFullAttention;
  return Ok{};
}

Status read_layer_kinds(const Metadata& metadata, bool (*sliding)(uint32_t, uint64_t),
                        uint64_t pattern, Hyperparameters& hyper) {
  std::vector<bool> flags;
  const Json* types = metadata.config("layer_types");
  if (types == nullptr) {
    for (uint32_t i = 0; i < hyper.layers; ++i) flags.push_back(sliding(i, pattern));
    return use_layer_flags(metadata, flags, hyper);
  }
  constexpr Key kTypes{"", "layer_types"};
  if (!types->is_array()) return metadata.error(Code::kCorrupt, kTypes, "expected an array");
  for (const Json& type : *types) {
    if (type != "sliding_attention" && type != "full_attention")
      return metadata.error(Code::kUnsupported, kTypes, "layer type " + dump_json(type));
    flags.push_back(type == "sliding_attention");
  }
  return use_layer_flags(metadata, flags, hyper);
}

std::span<const ArchSpec* const> architectures() { return kArchitectures; }

const ArchSpec* find_architecture(std::string_view name, bool gguf) {
  for (const ArchSpec* spec : kArchitectures) {
    const auto names = gguf ? spec->gguf_names : spec->config_names;
    if (std::find(names.begin(), names.end(), name) != names.end()) return spec;
  }
  return nullptr;
}

}  // namespace localai::models
