#include "engine/convert/hf_config.h"

#include <array>
#include <charconv>
#include <cmath>

#include "engine/convert/gguf_metadata.h"

namespace localai::engine {
namespace {

using models::Hyperparameters;
using models::LayerKind;
using models::RopeParameters;
using models::RopeScaling;

// The shortest decimal that is this float: 1e-05, not 9.999999747378752e-06.
double plain(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), static_cast<float>(value));
  double out = value;
  std::from_chars(text.data(), end.ptr, out);
  return out;
}

bool near(double a, double b) { return std::abs(a - b) <= 1e-5 * std::abs(b); }

std::string_view dtype_word(DType dtype) {
  if (dtype == DType::kF16) return "float16";
  return dtype == DType::kBF16 ? "bfloat16" : "float32";
}

void add_sizes(const Hyperparameters& hyper, Json& out) {
  out["vocab_size"] = hyper.vocab;
  out["hidden_size"] = hyper.hidden;
  out["intermediate_size"] = hyper.ffn;
  out["num_hidden_layers"] = hyper.layers;
  out["num_attention_heads"] = hyper.heads;
  out["num_key_value_heads"] = hyper.kv_heads;
  out["head_dim"] = hyper.head_dim;
  out["max_position_embeddings"] = hyper.context;
  out["rms_norm_eps"] = plain(hyper.norm_eps);
}

Json encoder_config(const models::ArchSpec& spec, const Hyperparameters& hyper) {
  return {{"vocab_size", hyper.vocab},
          {"hidden_size", hyper.hidden},
          {"intermediate_size", hyper.ffn},
          {"num_hidden_layers", hyper.layers},
          {"num_attention_heads", hyper.heads},
          {"max_position_embeddings", hyper.context},
          {"type_vocab_size", hyper.token_types},
          {std::string(spec.eps_key.config), plain(hyper.norm_eps)},
          {"hidden_act", "gelu"},
          {"position_embedding_type", "absolute"}};
}

void add_rope(const RopeParameters& rope, Json& out) {
  out["rope_theta"] = plain(rope.base);
  if (rope.scaling == RopeScaling::kLinear)
    out["rope_scaling"] = {{"rope_type", "linear"}, {"factor", plain(rope.factor)}};
  if (rope.scaling == RopeScaling::kLlama3)
    out["rope_scaling"] = {
        {"rope_type", "llama3"},
        {"factor", plain(rope.factor)},
        {"low_freq_factor", plain(rope.low_freq_factor)},
        {"high_freq_factor", plain(rope.high_freq_factor)},
        {"original_max_position_embeddings", static_cast<uint64_t>(rope.original_context)}};
}

Json plain_numbers(const std::vector<float>& values) {
  Json out = Json::array();
  for (const float value : values) out.push_back(plain(static_cast<double>(value)));
  return out;
}

void add_phi3(const Hyperparameters& hyper, Json& out) {
  const RopeParameters& rope = hyper.rope;
  out["pad_token_id"] = nullptr;  // the class's default is beyond small vocabularies
  out["sliding_window"] = hyper.sliding_window == 0 ? Json(nullptr) : Json(hyper.sliding_window);
  if (rope.rotary != hyper.head_dim)
    out["partial_rotary_factor"] = static_cast<double>(rope.rotary) / hyper.head_dim;
  if (rope.scaling != RopeScaling::kLongRope) return;
  out["original_max_position_embeddings"] = static_cast<uint64_t>(rope.original_context);
  Json scaling = {{"rope_type", "longrope"},
                  {"short_factor", plain_numbers(rope.short_factors)},
                  {"long_factor", plain_numbers(rope.long_factors)}};
  const double factor = hyper.context / rope.original_context;
  const double usual =
      factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(rope.original_context));
  if (!near(rope.attention_factor, usual))
    scaling["attention_factor"] = plain(rope.attention_factor);
  out["rope_scaling"] = std::move(scaling);
}

Json cap(float value) { return value > 0.f ? Json(plain(value)) : Json(nullptr); }

void add_windows(const Hyperparameters& hyper, Json& out) {
  if (hyper.sliding_window > 0) out["sliding_window"] = hyper.sliding_window;
  Json types = Json::array();
  for (const LayerKind kind : hyper.kinds)
    types.push_back(kind == LayerKind::kSlidingAttention ? "sliding_attention" : "full_attention");
  out["layer_types"] = std::move(types);
}

void add_gemma(std::string_view type, const Hyperparameters& hyper, Json& out) {
  out["hidden_activation"] = "gelu_pytorch_tanh";
  if (type == "gemma") return;
  const auto scale = static_cast<double>(hyper.attention_scale);
  const double scalar = 1.0 / (scale * scale);
  const double whole = std::round(scalar);  // transformers takes integers only
  out["query_pre_attn_scalar"] =
      near(scalar, whole) ? Json(static_cast<int64_t>(whole)) : Json(plain(scalar));
  out["attn_logit_softcapping"] = cap(hyper.attention_softcap);
  out["final_logit_softcapping"] = cap(hyper.final_softcap);
  add_windows(hyper, out);
  if (type == "gemma3_text") out["rope_local_base_freq"] = plain(hyper.sliding_rope.base);
}

void add_experts(const Hyperparameters& hyper, Json& out) {
  out["num_local_experts"] = hyper.experts;
  if (hyper.experts == 0) return;
  out["num_experts_per_tok"] = hyper.experts_used;
  out["intermediate_size"] = hyper.expert_ffn;
}

