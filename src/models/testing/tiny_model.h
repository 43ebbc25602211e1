#pragma once
// For tests: tiny models with weights from a fixed generator, written as a safetensors directory
// (Hugging Face names) or as a GGUF file (with what llama.cpp's converter changes: names, q/k row
// order, Gemma's norm + 1).
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "formats/testing/gguf_builder.h"
#include "tensor/blocks.h"

namespace localai::models::testing {

// A number in [-1, 1) with 24 bits for element i of a named tensor: FNV-1a of the name, then
// splitmix64.
inline double generated(std::string_view name, uint64_t i) {
  uint64_t h = 0xcbf29ce484222325u;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  uint64_t z = h + i + 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return static_cast<double>(z >> 40) / 8388608.0 - 1.0;
}

struct TinyTensor {
  std::string name;  // Hugging Face's
  std::vector<uint64_t> shape;
  std::vector<float> values;
};

// What differs between tiny models. `architecture` is GGUF's name.
struct TinyConfig {
  std::string prefix, architecture;
  uint32_t hidden = 32, heads = 4, kv_heads = 2, head_dim = 8, ffn = 48, vocab = 40, layers = 3,
           context = 4096;
  double eps = 1e-5, theta = 10000.0;
  bool gemma = false;  // norm weights centred on 0
  bool tied = true;
  bool qkv_bias = false, qk_norm = false;
  bool fused = false;  // qkv_proj and gate_up_proj
  std::vector<std::string> norms = {"input_layernorm", "post_attention_layernorm"};
  std::vector<uint32_t> mamba_layers = {};  // Mamba2 in place of attention
  uint32_t mamba_heads = 4, mamba_head_dim = 16, mamba_groups = 1, mamba_state = 8, mamba_conv = 4;
  bool shared_mlp = false;  // the FFN's gate and up in one tensor
  uint32_t experts = 0, experts_used = 2, expert_ffn = 24;
  Json config = Json::object();                                       // further keys of config.json
  std::function<void(formats::testing::GgufBuilder&)> metadata = {};  // further GGUF keys
};

class TinyModel {
 public:
  explicit TinyModel(TinyConfig config) : config_(std::move(config)) {
    const TinyConfig& c = config_;
    const uint64_t q = uint64_t{c.heads} * c.head_dim, kv = uint64_t{c.kv_heads} * c.head_dim;
    add("model.embed_tokens.weight", {c.vocab, c.hidden});
    add("model.norm.weight", {c.hidden});
    if (!c.tied) add("lm_head.weight", {c.vocab, c.hidden});
    for (uint32_t i = 0; i < c.layers; ++i) {
      const std::string layer = "model.layers." + std::to_string(i) + ".";
      for (const std::string& norm : c.norms) add(layer + norm + ".weight", {c.hidden});
      add_ffn(layer);
      if (is_mamba(i)) {
        add_mamba(layer + "mamba.");
        continue;
      }
      const std::string attention = layer + "self_attn.";
      if (c.fused) {
        add(attention + "qkv_proj.weight", {q + 2 * kv, c.hidden});
      } else {
        add(attention + "q_proj.weight", {q, c.hidden});
        add(attention + "k_proj.weight", {kv, c.hidden});
        add(attention + "v_proj.weight", {kv, c.hidden});
      }
      add(attention + "o_proj.weight", {c.hidden, q});
      if (c.qkv_bias) {
        add(attention + "q_proj.bias", {q});
        add(attention + "k_proj.bias", {kv});
        add(attention + "v_proj.bias", {kv});
      }
      if (c.qk_norm) {
        add(attention + "q_norm.weight", {c.head_dim});
        add(attention + "k_norm.weight", {c.head_dim});
      }
    }
  }

  [[nodiscard]] const TinyConfig& config() const { return config_; }
  std::vector<TinyTensor>& tensors() { return tensors_; }
  TinyTensor& tensor(std::string_view name) {
    for (TinyTensor& t : tensors_)
      if (t.name == name) return t;
    LAI_CHECK(false && "no such tensor");
    std::abort();
  }
  void remove(std::string_view name) {
    std::erase_if(tensors_, [&](const TinyTensor& t) { return t.name == name; });
  }

