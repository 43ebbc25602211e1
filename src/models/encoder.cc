#include "models/encoder.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "models/decoder_rows.h"
#include "models/pooling.h"

namespace localai::models {
namespace {

constexpr size_t kTaskQueries = 32;  // query rows of one head in one piece of attention work

template <class T>
void grow(std::vector<T>& v, size_t size) {
  if (v.size() < size) v.resize(size);
}

// Query rows [begin, end) of a text whose rows are [text_begin, text_end).
struct RowRun {
  size_t begin = 0, end = 0, text_begin = 0, text_end = 0;
};

}  // namespace

struct EncoderWorkspace : Workspace {
  [[nodiscard]] uint64_t bytes() const override {
    return input.bytes() + mixed.bytes() + inner.bytes() + runs.capacity() * sizeof(RowRun) +
           (branch.capacity() + qkv.capacity() + keys.capacity() + values.capacity()) *
               sizeof(float);
  }

  ActivationRows input;             // [rows, H] x itself
  ActivationRows mixed;             // [rows, nh d] attention's output
  ActivationRows inner;             // [rows, F]
  std::vector<float> branch;        // [rows, H]
  std::vector<float> qkv;           // [rows, 3 nh d]
  std::vector<float> keys, values;  // [heads, rows, d]
  std::vector<RowRun> runs;
};

// One call of embed(): what its parts hand to each other.
struct Encoder::Pass {
  std::span<const std::span<const int32_t>> texts;
  EncoderWorkspace& w;
  ThreadPool& pool;
  size_t rows;
};

bool Encoder::handles(const formats::Checkpoint& checkpoint) {
  const ArchSpec* spec = find_architecture(checkpoint.architecture(), checkpoint.gguf() != nullptr);
  return spec != nullptr && spec->encoder;
}

Result<std::unique_ptr<Encoder>> Encoder::load(
    std::shared_ptr<const formats::Checkpoint> checkpoint, const ModelOptions& options) {
  LAI_TRY(const Pooling pooling, read_pooling(*checkpoint));
  LAI_TRY(OpenedModel opened, open_model(std::move(checkpoint), options, true));
  LAI_TRY_STATUS(prepare_weights(options, opened), opened.checkpoint->path().string());
  LAI_TRY(opened.info.context_length,
          read_tokens_max(*opened.checkpoint, opened.info.context_length));
  return std::make_unique<Encoder>(std::move(opened), pooling);
}

Encoder::Encoder(OpenedModel opened, Pooling pooling)
    : opened_(std::move(opened)),
      pooling_(pooling),
      unit_(opened_.hyper.hidden, 1.f / std::sqrt(static_cast<float>(opened_.hyper.hidden))) {}

std::unique_ptr<Workspace> Encoder::make_workspace() const {
  return std::make_unique<EncoderWorkspace>();
}

uint64_t Encoder::workspace_bytes(size_t rows) const {
  const Hyperparameters& h = opened_.hyper;
  const uint64_t floats = h.hidden + 3 * h.query_rows() + 2 * h.query_rows();
  uint64_t activations = 0;  // f32, int8 codes, a scale and two sums for each 32
  for (const uint64_t cols : {uint64_t{h.hidden}, h.query_rows(), uint64_t{h.ffn}})
    activations += cols * 5 + cols / kernels::kQuantBlock * 8;
  return rows * (floats * sizeof(float) + activations + sizeof(RowRun));
}

void Encoder::embed(std::span<const std::span<const int32_t>> texts, Workspace& workspace,
                    ThreadPool& pool, float* vectors) const {
  const Hyperparameters& h = opened_.hyper;
  Pass pass{texts, static_cast<EncoderWorkspace&>(workspace), pool, 0};
  EncoderWorkspace& w = pass.w;
  w.runs.clear();
  for (const std::span<const int32_t> text : texts) {
    const size_t begin = pass.rows, end = begin + text.size();
    for (size_t r = begin; r < end; r += kTaskQueries)
      w.runs.push_back({r, std::min(r + kTaskQueries, end), begin, end});
    pass.rows = end;
  }
  if (pass.rows == 0) return;
  grow(w.branch, pass.rows * h.hidden);
  grow(w.qkv, pass.rows * 3 * h.query_rows());
  grow(w.keys, pass.rows * h.query_rows());
  grow(w.values, pass.rows * h.query_rows());
  w.input.resize(pass.rows, h.hidden);
  w.mixed.resize(pass.rows, h.query_rows());
  w.inner.resize(pass.rows, h.ffn);

  embed_rows(pass);
  for (uint32_t i = 0; i < h.layers; ++i) {
    const LayerWeights& layer = opened_.weights.layers[i];
    attention(pass, layer);
    finish_branch(pass, layer.output_bias, layer.attention_post_norm,
                  layer.attention_post_norm_bias, layer.up.quantized_input);
    feed_forward(pass, layer);
    const bool last = i + 1 == h.layers;
    finish_branch(pass, layer.down_bias, layer.ffn_post_norm, layer.ffn_post_norm_bias,
                  !last && mixer_reads_codes(opened_.weights.layers[i + 1]));
  }
  size_t begin = 0;
  for (const std::span<const int32_t> text : texts) {
    pool_rows(pass, begin, begin + text.size(), vectors);
    begin += text.size();
    vectors += h.hidden;
  }
}

void Encoder::embed_rows(Pass& pass) const {
  const Weights& weights = opened_.weights;
  const kernels::KernelSet& kernels = *opened_.kernels;
  const size_t n = opened_.hyper.hidden;
  const bool quantize = mixer_reads_codes(weights.layers.front());
  size_t first = 0;
  for (const std::span<const int32_t> text : pass.texts) {
    for_rows(pass.pool, text.size(), [&](size_t position) {
      const size_t r = first + position;
      float* x = pass.w.input.row(r);
      float* other = pass.w.branch.data() + r * n;
      look_up(kernels, weights.embedding, static_cast<size_t>(text[position]), x);
      look_up(kernels, weights.token_types, 0, other);
      kernels.add_scaled(x, other, 1.f, n);
      look_up(kernels, weights.positions, position, other);
      kernels.add_scaled(x, other, 1.f, n);
      kernels.layer_norm(x, weights.embedding_norm.data(), weights.embedding_norm_bias.data(),
                         opened_.hyper.norm_eps, x, n);
      if (quantize) pass.w.input.quantize(kernels, r, 0, n);
    });
    first += text.size();
  }
}

void Encoder::attention(Pass& pass, const LayerWeights& layer) const {
  const size_t cols = opened_.hyper.query_rows();
  EncoderWorkspace& w = pass.w;
  size_t offset = 0;
  for (const Matrix* m : {&layer.query, &layer.key, &layer.value}) {
    pass.pool.for_ranges(cols, piece_rows(cols, pass.pool), [&](size_t begin, size_t end) {
      matmul(*m, w.input, 0, pass.rows, begin, end, w.qkv.data() + offset, 3 * cols);
    });
    offset += cols;
  }
  split_heads(pass, layer);
  const size_t heads = opened_.hyper.heads;
  pass.pool.for_ranges(w.runs.size() * heads, 1, [&](size_t begin, size_t end) {
    for (size_t task = begin; task < end; ++task) attend(pass, task % heads, task / heads);
  });
  if (layer.output.quantized_input)
    for_rows(pass.pool, pass.rows,
             [&](size_t r) { w.mixed.quantize(*opened_.kernels, r, 0, cols); });
  const size_t hidden = opened_.hyper.hidden;
  pass.pool.for_ranges(hidden, piece_rows(hidden, pass.pool), [&](size_t begin, size_t end) {
    matmul(layer.output, w.mixed, 0, pass.rows, begin, end, w.branch.data(), hidden);
  });
}

// Biases, and K and V of each head as contiguous rows.
void Encoder::split_heads(Pass& pass, const LayerWeights& layer) const {
  const size_t d = opened_.hyper.head_dim, cols = opened_.hyper.query_rows();
  EncoderWorkspace& w = pass.w;
  for_rows(pass.pool, pass.rows, [&](size_t r) {
    float* q = w.qkv.data() + r * 3 * cols;
    const float *k = q + cols, *v = k + cols;
    for (const Vector* bias : {&layer.query_bias, &layer.key_bias, &layer.value_bias}) {
      opened_.kernels->add_scaled(q, bias->data(), 1.f, cols);
      q += cols;
    }
    for (size_t h = 0; h < opened_.hyper.heads; ++h) {
      const size_t at = (h * pass.rows + r) * d;
      std::copy_n(k + h * d, d, w.keys.data() + at);
      std::copy_n(v + h * d, d, w.values.data() + at);
    }
  });
}

// One head of one run of rows; its text's K and V are rows that the kernel takes in pieces of one
// attention chunk.
void Encoder::attend(Pass& pass, size_t head, size_t run_index) const {
  const size_t d = opened_.hyper.head_dim, cols = opened_.hyper.query_rows();
  EncoderWorkspace& w = pass.w;
  const RowRun& run = w.runs[run_index];
  const auto length = static_cast<uint32_t>(run.text_end - run.text_begin);
  std::array<const float*, kTaskQueries> queries{};
  std::array<float*, kTaskQueries> outputs{};
  std::array<uint32_t, kTaskQueries> key_begin{}, key_end{};
  key_end.fill(length);
  const size_t count = run.end - run.begin;
  for (size_t i = 0; i < count; ++i) {
    queries[i] = w.qkv.data() + (run.begin + i) * 3 * cols + head * d;
    outputs[i] = w.mixed.row(run.begin + i) + head * d;
  }
  std::vector<const std::byte*> k_blocks, v_blocks;
  for (size_t r = run.text_begin; r < run.text_end; r += kernels::kAttentionChunk) {
    const size_t at = (head * pass.rows + r) * d;
    k_blocks.push_back(reinterpret_cast<const std::byte*>(w.keys.data() + at));
    v_blocks.push_back(reinterpret_cast<const std::byte*>(w.values.data() + at));
  }
  opened_.kernels->attention({.queries = count,
                              .q = queries.data(),
                              .out = outputs.data(),
                              .key_begin = key_begin.data(),
                              .key_end = key_end.data(),
                              .k_blocks = k_blocks.data(),
                              .v_blocks = v_blocks.data(),
                              .block_tokens = kernels::kAttentionChunk,
                              .kv_dtype = DType::kF32,
                              .head_dim = d,
                              .scale = opened_.hyper.attention_scale,
                              .softcap = 0.f});
}

void Encoder::feed_forward(Pass& pass, const LayerWeights& layer) const {
  const size_t ffn = opened_.hyper.ffn, hidden = opened_.hyper.hidden;
  const kernels::KernelSet& kernels = *opened_.kernels;
  EncoderWorkspace& w = pass.w;
  pass.pool.for_ranges(ffn, piece_rows(ffn, pass.pool), [&](size_t begin, size_t end) {
    matmul(layer.up, w.input, 0, pass.rows, begin, end, w.inner.row(0), ffn);
    for (size_t r = 0; r < pass.rows; ++r) {
      float* out = w.inner.row(r) + begin;
      kernels.add_scaled(out, layer.up_bias.data() + begin, 1.f, end - begin);
      kernels.gelu_erf(out, end - begin);
      if (layer.down.quantized_input) w.inner.quantize(kernels, r, begin, end);
    }
  });
  pass.pool.for_ranges(hidden, piece_rows(hidden, pass.pool), [&](size_t begin, size_t end) {
    matmul(layer.down, w.inner, 0, pass.rows, begin, end, w.branch.data(), hidden);
  });
}

// x = LN(x + branch + bias).
void Encoder::finish_branch(Pass& pass, const Vector& bias, const Vector& norm,
                            const Vector& norm_bias, bool quantize) const {
  const size_t n = opened_.hyper.hidden;
  const kernels::KernelSet& kernels = *opened_.kernels;
  for_rows(pass.pool, pass.rows, [&](size_t r) {
    float* x = pass.w.input.row(r);
    float* branch = pass.w.branch.data() + r * n;
    kernels.add_scaled(branch, bias.data(), 1.f, n);
    kernels.add_scaled(x, branch, 1.f, n);
    kernels.layer_norm(x, norm.data(), norm_bias.data(), opened_.hyper.norm_eps, x, n);
    if (quantize) pass.w.input.quantize(kernels, r, 0, n);
  });
}

void Encoder::pool_rows(const Pass& pass, size_t begin, size_t end, float* vector) const {
  constexpr float kShortest = 1e-24f;  // the norm of a vector of zeros: it stays one
  const size_t n = opened_.hyper.hidden;
  const kernels::KernelSet& kernels = *opened_.kernels;
  std::copy_n(pass.w.input.row(begin), n, vector);
  if (pooling_ == Pooling::kMean) {
    for (size_t r = begin + 1; r < end; ++r)
      kernels.add_scaled(vector, pass.w.input.row(r), 1.f, n);
    kernels.scale(vector, 1.f / static_cast<float>(end - begin), n);
  }
  kernels.rms_norm(vector, unit_.data(), kShortest, vector, n);
}

}  // namespace localai::models
