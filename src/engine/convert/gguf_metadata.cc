#include "engine/convert/gguf_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace localai::engine {
namespace {

using models::Hyperparameters;
using models::LayerKind;
using models::RopeParameters;
using models::RopeScaling;

// The class of transformers that a model_type means.
struct HfClass {
  std::string_view model_type, name;
};
constexpr HfClass kClasses[] = {
    {"llama", "LlamaForCausalLM"},
    {"mistral", "MistralForCausalLM"},
    {"qwen2", "Qwen2ForCausalLM"},
    {"qwen3", "Qwen3ForCausalLM"},
    {"granite", "GraniteForCausalLM"},
    {"granitemoe", "GraniteMoeForCausalLM"},
    {"granitemoeshared", "GraniteMoeSharedForCausalLM"},
    {"granitemoehybrid", "GraniteMoeHybridForCausalLM"},
    {"gemma", "GemmaForCausalLM"},
    {"gemma2", "Gemma2ForCausalLM"},
    {"gemma3_text", "Gemma3ForCausalLM"},
    {"vaultgemma", "VaultGemmaForCausalLM"},
    {"phi3", "Phi3ForCausalLM"},
    {"bert", "BertModel"},
};

bool has_mamba(const Hyperparameters& hyper) {
  return std::find(hyper.kinds.begin(), hyper.kinds.end(), LayerKind::kMamba) != hyper.kinds.end();
}

// Which layers differ from global ones: by a window that can hide a key, or by their RoPE.
std::vector<bool> windows(const Hyperparameters& hyper) {
  const bool differ = hyper.sliding_window < hyper.context || hyper.sliding_rope != hyper.rope;
  std::vector<bool> out;
  for (const LayerKind kind : hyper.kinds)
    out.push_back(differ && kind == LayerKind::kSlidingAttention);
  return out;
}

bool any(const std::vector<bool>& flags) {
  return std::find(flags.begin(), flags.end(), true) != flags.end();
}

// n when exactly every n-th layer is global, else 0.
uint32_t period(const std::vector<bool>& sliding) {
  const auto global = std::find(sliding.begin(), sliding.end(), false);
  const auto n = static_cast<size_t>(global - sliding.begin()) + 1;
  for (size_t i = 0; i < sliding.size(); ++i)
    if (sliding[i] != ((i + 1) % n != 0)) return 0;
  return global == sliding.end() ? 0 : static_cast<uint32_t>(n);
}

// Adds keys under the architecture's prefix.
class Keys {
 public:
  Keys(std::string_view architecture, formats::GgufHeader& header)
      : prefix_(std::string(architecture) + "."), header_(header) {}
  template <class T>
  void add(std::string_view key, const T& value) {
    header_.add(prefix_ + std::string(key), value);
  }