  // config.json with the keys every architecture has, then the model's own.
  [[nodiscard]] Json config_json() const {
    const TinyConfig& c = config_;
    Json out = {{"model_type", config_name(c.architecture)},
                {"hidden_size", c.hidden},
                {"num_hidden_layers", c.layers},
                {"num_attention_heads", c.heads},
                {"num_key_value_heads", c.kv_heads},
                {"head_dim", c.head_dim},
                {"intermediate_size", c.experts > 0 ? c.expert_ffn : c.ffn},
                {"vocab_size", c.vocab},
                {"max_position_embeddings", c.context},
                {"rms_norm_eps", c.eps},
                {"rope_theta", c.theta},
                {"tie_word_embeddings", c.tied}};
    if (c.shared_mlp) out["shared_intermediate_size"] = c.ffn;
    if (c.shared_mlp || c.experts > 0) {
      out["num_local_experts"] = c.experts;
      out["num_experts_per_tok"] = c.experts_used;
    }
    if (!c.mamba_layers.empty()) {
      for (uint32_t i = 0; i < c.layers; ++i)
        out["layer_types"].push_back(is_mamba(i) ? "mamba" : "attention");
      out["mamba_n_heads"] = c.mamba_heads;
      out["mamba_n_groups"] = c.mamba_groups;
      out["mamba_d_state"] = c.mamba_state;
      out["mamba_d_conv"] = c.mamba_conv;
      out["mamba_expand"] = c.mamba_heads * c.mamba_head_dim / c.hidden;
    }
    out.update(c.config);
    return out;
  }

  // A model directory: config.json and model.safetensors, matrices as `dtype` (F32, F16 or BF16).
  [[nodiscard]] Status write_safetensors(const std::filesystem::path& directory,
                                         DType dtype = DType::kF32) const {
    Json header = Json::object();
    std::vector<std::byte> data;
    for (const TinyTensor& t : tensors_) {
      const size_t begin = data.size();
      data.resize(begin + dtype_bytes(dtype, t.values.size()).value());
      quantize(dtype, t.values.data(), data.data() + begin, t.values.size());
      header[t.name] = {
          {"dtype", dtype_name(dtype)}, {"shape", t.shape}, {"data_offsets", {begin, data.size()}}};
    }
    std::string text = dump_json(header);
    text.resize((text.size() + 7) / 8 * 8, ' ');
    formats::testing::ByteWriter file;
    file.put(uint64_t{text.size()}).raw(text).raw(data);
    const std::string config = dump_json(config_json(), 2);
    LAI_TRY_STATUS(
        write_file_atomically(directory / "config.json", std::as_bytes(std::span(config))));
    return write_file_atomically(directory / "model.safetensors", file.bytes());
  }

  // Matrices as `dtype` of their GGUF name (F32 when the name is not listed).
  [[nodiscard]] Status write_gguf(const std::filesystem::path& path,
                                  const std::map<std::string, DType>& dtypes = {}) const {
    formats::testing::GgufBuilder builder;
    add_gguf_metadata(builder);
    std::vector<TinyTensor> tensors;
    for (const TinyTensor& t : tensors_) split(t, tensors);
    for (TinyTensor& t : tensors) {
      if (config_.architecture == "llama" || config_.architecture.starts_with("granite"))
        permute(t);
      convert_mamba(t);
      if (config_.gemma && t.name.ends_with("norm.weight"))
        for (float& w : t.values) w += 1.f;
      const std::string name = gguf_name(t.name);
      const auto dtype = dtypes.find(name.substr(name.find('.', 4) + 1));
      const bool other = t.shape.size() >= 2 && dtype != dtypes.end();
      if (other && dtype->second == DType::kI32) {
        builder.tensor(name, DType::kI32, t.shape, std::as_bytes(std::span(t.values)));
      } else {
        builder.tensor(name, other ? dtype->second : DType::kF32, t.shape, t.values);
      }
    }
    return builder.write(path);
  }

 private:
  static std::string config_name(const std::string& architecture) {
    if (architecture == "gemma3") return "gemma3_text";
    return architecture == "granitehybrid" ? "granitemoehybrid" : architecture;
  }

  [[nodiscard]] bool is_mamba(uint32_t layer) const {
    const auto& layers = config_.mamba_layers;
    return std::find(layers.begin(), layers.end(), layer) != layers.end();
  }

