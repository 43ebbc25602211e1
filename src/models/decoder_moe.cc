// The mixture of experts: rows are gathered by expert, so that each expert's weights are read once
// a step; a row's own sum over its experts has one order, ascending.
#include <algorithm>
#include <cmath>

#include "models/decoder.h"
#include "models/decoder_rows.h"

namespace localai::models {
namespace {

// The `used` largest logits, the lower index first among equals: indices ascending, and the softmax
// over them alone.
void choose(std::span<const float> logits, std::span<uint32_t> chosen, std::span<float> weights) {
  for (size_t k = 0; k < chosen.size(); ++k) {
    const auto taken = chosen.first(k);
    size_t best = logits.size();
    for (size_t e = 0; e < logits.size(); ++e) {
      if (std::find(taken.begin(), taken.end(), e) != taken.end()) continue;
      if (best == logits.size() || logits[e] > logits[best]) best = e;
    }
    chosen[k] = static_cast<uint32_t>(best);
  }
  const double largest = static_cast<double>(logits[chosen[0]]);
  std::sort(chosen.begin(), chosen.end());
  double sum = 0.0;
  for (const uint32_t e : chosen) sum += std::exp(static_cast<double>(logits[e]) - largest);
  for (size_t k = 0; k < chosen.size(); ++k)
    weights[k] =
        static_cast<float>(std::exp(static_cast<double>(logits[chosen[k]]) - largest) / sum);
}

}  // namespace

// What add_experts() allocates. The list of active experts grows by doubling.
uint64_t Decoder::expert_workspace_bytes(size_t rows) const {
  if (hyper_.experts == 0) return 0;
  const size_t gathered = rows * hyper_.experts_used;
  const size_t floats = rows * hyper_.experts + gathered * (1 + hyper_.expert_ffn + hyper_.hidden);
  return floats * sizeof(float) + (2 * gathered + 3 * hyper_.experts + 1) * sizeof(uint32_t) +
         ActivationRows::bytes_for(gathered, hyper_.hidden) +
         ActivationRows::bytes_for(gathered, hyper_.expert_ffn);
}

void Decoder::add_experts(Pass& pass, const LayerWeights& weights) const {
  ExpertWorkspace& w = pass.w.experts;
  const size_t used = hyper_.experts_used, gathered = pass.rows * used, hidden = hyper_.hidden;
  grow_to(w.logits, pass.rows * hyper_.experts);
  grow_to(w.chosen, gathered);
  grow_to(w.weights, gathered);
  grow_to(w.place, gathered);
  grow_to(w.up, gathered * hyper_.expert_ffn);
  grow_to(w.out, gathered * hidden);
  w.input.resize(gathered, hidden);
  w.gated.resize(gathered, hyper_.expert_ffn);
  project(pass, weights.router, pass.w.input, w.logits.data());
  choose_experts(pass);
  const bool codes = weights.gate_experts.quantized_input || weights.up_experts.quantized_input;
  for_rows(pass.pool, pass.rows, [&](size_t r) {
    for (size_t k = 0; k < used; ++k) w.input.copy(w.place[r * used + k], pass.w.input, r, codes);
  });
  run_experts(pass, weights);
  for_rows(pass.pool, pass.rows, [&](size_t r) {
    float* branch = pass.w.branch.data() + r * hidden;
    if (weights.gate.data == nullptr) std::fill_n(branch, hidden, 0.f);
    for (size_t k = 0; k < used; ++k)
      kernels_.add_scaled(branch, w.out.data() + w.place[r * used + k] * hidden,
                          w.weights[r * used + k], hidden);
  });
}

// Each row's experts, and where the row stands among those gathered for each of them.
void Decoder::choose_experts(Pass& pass) const {
  ExpertWorkspace& w = pass.w.experts;
  const size_t used = hyper_.experts_used, experts = hyper_.experts;
  for_rows(pass.pool, pass.rows, [&](size_t r) {
    choose(std::span(w.logits).subspan(r * experts, experts),
           std::span(w.chosen).subspan(r * used, used),
           std::span(w.weights).subspan(r * used, used));
  });
  w.begin.assign(experts + 1, 0);
  for (size_t i = 0; i < pass.rows * used; ++i) ++w.begin[w.chosen[i] + 1];
  w.active.clear();
  for (size_t e = 0; e < experts; ++e) {
    if (w.begin[e + 1] > 0) w.active.push_back(static_cast<uint32_t>(e));
    w.begin[e + 1] += w.begin[e];
  }
  // begin[e] runs to the end of e's rows, which is where e + 1 begins; then it is set back.
  for (size_t i = 0; i < pass.rows * used; ++i) w.place[i] = w.begin[w.chosen[i]]++;
  for (size_t e = experts; e > 0; --e) w.begin[e] = w.begin[e - 1];
  w.begin[0] = 0;
}

// Both products of every expert that has rows, over (expert, piece of its weight rows).
void Decoder::run_experts(Pass& pass, const LayerWeights& weights) const {
  ExpertWorkspace& w = pass.w.experts;
  const auto for_pieces = [&](size_t rows, auto&& work) {
    const size_t piece = std::max(
        rows * w.active.size() / (pass.pool.size() * kPiecesPerThread) / kRowGroup * kRowGroup,
        kRowGroup);
    const size_t pieces = (rows + piece - 1) / piece;
    pass.pool.for_ranges(pieces * w.active.size(), 1, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) {
        const size_t from = i % pieces * piece;
        work(w.active[i / pieces], from, std::min(from + piece, rows));
      }
    });
  };
  for_pieces(hyper_.expert_ffn, [&](size_t e, size_t begin, size_t end) {
    const Matrix gate = weights.gate_experts.expert(e), up = weights.up_experts.expert(e);
    gate_range({gate, up, weights.down_experts.quantized_input, w.input, w.gated, w.up.data(),
                nullptr, nullptr, w.begin[e], w.begin[e + 1] - w.begin[e]},
               begin, end);
  });
  for_pieces(hyper_.hidden, [&](size_t e, size_t begin, size_t end) {
    matmul(weights.down_experts.expert(e), w.gated, w.begin[e], w.begin[e + 1] - w.begin[e], begin,
           end, w.out.data() + w.begin[e] * hyper_.hidden, hyper_.hidden);
  });
}

}  // namespace localai::models