// The kinds of layers as published models spell them.
void add_hybrid(const Hyperparameters& hyper, const WeightFacts& facts, Json& out) {
  Json types = Json::array();
  for (const LayerKind kind : hyper.kinds)
    types.push_back(kind == LayerKind::kMamba ? "mamba" : "attention");
  out["layer_types"] = std::move(types);
  out["position_embedding_type"] = hyper.use_rope ? "rope" : "nope";
  const models::MambaParameters& mamba = hyper.mamba;
  if (mamba.heads == 0) return;
  out["mamba_n_heads"] = mamba.heads;
  out["mamba_d_head"] = mamba.head_dim;
  out["mamba_n_groups"] = mamba.groups;
  out["mamba_d_state"] = mamba.state_size;
  out["mamba_d_conv"] = mamba.taps + 1;
  out["mamba_expand"] = mamba.inner() / hyper.hidden;
  out["mamba_conv_bias"] = facts.conv_bias;
  out["mamba_proj_bias"] = facts.mamba_bias;
}

void add_granite(const Hyperparameters& hyper, Json& out) {
  out["embedding_multiplier"] = plain(hyper.embedding_scale);
  out["residual_multiplier"] = plain(hyper.residual_scale);
  out["attention_multiplier"] = plain(hyper.attention_scale);
  out["logits_scaling"] = plain(hyper.logit_divisor);
}

void add_token_ids(const text::VocabularySpec& vocabulary, Json& out) {
  if (vocabulary.bos) out["bos_token_id"] = *vocabulary.bos;
  if (vocabulary.eos) out["eos_token_id"] = *vocabulary.eos;
  if (vocabulary.pad) out["pad_token_id"] = *vocabulary.pad;
}

// Are these the divisors of that scaling?
bool gives(RopeParameters rope, const std::vector<float>& divisors) {
  const std::vector<double> scaled = models::rope_frequencies(rope, {});
  rope.scaling = RopeScaling::kNone;
  const std::vector<double> unscaled = models::rope_frequencies(rope, {});
  if (scaled.size() != divisors.size()) return false;
  for (size_t i = 0; i < scaled.size(); ++i)
    if (!near(unscaled[i] / scaled[i], static_cast<double>(divisors[i]))) return false;
  return true;
}

}  // namespace

Json make_config(const models::ArchSpec& spec, const Hyperparameters& hyper,
                 const WeightFacts& facts, const text::VocabularySpec* vocabulary) {
  const std::string_view type = model_type(spec, hyper);
  Json out = {{"architectures", Json::array({hf_class(type)})}, {"model_type", type}};
  if (spec.encoder) {
    out.update(encoder_config(spec, hyper));
    if (vocabulary != nullptr && vocabulary->pad) out["pad_token_id"] = *vocabulary->pad;
    out["torch_dtype"] = dtype_word(facts.dtype);
    return out;
  }
  add_sizes(hyper, out);
  add_rope(hyper.rope, out);
  out["hidden_act"] = spec.activation == models::Activation::kSilu ? "silu" : "gelu_pytorch_tanh";
  out["tie_word_embeddings"] = facts.tied;
  out["attention_bias"] = facts.attention_bias;
  if (facts.mlp_bias) out["mlp_bias"] = true;
  if (type == "mistral") out["sliding_window"] = nullptr;
  if (type == "phi3") add_phi3(hyper, out);
  if (type.starts_with("granite")) add_granite(hyper, out);
  if (type.starts_with("granitemoe")) add_experts(hyper, out);
  if (type == "granitemoeshared" || type == "granitemoehybrid")
    out["shared_intermediate_size"] =
        hyper.shared_expert || hyper.experts == 0 ? Json(hyper.ffn) : Json(0);
  if (type == "granitemoehybrid") add_hybrid(hyper, facts, out);
  if (type.find("gemma") != std::string_view::npos) add_gemma(type, hyper, out);
  if (vocabulary != nullptr) add_token_ids(*vocabulary, out);
  out["torch_dtype"] = dtype_word(facts.dtype);
  return out;
}

Result<RopeParameters> scaling_of_divisors(const formats::GgufFile& file, RopeParameters rope,
                                           const models::Weights& weights) {
  const std::vector<float>& divisors = weights.rope_divisors;
  if (divisors.empty()) return rope;
  if (!weights.long_rope_divisors.empty()) {
    rope.scaling = RopeScaling::kLongRope;
    rope.short_factors = divisors;
    rope.long_factors = weights.long_rope_divisors;
    return rope;
  }
  rope.scaling = RopeScaling::kLlama3;
  LAI_TRY(const auto factor, file.number(kKeyRopeFactor));
  LAI_TRY(const auto low, file.number(kKeyRopeLow));
  LAI_TRY(const auto high, file.number(kKeyRopeHigh));
  LAI_TRY(const auto context, file.number(kKeyRopeContext));
  rope.factor = factor.value_or(static_cast<double>(divisors.back()));
  rope.low_freq_factor = low.value_or(1.0);
  rope.high_freq_factor = high.value_or(4.0);
  rope.original_context = context.value_or(8192.0);
  if (gives(rope, divisors)) return rope;
  return unsupported(file.name() +
                     ": rope_freqs.weight: no known RoPE scaling gives these divisors");
}

}  // namespace localai::engine