  void add_ffn(const std::string& layer) {
    const TinyConfig& c = config_;
    if (c.experts > 0) {
      const std::string moe = layer + "block_sparse_moe.";
      add(moe + "router.layer.weight", {c.experts, c.hidden});
      add(moe + "input_linear.weight", {c.experts, uint64_t{2} * c.expert_ffn, c.hidden});
      add(moe + "output_linear.weight", {c.experts, c.hidden, c.expert_ffn});
    }
    if (c.shared_mlp) {
      add(layer + "shared_mlp.input_linear.weight", {uint64_t{2} * c.ffn, c.hidden});
      add(layer + "shared_mlp.output_linear.weight", {c.hidden, c.ffn});
    } else if (c.fused) {
      add(layer + "mlp.gate_up_proj.weight", {2 * uint64_t{c.ffn}, c.hidden});
      add(layer + "mlp.down_proj.weight", {c.hidden, c.ffn});
    } else if (c.experts == 0) {
      add(layer + "mlp.gate_proj.weight", {c.ffn, c.hidden});
      add(layer + "mlp.up_proj.weight", {c.ffn, c.hidden});
      add(layer + "mlp.down_proj.weight", {c.hidden, c.ffn});
    }
  }

  void add_mamba(const std::string& mamba) {
    const TinyConfig& c = config_;
    const uint64_t inner = uint64_t{c.mamba_heads} * c.mamba_head_dim;
    const uint64_t channels = inner + uint64_t{2} * c.mamba_groups * c.mamba_state;
    add(mamba + "in_proj.weight", {inner + channels + c.mamba_heads, c.hidden});
    add(mamba + "conv1d.weight", {channels, 1, c.mamba_conv});
    add(mamba + "conv1d.bias", {channels});
    add(mamba + "A_log", {c.mamba_heads});
    add(mamba + "D", {c.mamba_heads});
    add(mamba + "dt_bias", {c.mamba_heads});
    add(mamba + "norm.weight", {inner});
    add(mamba + "out_proj.weight", {c.hidden, inner});
  }

  // Fused tensors come out as the parts that GGUF names.
  void split(const TinyTensor& t, std::vector<TinyTensor>& out) const {
    const size_t at = t.name.find("input_linear");
    if (at == std::string::npos) {
      out.push_back(t);
      return;
    }
    const size_t outer = t.shape.size() == 3 ? t.shape[0] : 1;
    const size_t half = t.values.size() / outer / 2;
    for (size_t part = 0; part < 2; ++part) {
      TinyTensor& piece = out.emplace_back(t);
      piece.name.replace(at, 12, part == 0 ? "gate_linear" : "up_linear");
      piece.shape[piece.shape.size() - 2] /= 2;
      piece.values.clear();
      for (size_t o = 0; o < outer; ++o) {
        const auto from = t.values.begin() + static_cast<ptrdiff_t>((2 * o + part) * half);
        piece.values.insert(piece.values.end(), from, from + static_cast<ptrdiff_t>(half));
      }
    }
  }

  // Shapes as the converter writes them, and -exp(A_log).
  void convert_mamba(TinyTensor& t) const {
    if (t.name.find(".mamba.") == std::string::npos) return;
    if (t.name.ends_with("conv1d.weight")) t.shape = {t.shape[0], t.shape[2]};
    if (t.name.ends_with(".A_log"))
      for (float& a : t.values) a = static_cast<float>(-std::exp(static_cast<double>(a)));
    if (t.name.ends_with(".A_log") || t.name.ends_with(".D")) t.shape = {t.shape[0], 1};
    if (t.name.ends_with("mamba.norm.weight"))
      t.shape = {config_.mamba_groups, t.shape[0] / config_.mamba_groups};
  }

