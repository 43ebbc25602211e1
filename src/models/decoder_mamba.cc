// The Mamba2 half of the decoder: one order of operations for prompts and for single tokens, namely
// position after position. Channels of the convolution and heads of the recurrence never meet, so
// threads share those out; where a step begins or ends does not matter.
#include <algorithm>
#include <array>
#include <cmath>

#include "models/decoder.h"
#include "models/decoder_rows.h"

namespace localai::models {
namespace {

constexpr uint64_t kStateAlignment = 64;
constexpr size_t kChannelGroup = 64;  // channels of one piece of the convolution, at least

double softplus(double x) { return x > 20.0 ? x : std::log1p(std::exp(x)); }

}  // namespace

uint64_t Decoder::mamba_state_bytes() const {
  const uint64_t bytes = hyper_.mamba.state_floats() * sizeof(float);
  return (bytes + kStateAlignment - 1) / kStateAlignment * kStateAlignment;
}

// S of every head, then `taps` rows of raw channels: those of position p in row p % taps.
float* Decoder::mamba_state(const Pass& pass, uint32_t sequence, size_t layer) const {
  std::byte* states = pass.step.sequences[sequence].recurrent;
  return reinterpret_cast<float*>(states + state_index_[layer] * mamba_state_bytes());
}

// What prepare_mamba() allocates. The list of runs grows by doubling.
uint64_t Decoder::mamba_workspace_bytes(size_t rows) const {
  if (state_.recurrent_bytes == 0) return 0;
  const MambaParameters& mamba = hyper_.mamba;
  return rows * ((mamba.projection() + 2 * mamba.heads) * sizeof(float) + 2 * sizeof(SequenceRun)) +
         ActivationRows::bytes_for(rows, mamba.inner());
}

void Decoder::prepare_mamba(Pass& pass) const {
  MambaWorkspace& w = pass.w.mamba;
  grow_to(w.rows, pass.rows * hyper_.mamba.projection());
  grow_to(w.dt, pass.rows * hyper_.mamba.heads);
  grow_to(w.decay, pass.rows * hyper_.mamba.heads);
  w.gated.resize(pass.rows, hyper_.mamba.inner());
  w.runs.clear();
  for (uint32_t r = 0; r < pass.rows; ++r) {
    const uint32_t sequence = pass.step.sequence[r];
    if (w.runs.empty() || w.runs.back().sequence != sequence) w.runs.push_back({sequence, r, r});
    w.runs.back().end = r + 1;
  }
}

void Decoder::mamba_mixer(Pass& pass, size_t layer) const {
  const LayerWeights& weights = weights_.layers[layer];
  const MambaParameters& mamba = hyper_.mamba;
  MambaWorkspace& w = pass.w.mamba;
  project(pass, weights.mamba_in, pass.w.input, w.rows.data());
  for_rows(pass.pool, pass.rows, [&](size_t r) { mamba_steps(pass, weights, r); });
  const size_t piece = mamba.channels() / (pass.pool.size() * kPiecesPerThread);
  pass.pool.for_ranges(mamba.channels(),
                       std::max(piece / kChannelGroup * kChannelGroup, kChannelGroup),
                       [&](size_t begin, size_t end) { mamba_convolve(pass, layer, begin, end); });
  pass.pool.for_ranges(w.runs.size() * mamba.heads, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i)
      mamba_scan(pass, layer, w.runs[i / mamba.heads], i % mamba.heads);
  });
  if (layer + 1 == hyper_.layers)
    keep_output_rows(pass, w.rows.data(), mamba.projection(), 2 * mamba.inner());
  if (pass.rows == 0) return;
  for_rows(pass.pool, pass.rows, [&](size_t r) { mamba_gate(pass, weights, r); });
  project(pass, weights.mamba_out, w.gated, pass.w.branch.data());
}

