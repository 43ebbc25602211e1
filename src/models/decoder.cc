#include "models/decoder.h"

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "models/decoder_rows.h"

namespace localai::models {
Decoder::Decoder(OpenedModel opened, bool pack_later)
    : checkpoint_(std::move(opened.checkpoint)),
      activation_(opened.spec->activation),
      interleaved_rope_(opened.spec->gguf_interleaved_rope && checkpoint_->gguf() != nullptr),
      hyper_(std::move(opened.hyper)),
      weights_(std::move(opened.weights)),
      kernels_(*opened.kernels),
      info_(std::move(opened.info)),
      spec_(*opened.spec),
      pack_later_(pack_later),
      state_{.kv_heads = hyper_.kv_heads, .head_dim = hyper_.head_dim} {
  uint64_t mamba_layers = 0;
  for (const LayerKind kind : hyper_.kinds)
    state_index_.push_back(kind == LayerKind::kMamba ? static_cast<uint32_t>(mamba_layers++)
                                                     : state_.kv_layers++);
  state_.recurrent_bytes = mamba_layers * mamba_state_bytes();
  if (!hyper_.use_rope) return;
  full_frequencies_ = rope_frequencies(hyper_.rope, weights_.rope_divisors);
  if (info_.long_rope_after != 0)
    long_frequencies_ = rope_frequencies(hyper_.rope, weights_.long_rope_divisors);
  if (hyper_.sliding_rope != hyper_.rope)
    sliding_frequencies_ = rope_frequencies(hyper_.sliding_rope, {});
}

// Without memory for panels the weights stay as they are.
bool Decoder::pack_more(ThreadPool& pool) {
  if (!pack_later_) return false;
  if (!packer_) {
    auto made = WeightPacker::create(spec_, hyper_, kernels_, false, weights_);
    if (made.ok())
      packer_ = std::move(*made);
    else
      log::warn("{}: {}", checkpoint_->path().string(), made.error().message);
  }
  pack_later_ = packer_ && packer_->next(pool);
  if (!pack_later_) packer_.reset();
  return pack_later_;
}

std::unique_ptr<Workspace> Decoder::make_workspace() const {
  return std::make_unique<DecoderWorkspace>();
}

// What prepare(), plan_attention() and the parts of hybrid models allocate.
uint64_t Decoder::workspace_bytes(size_t rows, size_t blocks, size_t threads) const {
  const size_t floats = 2 * size_t{hyper_.hidden} + qkv_cols() + hyper_.ffn +
                        2 * (full_frequencies_.size() + sliding_frequencies_.size());
  const size_t group = hyper_.heads / hyper_.kv_heads;
  // Heads are split only while that gives less than a few tasks a thread. The list grows by
  // doubling.
  const size_t tasks = 2 * std::max(rows * hyper_.kv_heads, kSplitTasksPerThread * threads * group);
  return rows * (floats * sizeof(float) + 2 * sizeof(uint32_t)) +
         ActivationRows::bytes_for(rows, hyper_.hidden) +
         ActivationRows::bytes_for(rows, hyper_.query_rows()) +
         ActivationRows::bytes_for(rows, hyper_.ffn) + tasks * sizeof(AttentionTask) +
         threads * attention_scratch_bytes(blocks) + mamba_workspace_bytes(rows) +
         expert_workspace_bytes(rows);
}

void Decoder::forward(const Step& step, Workspace& workspace, ThreadPool& pool,
                      float* logits) const {
  Pass pass{step, static_cast<DecoderWorkspace&>(workspace), pool, step.tokens.size()};
  if (pass.rows == 0) return;
  prepare(pass);
  embed(pass);
  for (size_t i = 0; i < hyper_.layers && pass.rows > 0; ++i) {
    const LayerWeights& layer = weights_.layers[i];
    const bool last = i + 1 == hyper_.layers;
    if (hyper_.kinds[i] == LayerKind::kMamba)
      mamba_mixer(pass, i);
    else
      attention_mixer(pass, i);
    finish_branch(pass, layer.output_bias, layer.attention_post_norm, layer.ffn_norm,
                  ffn_reads_codes(layer));
    feed_forward(pass, layer);
    const LayerWeights* next = last ? nullptr : &weights_.layers[i + 1];
    finish_branch(pass, layer.down_bias, layer.ffn_post_norm,
                  last ? weights_.final_norm : next->attention_norm,
                  last ? weights_.head.quantized_input : mixer_reads_codes(*next));
  }
  if (pass.rows > 0) output(pass, logits);
}

void Decoder::prepare(Pass& pass) const {
  DecoderWorkspace& w = pass.w;
  const size_t rows = pass.rows;
  grow_to(w.x, rows * hyper_.hidden);
  grow_to(w.branch, rows * hyper_.hidden);
  grow_to(w.qkv, rows * qkv_cols());
  grow_to(w.up, rows * hyper_.ffn);
  w.input.resize(rows, hyper_.hidden);
  w.mixed.resize(rows, hyper_.query_rows());
  w.gated.resize(rows, hyper_.ffn);
  if (state_.recurrent_bytes > 0) prepare_mamba(pass);
  for (RopeAngles* angles : {&w.full_rope, &w.sliding_rope}) {
    const auto& frequencies = angles == &w.full_rope ? full_frequencies_ : sliding_frequencies_;
    grow_to(angles->cos, rows * frequencies.size());
    grow_to(angles->sin, rows * frequencies.size());
  }
  w.row_position.assign(pass.step.positions.begin(), pass.step.positions.end());
  w.row_sequence.assign(pass.step.sequence.begin(), pass.step.sequence.end());
  plan_attention(pass);
}

void Decoder::embed(Pass& pass) const {
  const Matrix& table = weights_.embedding;
  const LayerWeights& first = weights_.layers.front();
  const bool quantize = mixer_reads_codes(first);
  for_rows(pass.pool, pass.rows, [&](size_t r) {
    const auto token = static_cast<size_t>(pass.step.tokens[r]);
    LAI_DCHECK(token < table.rows);
    float* x = pass.w.x.data() + r * hyper_.hidden;
    look_up(kernels_, table, token, x);
    if (hyper_.embedding_scale != 1.f) kernels_.scale(x, hyper_.embedding_scale, hyper_.hidden);
    rope_row(pass, r);
    normalize_input(pass, r, first.attention_norm, quantize);
  });
}

void Decoder::rope_row(Pass& pass, size_t r) const {
  const uint32_t position = pass.step.positions[r];
  const bool is_long = info_.long_rope_after != 0 &&
                       pass.step.sequences[pass.step.sequence[r]].reach > info_.long_rope_after;
  const auto fill = [&](const std::vector<double>& frequencies, double factor, RopeAngles& out) {
    const size_t at = r * frequencies.size();
    rope_angles(frequencies, position, factor, out.cos.data() + at, out.sin.data() + at);
  };
  fill(is_long ? long_frequencies_ : full_frequencies_, hyper_.rope.attention_factor,
       pass.w.full_rope);
  fill(sliding_frequencies_, hyper_.sliding_rope.attention_factor, pass.w.sliding_rope);
}

void Decoder::normalize_input(Pass& pass, size_t r, const Vector& norm, bool quantize) const {
  kernels_.rms_norm(pass.w.x.data() + r * hyper_.hidden, norm.data(), hyper_.norm_eps,
                    pass.w.input.row(r), hyper_.hidden);
  if (quantize) pass.w.input.quantize(kernels_, r, 0, hyper_.hidden);
}

void Decoder::finish_branch(Pass& pass, const Vector& bias, const Vector& post_norm,
                            const Vector& next_norm, bool quantize_next) const {
  const size_t n = hyper_.hidden;
  for_rows(pass.pool, pass.rows, [&](size_t r) {
    float* branch = pass.w.branch.data() + r * n;
    if (!bias.empty()) kernels_.add_scaled(branch, bias.data(), 1.f, n);
    if (!post_norm.empty()) kernels_.rms_norm(branch, post_norm.data(), hyper_.norm_eps, branch, n);
    kernels_.add_scaled(pass.w.x.data() + r * n, branch, hyper_.residual_scale, n);
    normalize_input(pass, r, next_norm, quantize_next);
  });
}

void Decoder::attention_mixer(Pass& pass, size_t layer) const {
  const LayerWeights& weights = weights_.layers[layer];
  project_qkv(pass, weights);
  for_rows(pass.pool, pass.rows, [&](size_t r) { rotate_and_store(pass, layer, r); });
  if (layer + 1 == hyper_.layers)
    keep_output_rows(pass, pass.w.qkv.data(), qkv_cols(), hyper_.query_rows());
  if (pass.rows == 0) return;
  run_attention(pass, layer);
  if (weights.output.quantized_input)
    for_rows(pass.pool, pass.rows,
             [&](size_t r) { pass.w.mixed.quantize(kernels_, r, 0, hyper_.query_rows()); });
  project(pass, weights.output, pass.w.mixed, pass.w.branch.data());
}

// One row space over the three matrices, so that threads meet once.
void Decoder::project_qkv(Pass& pass, const LayerWeights& weights) const {
  const size_t cols = qkv_cols();
  pass.pool.for_ranges(cols, piece_rows(cols, pass.pool), [&](size_t begin, size_t end) {
    size_t offset = 0;
    for (const Matrix* m : {&weights.query, &weights.key, &weights.value}) {
      const size_t from = std::max(begin, offset), to = std::min(end, offset + m->rows);
      if (from < to)
        matmul(*m, pass.w.input, 0, pass.rows, from - offset, to - offset,
               pass.w.qkv.data() + offset, cols);
      offset += m->rows;
    }
  });
}

void Decoder::feed_forward(Pass& pass, const LayerWeights& weights) const {
  if (weights.gate.data != nullptr) {
    const GatedRows rows{weights.gate,       weights.up,       weights.down.quantized_input,
                         pass.w.input,       pass.w.gated,     pass.w.up.data(),
                         &weights.gate_bias, &weights.up_bias, 0,
                         pass.rows};
    pass.pool.for_ranges(hyper_.ffn, piece_rows(hyper_.ffn, pass.pool),
                         [&](size_t begin, size_t end) { gate_range(rows, begin, end); });
    project(pass, weights.down, pass.w.gated, pass.w.branch.data());
  }
  if (hyper_.experts > 0) add_experts(pass, weights);
}

// The columns [begin, end) of act(gate) * up, and their codes for the next product.
void Decoder::gate_range(const GatedRows& g, size_t begin, size_t end) const {
  const size_t width = g.gate.rows, n = end - begin;
  float* up_rows = g.up_values + g.first * width;
  matmul(g.gate, g.input, g.first, g.rows, begin, end, g.gated.row(g.first), width);
  matmul(g.up, g.input, g.first, g.rows, begin, end, up_rows, width);
  const auto activate =
      activation_ == Activation::kSilu ? kernels_.silu_mul : kernels_.gelu_tanh_mul;
  for (size_t r = 0; r < g.rows; ++r) {
    float* gate = g.gated.row(g.first + r) + begin;
    float* up = up_rows + r * width + begin;
    if (g.gate_bias != nullptr && !g.gate_bias->empty())
      kernels_.add_scaled(gate, g.gate_bias->data() + begin, 1.f, n);
    if (g.up_bias != nullptr && !g.up_bias->empty())
      kernels_.add_scaled(up, g.up_bias->data() + begin, 1.f, n);
    activate(gate, up, gate, n);
    if (g.quantize) g.gated.quantize(kernels_, g.first + r, begin, end);
  }
}

void Decoder::project(Pass& pass, const Matrix& matrix, const ActivationRows& input,
                      float* y) const {
  pass.pool.for_ranges(matrix.rows, piece_rows(matrix.rows, pass.pool),
                       [&](size_t begin, size_t end) {
                         matmul(matrix, input, 0, pass.rows, begin, end, y, matrix.rows);
                       });
}

void Decoder::output(Pass& pass, float* logits) const {
  const Matrix& head = weights_.head;
  pass.pool.for_ranges(head.rows, piece_rows(head.rows, pass.pool), [&](size_t begin, size_t end) {
    matmul(head, pass.w.input, 0, pass.rows, begin, end, logits, head.rows);
    for (size_t r = 0; r < pass.rows; ++r) {
      float* out = logits + r * head.rows + begin;
      if (hyper_.logit_divisor != 1.f) kernels_.scale(out, 1.f / hyper_.logit_divisor, end - begin);
      if (hyper_.final_softcap != 0.f) kernels_.softcap(out, hyper_.final_softcap, end - begin);
    }
  });
}

}  // namespace localai::models
