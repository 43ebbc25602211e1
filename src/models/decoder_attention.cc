// The attention half of the decoder: RoPE, the KV cache, and the split of the work into tasks.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "models/decoder.h"

namespace localai::models {
namespace {

// Query vectors in one task: enough to reuse each key from cache, few enough to spread.
constexpr size_t kTaskQueries = 32;

size_t element_bytes(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

// Per-head RMSNorm over d.
void norm_heads(const kernels::KernelSet& kernels, const Vector& norm, float eps, float* heads,
                size_t count, size_t d) {
  if (norm.empty()) return;
  for (size_t h = 0; h < count; ++h)
    kernels.rms_norm(heads + h * d, norm.data(), eps, heads + h * d, d);
}

}  // namespace

size_t Decoder::kv_offset(DType dtype, size_t layer, size_t head, bool value) const {
  const size_t heads = hyper_.kv_heads;
  const size_t index = (size_t{state_index_[layer]} * 2 + (value ? 1 : 0)) * heads + head;
  return index * kKvBlockTokens * hyper_.head_dim * element_bytes(dtype);
}

void Decoder::store_head(const Pass& pass, const float* head, std::byte* block, size_t slot) const {
  const size_t d = hyper_.head_dim;
  if (pass.step.kv.dtype == DType::kF32) {
    std::memcpy(block + slot * d * sizeof(float), head, d * sizeof(float));
  } else {
    kernels_.to_f16(head, reinterpret_cast<uint16_t*>(block) + slot * d, d);
  }
}

void Decoder::rotate_and_store(Pass& pass, size_t layer, size_t r) const {
  const LayerWeights& weights = weights_.layers[layer];
  const size_t d = hyper_.head_dim, heads = hyper_.heads, kv_heads = hyper_.kv_heads;
  float* q = pass.w.qkv.data() + r * qkv_cols();
  float* k = q + heads * d;
  float* v = k + kv_heads * d;
  if (!weights.query_bias.empty())
    kernels_.add_scaled(q, weights.query_bias.data(), 1.f, heads * d);
  if (!weights.key_bias.empty()) kernels_.add_scaled(k, weights.key_bias.data(), 1.f, kv_heads * d);
  if (!weights.value_bias.empty())
    kernels_.add_scaled(v, weights.value_bias.data(), 1.f, kv_heads * d);
  norm_heads(kernels_, weights.query_norm, hyper_.norm_eps, q, heads, d);
  norm_heads(kernels_, weights.key_norm, hyper_.norm_eps, k, kv_heads, d);

  const bool sliding =
      hyper_.kinds[layer] == LayerKind::kSlidingAttention && !sliding_frequencies_.empty();
  const RopeAngles& angles = sliding ? pass.w.sliding_rope : pass.w.full_rope;
  const size_t rotary = sliding ? hyper_.sliding_rope.rotary : hyper_.rope.rotary;
  for (size_t h = 0; hyper_.use_rope && h < heads + kv_heads; ++h)  // keys follow queries
    kernels_.rope(q + h * d, angles.cos.data() + r * rotary / 2, angles.sin.data() + r * rotary / 2,
                  rotary, interleaved_rope_);

  const KvPoolView& kv = pass.step.kv;
  const uint32_t position = pass.step.positions[r];
  const SequenceView& sequence = pass.step.sequences[pass.step.sequence[r]];
  std::byte* block = kv.base + sequence.blocks[position / kKvBlockTokens] * kv.block_bytes;
  for (size_t h = 0; h < kv_heads; ++h) {
    const size_t slot = position % kKvBlockTokens;
    store_head(pass, k + h * d, block + kv_offset(kv.dtype, layer, h, false), slot);
    store_head(pass, v + h * d, block + kv_offset(kv.dtype, layer, h, true), slot);
  }
}

// After the last layer's keys and values are stored (its state has advanced), only rows whose
// logits are wanted matter.
void Decoder::keep_output_rows(Pass& pass, float* mixer_rows, size_t stride, size_t width) const {
  DecoderWorkspace& w = pass.w;
  const std::span<const uint32_t> wanted = pass.step.output_rows;
  if (wanted.size() == pass.rows) return;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const size_t r = wanted[i];
    std::memmove(w.x.data() + i * hyper_.hidden, w.x.data() + r * hyper_.hidden,
                 hyper_.hidden * sizeof(float));
    std::memmove(mixer_rows + i * stride, mixer_rows + r * stride, width * sizeof(float));
    w.row_position[i] = pass.step.positions[r];
    w.row_sequence[i] = pass.step.sequence[r];
  }
  pass.rows = wanted.size();
  plan_attention(pass);
}

uint32_t Decoder::attention_tile() const {
  const uint32_t group = hyper_.heads / hyper_.kv_heads;
  return static_cast<uint32_t>(std::max<size_t>(kTaskQueries / group, 1));
}

uint64_t Decoder::attention_scratch_bytes(size_t blocks) const {
  const size_t queries = size_t{attention_tile()} * (hyper_.heads / hyper_.kv_heads);
  return sizeof(AttentionScratch) + queries * 2 * (sizeof(float*) + sizeof(uint32_t)) +
         blocks * 2 * sizeof(std::byte*);
}

// Cuts the rows into tasks: runs of one sequence, per KV head, per tile of rows. With few rows the
// query heads of a KV head are split too, so that every thread has work.
void Decoder::plan_attention(Pass& pass) const {
  DecoderWorkspace& w = pass.w;
  const uint32_t group = hyper_.heads / hyper_.kv_heads;
  const uint32_t tile = attention_tile();
  const bool split_heads = pass.rows * hyper_.kv_heads < kSplitTasksPerThread * pass.pool.size();
  const uint32_t heads_per_task = split_heads ? 1 : group;
  w.tasks.clear();
  size_t blocks_max = 0;
  for (uint32_t begin = 0; begin < pass.rows;) {
    const uint32_t sequence = w.row_sequence[begin];
    uint32_t end = begin + 1;
    while (end < pass.rows && end < begin + tile && w.row_sequence[end] == sequence) ++end;
    blocks_max = std::max(blocks_max, pass.step.sequences[sequence].blocks.size());
    for (uint32_t h = 0; h < hyper_.heads; h += heads_per_task)
      w.tasks.push_back({sequence, h / group, h, h + heads_per_task, begin, end});
    begin = end;
  }
  w.threads.resize(std::max<size_t>(w.threads.size(), pass.pool.size()));
  for (AttentionScratch& s : w.threads) {
    const size_t queries = size_t{tile} * group;
    s.queries.resize(queries);
    s.outputs.resize(queries);
    s.key_begin.resize(queries);
    s.key_end.resize(queries);
    s.k_blocks.resize(std::max(s.k_blocks.size(), blocks_max));
    s.v_blocks.resize(std::max(s.v_blocks.size(), blocks_max));
  }
}

void Decoder::run_attention(Pass& pass, size_t layer) const {
  // Later rows see more keys: the longest tasks go first.
  const std::vector<AttentionTask>& tasks = pass.w.tasks;
  std::atomic<size_t> next{0};
  pass.pool.run([&](uint32_t thread) {
    for (size_t t = next.fetch_add(1, std::memory_order_relaxed); t < tasks.size();
         t = next.fetch_add(1, std::memory_order_relaxed))
      attend(pass, layer, tasks[tasks.size() - 1 - t], pass.w.threads[thread]);
  });
}

void Decoder::attend(Pass& pass, size_t layer, const AttentionTask& task,
                     AttentionScratch& s) const {
  const size_t d = hyper_.head_dim;
  const bool sliding = hyper_.kinds[layer] == LayerKind::kSlidingAttention;
  size_t n = 0;
  for (size_t r = task.row_begin; r < task.row_end; ++r)
    for (size_t h = task.head_begin; h < task.head_end; ++h, ++n) {
      const uint32_t end = pass.w.row_position[r] + 1;
      s.queries[n] = pass.w.qkv.data() + r * qkv_cols() + h * d;
      s.outputs[n] = pass.w.mixed.row(r) + h * d;
      s.key_end[n] = end;
      s.key_begin[n] = sliding && end > hyper_.sliding_window ? end - hyper_.sliding_window : 0;
    }
  const KvPoolView& kv = pass.step.kv;
  const std::span<const uint32_t> blocks = pass.step.sequences[task.sequence].blocks;
  const size_t used = s.key_end[n - 1] / kKvBlockTokens + (s.key_end[n - 1] % kKvBlockTokens != 0);
  for (size_t b = s.key_begin[0] / kKvBlockTokens; b < used; ++b) {
    const std::byte* block = kv.base + blocks[b] * kv.block_bytes;
    s.k_blocks[b] = block + kv_offset(kv.dtype, layer, task.kv_head, false);
    s.v_blocks[b] = block + kv_offset(kv.dtype, layer, task.kv_head, true);
  }
  kernels_.attention({.queries = n,
                      .q = s.queries.data(),
                      .out = s.outputs.data(),
                      .key_begin = s.key_begin.data(),
                      .key_end = s.key_end.data(),
                      .k_blocks = s.k_blocks.data(),
                      .v_blocks = s.v_blocks.data(),
                      .block_tokens = kKvBlockTokens,
                      .kv_dtype = kv.dtype,
                      .head_dim = d,
                      .scale = hyper_.attention_scale,
                      .softcap = hyper_.attention_softcap});
}

}  // namespace localai::models