  void add(const std::string& name, std::vector<uint64_t> shape) {
    uint64_t count = 1;
    for (const uint64_t n : shape) count *= n;
    TinyTensor t{name, std::move(shape), std::vector<float>(count)};
    const std::string seed = config_.prefix + ":" + name;
    const double linear = std::sqrt(3.0 / static_cast<double>(t.shape.back()));
    const bool norm = name.ends_with("norm.weight"), bias = name.ends_with(".bias");
    for (uint64_t i = 0; i < count; ++i) {
      const double u = generated(seed, i);
      double value = u * linear;
      if (name == "model.embed_tokens.weight") value = u;
      if (bias) value = 0.25 * u;
      if (name.ends_with("conv1d.weight")) value = 0.5 * u;
      if (name.ends_with(".dt_bias")) value = u;
      if (name.ends_with(".A_log")) value = 0.5 + 0.5 * u;
      if (name.ends_with(".D")) value = 1.0 + 0.25 * u;
      if (norm) value = (config_.gemma ? 0.0 : 1.0) + 0.25 * u;
      t.values[i] = static_cast<float>(value);
    }
    tensors_.push_back(std::move(t));
  }

  // The converter's row order: within a head, row a * d/2 + b moves to 2b + a.
  void permute(TinyTensor& t) const {
    const bool q = t.name.find(".q_proj.") != std::string::npos;
    if (!q && t.name.find(".k_proj.") == std::string::npos) return;
    const size_t d = config_.head_dim, width = t.shape.size() == 2 ? t.shape[1] : 1;
    const std::vector<float> from = t.values;
    for (size_t row = 0; row < t.shape[0]; ++row) {
      const size_t head = row / d, a = row % d / (d / 2), b = row % (d / 2);
      const size_t to = head * d + 2 * b + a;
      std::copy_n(from.begin() + static_cast<ptrdiff_t>(row * width), width,
                  t.values.begin() + static_cast<ptrdiff_t>(to * width));
    }
  }

  [[nodiscard]] std::string gguf_name(std::string name) const {
    const bool four_norms = config_.norms.size() == 4;
    const std::pair<std::string_view, std::string_view> replacements[] = {
        {"model.embed_tokens", "token_embd"},
        {"model.norm", "output_norm"},
        {"lm_head", "output"},
        {"model.layers", "blk"},
        {"input_layernorm", "attn_norm"},
        {"post_attention_layernorm", four_norms ? "post_attention_norm" : "ffn_norm"},
        {"pre_feedforward_layernorm", "ffn_norm"},
        {"post_feedforward_layernorm", "post_ffw_norm"},
        {"self_attn.o_proj", "attn_output"},
        {"self_attn.q_proj", "attn_q"},
        {"self_attn.k_proj", "attn_k"},
        {"self_attn.v_proj", "attn_v"},
        {"self_attn.qkv_proj", "attn_qkv"},
        {"encoder.layer", "blk"},
        {"embeddings.word_embeddings", "token_embd"},
        {"embeddings.position_embeddings", "position_embd"},
        {"embeddings.token_type_embeddings", "token_types"},
        {"embeddings.LayerNorm", "token_embd_norm"},
        {"attention.self.query", "attn_q"},
        {"attention.self.key", "attn_k"},
        {"attention.self.value", "attn_v"},
        {"attention.output.dense", "attn_output"},
        {"attention.output.LayerNorm", "attn_output_norm"},
        {"intermediate.dense", "ffn_up"},
        {"output.dense", "ffn_down"},
        {"output.LayerNorm", "layer_output_norm"},
        {"self_attn.q_norm", "attn_q_norm"},
        {"self_attn.k_norm", "attn_k_norm"},
        {"mlp.gate_up_proj", "ffn_up"},
        {"block_sparse_moe.router.layer", "ffn_gate_inp"},
        {"block_sparse_moe.gate_linear", "ffn_gate_exps"},
        {"block_sparse_moe.up_linear", "ffn_up_exps"},
        {"block_sparse_moe.output_linear", "ffn_down_exps"},
        {"shared_mlp.gate_linear", config_.experts > 0 ? "ffn_gate_shexp" : "ffn_gate"},
        {"shared_mlp.up_linear", config_.experts > 0 ? "ffn_up_shexp" : "ffn_up"},
        {"shared_mlp.output_linear", config_.experts > 0 ? "ffn_down_shexp" : "ffn_down"},
        {"mamba.in_proj", "ssm_in"},
        {"mamba.conv1d", "ssm_conv1d"},
        {"mamba.dt_bias", "ssm_dt.bias"},
        {"mamba.A_log", "ssm_a"},
        {"mamba.D", "ssm_d"},
        {"mamba.norm", "ssm_norm"},
        {"mamba.out_proj", "ssm_out"},
        {"mlp.gate_proj", "ffn_gate"},
        {"mlp.up_proj", "ffn_up"},
        {"mlp.down_proj", "ffn_down"}};
    for (const auto& [from, to] : replacements)
      if (const size_t at = name.find(from); at != std::string::npos)
        name.replace(at, from.size(), to);
    return name;
  }

