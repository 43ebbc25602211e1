#pragma once
// For tests: a tiny BERT, by the same generator as the other tiny models.
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "models/testing/tiny_model.h"

namespace localai::models::testing {

inline TinyConfig tiny_bert() {
  TinyConfig c{.prefix = "t-bert", .architecture = "bert", .kv_heads = 4};
  c.layers = 2;
  c.context = 16;
  c.config = {{"layer_norm_eps", 1e-12}, {"type_vocab_size", 2}, {"hidden_act", "gelu"}};
  c.metadata = [](formats::testing::GgufBuilder& builder) {
    builder.add("bert.attention.layer_norm_epsilon", 1e-12f)
        .add("bert.attention.causal", false)
        .add("bert.pooling_type", uint32_t{1});
  };
  return c;
}

inline TinyTensor generate(const TinyConfig& c, const std::string& name,
                           std::vector<uint64_t> shape) {
  const uint64_t count =
      std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies());
  TinyTensor t{name, std::move(shape), std::vector<float>(count)};
  const double linear = std::sqrt(3.0 / static_cast<double>(t.shape.back()));
  for (uint64_t i = 0; i < count; ++i) {
    const double u = generated(c.prefix + ":" + name, i);
    double value = u * linear;
    if (name.find("_embeddings.") != std::string::npos) value = u;
    if (name.ends_with(".bias")) value = 0.25 * u;
    if (name.ends_with("LayerNorm.weight")) value = 1.0 + 0.25 * u;
    t.values[i] = static_cast<float>(value);
  }
  return t;
}

inline TinyModel make_bert(const TinyConfig& c) {
  TinyModel model(c);
  std::vector<TinyTensor>& out = model.tensors();
  out.clear();
  const auto add = [&](const std::string& name, uint64_t rows, uint64_t cols) {
    out.push_back(generate(c, name + ".weight", {rows, cols}));
    out.push_back(generate(c, name + ".bias", {rows}));
  };
  const auto add_norm = [&](const std::string& name) {
    out.push_back(generate(c, name + ".weight", {c.hidden}));
    out.push_back(generate(c, name + ".bias", {c.hidden}));
  };
  out.push_back(generate(c, "embeddings.word_embeddings.weight", {c.vocab, c.hidden}));
  out.push_back(generate(c, "embeddings.position_embeddings.weight", {c.context, c.hidden}));
  out.push_back(generate(c, "embeddings.token_type_embeddings.weight", {2, c.hidden}));
  add_norm("embeddings.LayerNorm");
  for (uint32_t i = 0; i < c.layers; ++i) {
    const std::string layer = "encoder.layer." + std::to_string(i) + ".";
    for (const std::string part : {"query", "key", "value"})
      add(layer + "attention.self." + part, c.hidden, c.hidden);
    add(layer + "attention.output.dense", c.hidden, c.hidden);
    add_norm(layer + "attention.output.LayerNorm");
    add(layer + "intermediate.dense", c.ffn, c.hidden);
    add(layer + "output.dense", c.hidden, c.ffn);
    add_norm(layer + "output.LayerNorm");
  }
  return model;
}

}  // namespace localai::models::testing
