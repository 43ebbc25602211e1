#pragma once
// The architecture table: each architecture is data over one parametric decoder,
//   x = E[token] * e; per layer: x += rho * P1(mix(N1 x)); x += rho * P2(ffn(N2 x));
//   logits = cap(N(x) W^T / l),
// plus one function for hyperparameters that only it has. Adding one: a file arch_NAME.cc with its
// ArchSpec, a line in arch.cc, a golden test (docs/ARCHITECTURE.md, "Add an architecture").
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "models/metadata.h"
#include "models/rope.h"
#include "models/weights.h"

namespace localai::models {

// Types of text segments (BERT). Also stands for "not stated".
inline constexpr uint32_t kTokenTypesMax = 1u << 16;

enum class Activation : uint8_t { kSilu, kGeluTanh };

// Above every published vocabulary. Also stands for "not stated" while a GGUF file is read.
inline constexpr uint32_t kVocabMax = 1u << 24;

inline constexpr uint32_t kMambaTapsMax = 15;  // as many earlier positions a convolution may see

// A Mamba2 mixer: `heads` states of [head_dim, state_size], whose B and C are shared by the heads
// of a group, behind a convolution over `taps` earlier positions and the current one.
struct MambaParameters {
  uint32_t heads = 0, head_dim = 0, groups = 0, state_size = 0, taps = 0;
  bool conv_bias = true;
  bool bias = false;  // of the two projections
  float dt_min = 0.f, dt_max = std::numeric_limits<float>::infinity();

  [[nodiscard]] uint64_t inner() const { return uint64_t{heads} * head_dim; }
  // x, B and C, which go through the convolution.
  [[nodiscard]] uint64_t channels() const { return inner() + uint64_t{2} * groups * state_size; }
  // z, then the channels, then dt.
  [[nodiscard]] uint64_t projection() const { return inner() + channels() + heads; }
  // f32 of one layer's state of one sequence: S of every head, then the last raw channels.
  [[nodiscard]] uint64_t state_floats() const {
    return inner() * state_size + uint64_t{taps} * channels();
  }
};

// Everything the forward pass needs to know besides the weights.
struct Hyperparameters {
  uint32_t layers = 0, hidden = 0, ffn = 0, vocab = 0, context = 0;
  uint32_t heads = 0, kv_heads = 0, head_dim = 0;
  float norm_eps = 1e-5f;
  float embedding_scale = 1.f;    // e
  float residual_scale = 1.f;     // rho
  float logit_divisor = 1.f;      // l
  float attention_scale = 0.f;    // 1/sqrt(head_dim) unless the model says otherwise
  float attention_softcap = 0.f;  // 0: none
  float final_softcap = 0.f;      // 0: none
  bool use_rope = true;           // false: attention without positions
  RopeParameters rope;            // of full attention
  RopeParameters sliding_rope;    // of sliding attention; equal to `rope` unless stated
  uint32_t sliding_window = 0;    // a key is visible while q_pos - k_pos < sliding_window
  std::vector<LayerKind> kinds;   // [layers]
  bool tied = false;              // logits from the embedding matrix
  bool attention_bias = false;    // config.json says so; in GGUF the tensors themselves do
  bool mlp_bias = false;
  uint32_t token_types = 0;  // of an encoder
  MambaParameters mamba;     // of LayerKind::kMamba
  uint32_t experts = 0;      // 0: no mixture of experts
  uint32_t experts_used = 0;
  uint32_t expert_ffn = 0;     // width of one expert; `ffn` is that of the dense or shared part
  bool shared_expert = false;  // a dense part beside the experts