  void add_gguf_metadata(formats::testing::GgufBuilder& builder) const {
    const TinyConfig& c = config_;
    const std::string a = c.architecture + ".";
    builder.add("general.architecture", c.architecture)
        .add(a + "block_count", c.layers)
        .add(a + "embedding_length", c.hidden)
        .add(a + "feed_forward_length", c.experts > 0 ? c.expert_ffn : c.ffn)
        .add(a + "context_length", c.context)
        .add(a + "attention.head_count", c.heads)
        .add(a + "attention.key_length", c.head_dim)
        .add(a + "attention.value_length", c.head_dim)
        .add(a + "attention.layer_norm_rms_epsilon", static_cast<float>(c.eps))
        .add(a + "rope.freq_base", static_cast<float>(c.theta));
    if (c.mamba_layers.empty()) builder.add(a + "attention.head_count_kv", c.kv_heads);
    if (c.shared_mlp) builder.add(a + "expert_shared_feed_forward_length", c.ffn);
    if (c.experts > 0)
      builder.add(a + "expert_count", c.experts).add(a + "expert_used_count", c.experts_used);
    if (!c.mamba_layers.empty()) {
      std::vector<int32_t> kv_heads;
      for (uint32_t i = 0; i < c.layers; ++i)
        kv_heads.push_back(is_mamba(i) ? 0 : static_cast<int32_t>(c.kv_heads));
      builder.add(a + "attention.head_count_kv", kv_heads)
          .add(a + "ssm.conv_kernel", c.mamba_conv)
          .add(a + "ssm.state_size", c.mamba_state)
          .add(a + "ssm.group_count", c.mamba_groups)
          .add(a + "ssm.inner_size", c.mamba_heads * c.mamba_head_dim)
          .add(a + "ssm.time_step_rank", c.mamba_heads);
    }
    if (c.metadata) c.metadata(builder);
  }