// dt = clamp(softplus(dt + bias)) and exp(dt A), for every head.
void Decoder::mamba_steps(Pass& pass, const LayerWeights& weights, size_t r) const {
  const MambaParameters& mamba = hyper_.mamba;
  MambaWorkspace& w = pass.w.mamba;
  float* row = w.rows.data() + r * mamba.projection();
  if (!weights.mamba_in_bias.empty())
    kernels_.add_scaled(row, weights.mamba_in_bias.data(), 1.f, mamba.projection());
  const float* raw = row + mamba.inner() + mamba.channels();
  for (size_t h = 0; h < mamba.heads; ++h) {
    const float dt = static_cast<float>(softplus(static_cast<double>(raw[h] + weights.dt_bias[h])));
    const float step = std::min(std::max(dt, mamba.dt_min), mamba.dt_max);
    w.dt[r * mamba.heads + h] = step;
    w.decay[r * mamba.heads + h] =
        static_cast<float>(std::exp(static_cast<double>(step * weights.mamba_a[h])));
  }
}

// Channels [begin, end) of all rows, in place.
void Decoder::mamba_convolve(Pass& pass, size_t layer, size_t begin, size_t end) const {
  const LayerWeights& weights = weights_.layers[layer];
  const MambaParameters& mamba = hyper_.mamba;
  const size_t channels = mamba.channels(), taps = mamba.taps;
  std::array<float*, kMambaTapsMax> history{};
  for (const SequenceRun& run : pass.w.mamba.runs) {
    float* raw = mamba_state(pass, run.sequence, layer) + mamba.inner() * mamba.state_size + begin;
    for (size_t r = run.begin; r < run.end; ++r) {
      const size_t position = pass.step.positions[r];
      for (size_t j = 0; j < taps; ++j) history[j] = raw + (position + j) % taps * channels;
      kernels_.ssm_conv(pass.w.mamba.rows.data() + r * mamba.projection() + mamba.inner() + begin,
                        history.data(), taps, weights.conv.data() + begin, channels,
                        weights.conv_bias.data() + begin, end - begin);
    }
  }
}

// All positions of one head of one sequence.
void Decoder::mamba_scan(Pass& pass, size_t layer, const SequenceRun& run, size_t head) const {
  const LayerWeights& weights = weights_.layers[layer];
  const MambaParameters& mamba = hyper_.mamba;
  MambaWorkspace& w = pass.w.mamba;
  const size_t group = head / (mamba.heads / mamba.groups);
  float* x = w.rows.data() + run.begin * mamba.projection() + mamba.inner();
  const float* b = x + mamba.inner() + group * mamba.state_size;
  const size_t first_step = run.begin * size_t{mamba.heads} + head;
  kernels_.ssm_scan(
      {.rows = size_t{run.end} - run.begin,
       .head_dim = mamba.head_dim,
       .state_size = mamba.state_size,
       .state = mamba_state(pass, run.sequence, layer) + head * mamba.head_dim * mamba.state_size,
       .x = x + head * mamba.head_dim,
       .b = b,
       .c = b + size_t{mamba.groups} * mamba.state_size,
       .stride = mamba.projection(),
       .dt = w.dt.data() + first_step,
       .decay = w.decay.data() + first_step,
       .dt_stride = mamba.heads,
       .d = weights.mamba_d[head]});
}

// RMSNorm of y * silu(z) within each group.
void Decoder::mamba_gate(Pass& pass, const LayerWeights& weights, size_t r) const {
  const MambaParameters& mamba = hyper_.mamba;
  const size_t inner = mamba.inner(), width = inner / mamba.groups;
  const float* z = pass.w.mamba.rows.data() + r * mamba.projection();
  float* out = pass.w.mamba.gated.row(r);
  kernels_.silu_mul(z, z + inner, out, inner);
  for (size_t at = 0; at < inner; at += width)
    kernels_.rms_norm(out + at, weights.mamba_norm.data() + at, hyper_.norm_eps, out + at, width);
  if (weights.mamba_out.quantized_input) pass.w.mamba.gated.quantize(kernels_, r, 0, inner);
}

}  // namespace localai::models