  [[nodiscard]] uint64_t query_rows() const { return uint64_t{heads} * head_dim; }
  [[nodiscard]] uint64_t kv_rows() const { return uint64_t{kv_heads} * head_dim; }
};

// A tensor's dimension by name.
enum class Dim : uint8_t {
  kVocab,
  kHidden,
  kFfn,
  kQuery,
  kKv,
  kHead,
  kRotaryHalf,
  kPositions,
  kTokenTypes,
  kMambaInner,
  kMambaProjection,
  kMambaChannels,
  kMambaTapsAndOne,
  kMambaHeads,
  kMambaGroups,
  kMambaGroupWidth,
  kExperts,
  kExpertFfn,
  kOne,
};
uint64_t dim_size(Dim dim, const Hyperparameters& hyper);

// Where a tensor goes, and so whether it is a matrix or a vector, global or one per layer.
using Slot = std::variant<Matrix Weights::*, Vector Weights::*, Matrix LayerWeights::*,
                          Vector LayerWeights::*>;

enum class Need : uint8_t {
  kAlways,
  kIfPresent,
  kIfUntied,         // the output matrix
  kIfAttentionBias,  // config.json: attention_bias; GGUF: when present
  kIfMlpBias,        // config.json: mlp_bias; GGUF: when present
  kIfConvBias,       // config.json: mamba_conv_bias; GGUF: when present
  kIfMambaBias,      // config.json: mamba_proj_bias; GGUF: when present
  kIfNoExperts,
  kIfExperts,
  kIfSharedExpert,  // a dense part beside experts
};

// Whether the model has the part of the FFN that a tensor belongs to.
bool has_ffn_part(Need need, const Hyperparameters& hyper);

// Which layers have the tensor.
enum class LayerSet : uint8_t { kAll, kAttention, kMamba };
bool has_tensor(LayerSet layers, LayerKind kind);

// A tensor that holds several of the list's one after the other, as rows: used in place, each of
// them as a view of its rows.
struct FusedTensor {
  std::string_view gguf, hf;
  std::span<const Dim> parts;  // rows of each
};

// One row of an architecture's tensor list. "{}" is the layer's number; "" means that the format
// has no such tensor. Vectors have one dimension: `rows`.
struct TensorRow {
  std::string_view gguf, hf;
  Slot slot;
  Dim rows;
  Dim cols = Dim::kHidden;
  Need need = Need::kAlways;
  bool norm = false;                   // stored as w - 1 in safetensors of Gemma models
  const FusedTensor* fused = nullptr;  // where else it may be, as part number `part`
  size_t part = 0;
  LayerSet layers = LayerSet::kAll;
  bool per_expert = false;  // [experts, rows, cols]
  bool exact = false;       // f32 activations with any precision
  // A vector stored as [rows, cols], where dimensions of 1 may be left out, or as one dimension.
  bool matrix_shape = false;
};

// What names in safetensors used to end with, and what they end with now.
struct OldEnding {
  std::string_view then, now;
};

struct ArchSpec {
  std::string_view name;
  std::span<const std::string_view> gguf_names;    // general.architecture
  std::span<const std::string_view> config_names;  // model_type
  std::span<const TensorRow> tensors;
  Activation activation = Activation::kSilu;
  bool norm_minus_one = false;         // safetensors hold norm weights as w - 1
  bool gguf_interleaved_rope = false;  // the GGUF converter permutes q and k rows
  bool tied_default = false;           // when config.json does not say
  double default_eps = 1e-6;           // when config.json does not say
  double default_rope_base = 10000.0;  // likewise
  Key eps_key = {"attention.layer_norm_rms_epsilon", "rms_norm_eps"};
  std::string_view optional_prefix = "";  // that safetensors may put before every name
  std::span<const OldEnding> old_endings = {};
  bool encoder = false;       // of another graph: encoder.h
  bool mamba_layers = false;  // some layers are not attention: see `kinds`
  // What only this architecture has, after the common part was read. Null: nothing.
  Status (*read)(const Metadata& metadata, Hyperparameters& hyper) = nullptr;
  // Brings private vectors that the formats store differently into one form. Null: nothing.
  void (*adapt)(const Hyperparameters& hyper, bool gguf, Weights& weights) = nullptr;
};

// Sizes, scales, RoPE and head layout, checked. Errors: kCorrupt, kUnsupported, naming the key.
Result<Hyperparameters> read_hyperparameters(const ArchSpec& spec, const Metadata& metadata);

// Which layers use sliding attention: config.json's "layer_types" alone decides when present, else
// `sliding(layer)`.
Status read_layer_kinds(const Metadata& metadata, bool (*sliding)(uint32_t layer, uint64_t pattern),
                        uint64_t pattern, Hyperparameters& hyper);

// GGUF may state the same as an array of booleans, true for sliding.
Status use_layer_flags(const Metadata& metadata, const std::vector<bool>& flags,
                       Hyperparameters& hyper);

std::span<const ArchSpec* const> architectures();
// By general.architecture or model_type; null when unknown.
const ArchSpec* find_architecture(std::string_view name, bool gguf);
// The architecture that a checkpoint says it has. Errors: kUnsupported, naming the known ones.
Result<const ArchSpec*> architecture_of(const formats::Checkpoint& checkpoint);

}  // namespace localai::models