  TinyConfig config_;
  std::vector<TinyTensor> tensors_;
};

inline TinyConfig tiny_llama() { return {.prefix = "t-llama", .architecture = "llama"}; }

inline TinyConfig tiny_llama_untied() {
  return {.prefix = "t-llama-untied-mha", .architecture = "llama", .kv_heads = 4, .tied = false};
}

inline TinyConfig tiny_gemma3() {
  TinyConfig c{.prefix = "t-gemma3", .architecture = "gemma3", .kv_heads = 1, .head_dim = 16};
  c.eps = 1e-6;
  c.theta = 1e6;
  c.gemma = true;
  c.qk_norm = true;
  c.norms = {"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
             "post_feedforward_layernorm"};
  c.config = {{"rope_local_base_freq", 10000.0},
              {"sliding_window", 4},
              {"query_pre_attn_scalar", 16},
              {"layer_types", {"sliding_attention", "sliding_attention", "full_attention"}}};
  c.metadata = [](formats::testing::GgufBuilder& builder) {
    builder.add("gemma3.attention.sliding_window", uint32_t{4})
        .add("gemma3.attention.sliding_window_pattern", uint32_t{3});
  };
  return c;
}

inline TinyConfig tiny_qwen2() {
  TinyConfig c{.prefix = "t-qwen2", .architecture = "qwen2"};
  c.eps = 1e-6;
  c.theta = 1e6;
  c.qkv_bias = true;
  return c;
}

inline TinyConfig tiny_qwen3() {
  TinyConfig c{.prefix = "t-qwen3", .architecture = "qwen3", .head_dim = 16};
  c.eps = 1e-6;
  c.theta = 1e6;
  c.qk_norm = true;
  return c;
}

inline TinyConfig tiny_granite() {
  TinyConfig c{.prefix = "t-granite", .architecture = "granite"};
  c.config = {{"attention_multiplier", .05},
              {"embedding_multiplier", 12.0},
              {"residual_multiplier", .22},
              {"logits_scaling", 8.0}};
  c.metadata = [](formats::testing::GgufBuilder& builder) {
    builder.add("granite.attention.scale", .05f)
        .add("granite.embedding_scale", 12.f)
        .add("granite.residual_scale", .22f)
        .add("granite.logit_scale", 8.f);
  };
  return c;
}

// LongRoPE in both formats; `original_context` decides which factors a short prompt gets.
inline TinyConfig tiny_phi3(uint32_t original_context) {
  TinyConfig c{.prefix = "t-phi3-long", .architecture = "phi3", .kv_heads = 4};
  c.tied = false;
  c.fused = true;
  c.config = {{"original_max_position_embeddings", original_context},
              {"rope_scaling",
               {{"type", "longrope"},
                {"factor", 32.0},
                {"attention_factor", 1.190238071},
                {"short_factor", {1.0, 1.01, 1.1, 1.2}},
                {"long_factor", {1.0, 1.25, 1.5, 2.0}}}}};
  c.metadata = [original_context](formats::testing::GgufBuilder& builder) {
    builder.add("phi3.rope.scaling.attn_factor", 1.190238071f)
        .add("phi3.rope.scaling.original_context_length", original_context)
        .add("phi3.attention.sliding_window", uint32_t{0})
        .tensor("rope_factors_short.weight", DType::kF32, {4},
                std::vector<float>{1.f, 1.01f, 1.1f, 1.2f})
        .tensor("rope_factors_long.weight", DType::kF32, {4},
                std::vector<float>{1.f, 1.25f, 1.5f, 2.f});
  };
  return c;
}

// Layers 0 and 2 are Mamba2, layer 1 attention without positions.
inline TinyConfig tiny_granite_hybrid() {
  TinyConfig c = tiny_granite();
  c.prefix = "t-granitehybrid";
  c.architecture = "granitehybrid";
  c.mamba_layers = {0, 2};
  c.shared_mlp = true;
  c.config["position_embedding_type"] = "nope";
  c.metadata = [](formats::testing::GgufBuilder& builder) {
    builder.add("granitehybrid.attention.scale", .05f)
        .add("granitehybrid.embedding_scale", 12.f)
        .add("granitehybrid.residual_scale", .22f)
        .add("granitehybrid.logit_scale", 8.f)
        .add("granitehybrid.rope.scaling.finetuned", false);
  };
  return c;
}

inline TinyConfig tiny_granite_hybrid_groups() {
  TinyConfig c = tiny_granite_hybrid();
  c.prefix = "t-granitehybrid-g2";
  c.mamba_groups = 2;
  return c;
}

inline TinyConfig tiny_granite_hybrid_moe() {
  TinyConfig c = tiny_granite_hybrid();
  c.prefix = "t-granitehybrid-moe";
  c.experts = 4;
  return c;
}

inline TinyConfig tiny_gemma() {
  TinyConfig c{.prefix = "t-gemma", .architecture = "gemma", .kv_heads = 1, .head_dim = 16};
  c.eps = 1e-6;
  c.gemma = true;
  return c;
}

inline TinyConfig tiny_gemma2() {
  TinyConfig c{.prefix = "t-gemma2", .architecture = "gemma2", .head_dim = 16};
  c.eps = 1e-6;
  c.gemma = true;
  c.norms = {"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
             "post_feedforward_layernorm"};
  c.config = {{"sliding_window", 4}, {"query_pre_attn_scalar", 16}};
  c.metadata = [](formats::testing::GgufBuilder& builder) {
    builder.add("gemma2.attention.sliding_window", uint32_t{4})
        .add("gemma2.attn_logit_softcapping", 50.f)
        .add("gemma2.final_logit_softcapping", 30.f);
  };
  return c;
}

inline TinyConfig tiny_vaultgemma() {
  TinyConfig c{
      .prefix = "t-vaultgemma", .architecture = "vaultgemma", .kv_heads = 4, .head_dim = 16};
  c.eps = 1e-6;
  c.gemma = true;
  c.norms = {"input_layernorm", "pre_feedforward_layernorm"};
  c.config = {{"query_pre_attn_scalar", 16},
              {"attn_logit_softcapping", nullptr},
              {"final_logit_softcapping", nullptr},
              {"layer_types", {"full_attention", "full_attention", "full_attention"}}};
  return c;
}

}  // namespace localai::models::testing