 private:
  std::string prefix_;
  formats::GgufHeader& header_;
};

void add_sizes(const Hyperparameters& hyper, Keys& keys) {
  keys.add("context_length", hyper.context);
  keys.add("embedding_length", hyper.hidden);
  keys.add("block_count", hyper.layers);
  keys.add("feed_forward_length", hyper.experts == 0 ? hyper.ffn : hyper.expert_ffn);
  keys.add("vocab_size", hyper.vocab);
  keys.add("attention.head_count", hyper.heads);
  keys.add("attention.key_length", hyper.head_dim);
  keys.add("attention.value_length", hyper.head_dim);
}

void add_rope(const RopeParameters& rope, Keys& keys, formats::GgufHeader& header) {
  keys.add("rope.dimension_count", rope.rotary);
  keys.add("rope.freq_base", static_cast<float>(rope.base));
  if (rope.scaling == RopeScaling::kLinear) {
    keys.add("rope.scaling.type", std::string_view("linear"));
    keys.add("rope.scaling.factor", static_cast<float>(rope.factor));
  }
  if (rope.scaling != RopeScaling::kLlama3) return;
  header.add(kKeyRopeFactor, rope.factor);
  header.add(kKeyRopeLow, rope.low_freq_factor);
  header.add(kKeyRopeHigh, rope.high_freq_factor);
  header.add(kKeyRopeContext, rope.original_context);
}

void add_softcaps(const Hyperparameters& hyper, Keys& keys) {
  keys.add("attn_logit_softcapping", hyper.attention_softcap);
  keys.add("final_logit_softcapping", hyper.final_softcap);
}

void add_gemma3(const Hyperparameters& hyper, Keys& keys) {
  if (hyper.final_softcap > 0.f) keys.add("final_logit_softcapping", hyper.final_softcap);
  const std::vector<bool> sliding = windows(hyper);
  keys.add("attention.sliding_window", hyper.sliding_window);
  keys.add("rope.freq_base_swa", static_cast<float>(hyper.sliding_rope.base));
  if (const uint32_t n = period(sliding); n != 0) {
    keys.add("attention.sliding_window_pattern", n);
  } else {
    keys.add("attention.sliding_window_pattern", sliding);
  }
}

void add_phi3(const Hyperparameters& hyper, Keys& keys) {
  keys.add("attention.sliding_window", hyper.sliding_window);  // 0: none
  const bool longrope = hyper.rope.scaling == RopeScaling::kLongRope;
  keys.add("rope.scaling.original_context_length",
           longrope ? static_cast<uint32_t>(hyper.rope.original_context) : hyper.context);
  if (longrope)
    keys.add("rope.scaling.attn_factor", static_cast<float>(hyper.rope.attention_factor));
}

// A layer without attention has no KV heads.
void add_kv_heads(const Hyperparameters& hyper, Keys& keys) {
  if (!has_mamba(hyper)) return keys.add("attention.head_count_kv", hyper.kv_heads);
  std::vector<int32_t> counts;
  for (const LayerKind kind : hyper.kinds)
    counts.push_back(kind == LayerKind::kMamba ? 0 : static_cast<int32_t>(hyper.kv_heads));
  keys.add("attention.head_count_kv", counts);
}

void add_experts(const Hyperparameters& hyper, Keys& keys) {
  if (hyper.experts == 0) return;
  keys.add("expert_count", hyper.experts);
  keys.add("expert_used_count", hyper.experts_used);
  if (hyper.shared_expert) keys.add("expert_shared_feed_forward_length", hyper.ffn);
}

void add_mamba(const models::MambaParameters& mamba, Keys& keys) {
  keys.add("ssm.conv_kernel", mamba.taps + 1);
  keys.add("ssm.state_size", mamba.state_size);
  keys.add("ssm.group_count", mamba.groups);
  keys.add("ssm.inner_size", static_cast<uint32_t>(mamba.inner()));
  keys.add("ssm.time_step_rank", mamba.heads);
}

void add_granite(const Hyperparameters& hyper, Keys& keys) {
  keys.add("attention.scale", hyper.attention_scale);
  keys.add("embedding_scale", hyper.embedding_scale);
  keys.add("residual_scale", hyper.residual_scale);
  keys.add("logit_scale", hyper.logit_divisor);
  if (!hyper.use_rope || has_mamba(hyper)) keys.add("rope.scaling.finetuned", hyper.use_rope);
  add_experts(hyper, keys);
  if (has_mamba(hyper)) add_mamba(hyper.mamba, keys);
}

// Collects the first thing that two models do not have in common.
class Comparison {
 public:
  void exact(std::string_view name, double a, double b) {
    if (a != b) found(name, a, b);
  }
  // Values that went through a float or a decimal.
  void near(std::string_view name, double a, double b) {
    if (std::abs(a - b) > 1e-6 * std::max(std::abs(a), std::abs(b))) found(name, a, b);
  }
  void rope(std::string_view name, const RopeParameters& a, const RopeParameters& b) {
    near(name, a.base, b.base);
    exact(name, a.rotary, b.rotary);
    const auto factor = [](const RopeParameters& rope) {
      return rope.scaling == RopeScaling::kLinear ? rope.factor : 1.0;
    };
    near(name, factor(a), factor(b));
    near(name, a.attention_factor, b.attention_factor);
    if (a.scaling == RopeScaling::kLongRope) near(name, a.original_context, b.original_context);
  }
  void found(std::string_view name, double a, double b) {
    if (text_.empty()) text_ = fmt::format("{}: {} and {}", name, a, b);
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Which layers are Mamba2's, and what they and the others are.
void compare_layers(const Hyperparameters& a, const Hyperparameters& b, Comparison& compare) {
  for (size_t i = 0; i < std::min(a.kinds.size(), b.kinds.size()); ++i)
    compare.exact("Mamba2 in layer " + std::to_string(i), a.kinds[i] == LayerKind::kMamba,
                  b.kinds[i] == LayerKind::kMamba);
  compare.exact("RoPE at all", a.use_rope, b.use_rope);
  const auto is_mamba = [](LayerKind kind) { return kind == LayerKind::kMamba; };
  if (!std::all_of(a.kinds.begin(), a.kinds.end(), is_mamba))
    compare.exact("KV heads", a.kv_heads, b.kv_heads);
  if (!has_mamba(a)) return;
  compare.exact("Mamba2 heads", a.mamba.heads, b.mamba.heads);
  compare.exact("Mamba2 head size", a.mamba.head_dim, b.mamba.head_dim);
  compare.exact("Mamba2 groups", a.mamba.groups, b.mamba.groups);
  compare.exact("Mamba2 state size", a.mamba.state_size, b.mamba.state_size);
  compare.exact("Mamba2 convolution", a.mamba.taps, b.mamba.taps);
  compare.exact("least Mamba2 time step", a.mamba.dt_min, b.mamba.dt_min);
  compare.exact("greatest Mamba2 time step", a.mamba.dt_max, b.mamba.dt_max);
}

void compare_experts(const Hyperparameters& a, const Hyperparameters& b, Comparison& compare) {
  compare.exact("experts", a.experts, b.experts);
  if (a.experts == 0) return;
  compare.exact("experts per token", a.experts_used, b.experts_used);
  compare.exact("feed-forward size of an expert", a.expert_ffn, b.expert_ffn);
  compare.exact("shared expert", a.shared_expert, b.shared_expert);
}

}  // namespace

std::string_view gguf_architecture(const models::ArchSpec& spec, const Hyperparameters& hyper) {
  if (spec.name == "mistral") return "llama";
  if (spec.name == "vaultgemma") return "gemma";
  if (!spec.mamba_layers || has_mamba(hyper)) return spec.gguf_names.front();
  return hyper.experts == 0 ? "granite" : "granitemoe";
}

bool holds_fused(const models::ArchSpec& spec) { return spec.name == "phi3"; }

std::string_view model_type(const models::ArchSpec& spec, const Hyperparameters& hyper) {
  if (spec.name == "granitemoe" && hyper.shared_expert) return "granitemoeshared";
  return spec.config_names.front();
}

std::string_view hf_class(std::string_view model_type) {
  for (const HfClass& entry : kClasses)
    if (entry.model_type == model_type) return entry.name;
  return "";
}

void add_hyperparameters(const models::ArchSpec& spec, const Hyperparameters& hyper,
                         formats::GgufHeader& header) {
  const std::string_view architecture = gguf_architecture(spec, hyper);
  const std::string_view type = model_type(spec, hyper);
  if (type != architecture) header.add(kKeyModelType, type);
  Keys keys(architecture, header);
  add_sizes(hyper, keys);
  keys.add(spec.eps_key.gguf, hyper.norm_eps);
  add_kv_heads(hyper, keys);
  if (spec.encoder) {
    keys.add("attention.causal", false);
    header.add("tokenizer.ggml.token_type_count", hyper.token_types);
    return;
  }
  add_rope(hyper.rope, keys, header);
  if (architecture == "gemma2") {
    add_softcaps(hyper, keys);
    keys.add("attention.sliding_window", hyper.sliding_window);
  }
  if (architecture == "gemma3") add_gemma3(hyper, keys);
  if (architecture == "phi3") add_phi3(hyper, keys);
  if (architecture.starts_with("granite")) add_granite(hyper, keys);
}

std::string difference(const Hyperparameters& a, const Hyperparameters& b) {
  Comparison compare;
  compare.exact("layers", a.layers, b.layers);
  compare.exact("hidden size", a.hidden, b.hidden);
  compare.exact("feed-forward size", a.ffn, b.ffn);
  compare.exact("vocabulary", a.vocab, b.vocab);
  compare.exact("context length", a.context, b.context);
  compare.exact("heads", a.heads, b.heads);
  compare.exact("head size", a.head_dim, b.head_dim);
  compare.near("norm epsilon", a.norm_eps, b.norm_eps);
  compare.near("embedding scale", a.embedding_scale, b.embedding_scale);
  compare.near("residual scale", a.residual_scale, b.residual_scale);
  compare.near("logit divisor", a.logit_divisor, b.logit_divisor);
  compare.near("attention scale", a.attention_scale, b.attention_scale);
  compare.near("attention soft cap", a.attention_softcap, b.attention_softcap);
  compare.near("final soft cap", a.final_softcap, b.final_softcap);
  compare.rope("RoPE", a.rope, b.rope);
  compare_layers(a, b, compare);
  compare_experts(a, b, compare);
  const std::vector<bool> ours = windows(a), theirs = windows(b);
  for (size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i)
    compare.exact("sliding window of layer " + std::to_string(i), ours[i] ? a.sliding_window : 0,
                  theirs[i] ? b.sliding_window : 0);
  if (any(ours)) compare.rope("RoPE of sliding layers", a.sliding_rope, b.sliding_rope);
  return compare.text();
}

}  // namespace localai::engine
