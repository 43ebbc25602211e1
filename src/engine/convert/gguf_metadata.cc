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

// What GGUF calls an architecture, and transformers its class. An architecture that is not here
// cannot be converted: its tensors or hyperparameters need more than this code does.
struct Convertible {
  std::string_view name, gguf, hf_class;
  bool fused = false;
};
constexpr Convertible kConvertible[] = {
    {"llama", "llama", "LlamaForCausalLM"},           {"mistral", "llama", "MistralForCausalLM"},
    {"qwen2", "qwen2", "Qwen2ForCausalLM"},           {"qwen3", "qwen3", "Qwen3ForCausalLM"},
    {"granite", "granite", "GraniteForCausalLM"},     {"gemma", "gemma", "GemmaForCausalLM"},
    {"gemma2", "gemma2", "Gemma2ForCausalLM"},        {"gemma3", "gemma3", "Gemma3ForCausalLM"},
    {"vaultgemma", "gemma", "VaultGemmaForCausalLM"}, {"phi3", "phi3", "Phi3ForCausalLM", true},
};

const Convertible* find_convertible(const models::ArchSpec& spec) {
  const auto* const found =
      std::find_if(std::begin(kConvertible), std::end(kConvertible),
                   [&](const Convertible& entry) { return entry.name == spec.name; });
  return found == std::end(kConvertible) ? nullptr : found;
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
  keys.add("feed_forward_length", hyper.ffn);
  keys.add("vocab_size", hyper.vocab);
  keys.add("attention.head_count", hyper.heads);
  keys.add("attention.head_count_kv", hyper.kv_heads);
  keys.add("attention.key_length", hyper.head_dim);
  keys.add("attention.value_length", hyper.head_dim);
  keys.add("attention.layer_norm_rms_epsilon", hyper.norm_eps);
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

void add_granite(const Hyperparameters& hyper, Keys& keys) {
  keys.add("attention.scale", hyper.attention_scale);
  keys.add("embedding_scale", hyper.embedding_scale);
  keys.add("residual_scale", hyper.residual_scale);
  keys.add("logit_scale", hyper.logit_divisor);
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

}  // namespace

std::string_view gguf_architecture(const models::ArchSpec& spec) {
  const Convertible* entry = find_convertible(spec);
  return entry == nullptr ? "" : entry->gguf;
}

bool holds_fused(const models::ArchSpec& spec) {
  const Convertible* entry = find_convertible(spec);
  return entry != nullptr && entry->fused;
}

std::string_view hf_class(const models::ArchSpec& spec) {
  const Convertible* entry = find_convertible(spec);
  return entry == nullptr ? "" : entry->hf_class;
}

void add_hyperparameters(const models::ArchSpec& spec, const Hyperparameters& hyper,
                         formats::GgufHeader& header) {
  const std::string_view architecture = gguf_architecture(spec);
  if (spec.config_names.front() != architecture) header.add(kKeyModelType, spec.config_names[0]);
  Keys keys(architecture, header);
  add_sizes(hyper, keys);
  add_rope(hyper.rope, keys, header);
  if (architecture == "gemma2") {
    add_softcaps(hyper, keys);
    keys.add("attention.sliding_window", hyper.sliding_window);
  }
  if (architecture == "gemma3") add_gemma3(hyper, keys);
  if (architecture == "phi3") add_phi3(hyper, keys);
  if (architecture == "granite") add_granite(hyper, keys);
}

std::string difference(const Hyperparameters& a, const Hyperparameters& b) {
  Comparison compare;
  compare.exact("layers", a.layers, b.layers);
  compare.exact("hidden size", a.hidden, b.hidden);
  compare.exact("feed-forward size", a.ffn, b.ffn);
  compare.exact("vocabulary", a.vocab, b.vocab);
  compare.exact("context length", a.context, b.context);
  compare.exact("heads", a.heads, b.heads);
  compare.exact("KV heads", a.kv_heads, b.kv_heads);
  compare.exact("head size", a.head_dim, b.head_dim);
  compare.near("norm epsilon", a.norm_eps, b.norm_eps);
  compare.near("embedding scale", a.embedding_scale, b.embedding_scale);
  compare.near("residual scale", a.residual_scale, b.residual_scale);
  compare.near("logit divisor", a.logit_divisor, b.logit_divisor);
  compare.near("attention scale", a.attention_scale, b.attention_scale);
  compare.near("attention soft cap", a.attention_softcap, b.attention_softcap);
  compare.near("final soft cap", a.final_softcap, b.final_softcap);
  compare.rope("RoPE", a.rope, b.rope);
  const std::vector<bool> ours = windows(a), theirs = windows(b);
  for (size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i)
    compare.exact("sliding window of layer " + std::to_string(i), ours[i] ? a.sliding_window : 0,
                  theirs[i] ? b.sliding_window : 0);
  if (any(ours)) compare.rope("RoPE of sliding layers", a.sliding_rope, b.sliding_rope);
  return compare.text();
}

}  // namespace localai::engine
