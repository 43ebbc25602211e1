#pragma once
// For tests: a small KV pool, and forward passes over it in any split into steps.
#include <numeric>
#include <span>
#include <vector>

#include "models/model.h"

namespace localai::models::testing {

// One sequence per entry of `tokens`; each owns its blocks, which are scattered over the pool.
class Runner {
 public:
  Runner(const Model& model, std::vector<std::vector<int32_t>> tokens, DType kv_dtype,
         uint32_t threads)
      : model_(model),
        tokens_(std::move(tokens)),
        kv_dtype_(kv_dtype),
        pool_(threads),
        workspace_(model.make_workspace()) {
    const size_t sequences = tokens_.size();
    size_t blocks_max = 0;
    for (const auto& t : tokens_)
      blocks_max = std::max(blocks_max, (t.size() + kKvBlockTokens - 1) / kKvBlockTokens);
    block_bytes_ = model.state().block_bytes(kv_dtype);
    kv_.resize(blocks_max * sequences * block_bytes_);
    for (size_t s = 0; s < sequences; ++s) {
      std::vector<uint32_t>& blocks = blocks_.emplace_back();
      for (size_t b = 0; b < blocks_max; ++b)  // last block first, sequences interleaved
        blocks.push_back(static_cast<uint32_t>((blocks_max - 1 - b) * sequences + s));
    }
    const size_t recurrent = model.state().recurrent_bytes;
    recurrent_.resize(sequences * recurrent / sizeof(Aligned));
    for (size_t s = 0; s < sequences; ++s)
      views_.push_back({blocks_[s], recurrent == 0 ? nullptr : recurrent_[0].bytes + s * recurrent,
                        static_cast<uint32_t>(tokens_[s].size())});
    done_.assign(sequences, 0);
    logits_.resize(sequences);
  }

  // Runs the next counts[s] tokens of every sequence s in one step; logits of all of them are kept
  // (or of the last row of each only).
  void step(const std::vector<size_t>& counts, bool last_only = false) {
    std::vector<int32_t> tokens;
    std::vector<uint32_t> positions, sequence, output;
    for (size_t s = 0; s < counts.size(); ++s)
      for (size_t i = 0; i < counts[s]; ++i) {
        if (!last_only || i + 1 == counts[s])
          output.push_back(static_cast<uint32_t>(tokens.size()));
        tokens.push_back(tokens_[s][done_[s] + i]);
        positions.push_back(static_cast<uint32_t>(done_[s] + i));
        sequence.push_back(static_cast<uint32_t>(s));
      }
    const size_t vocab = model_.info().vocab_size;
    std::vector<float> logits(output.size() * vocab);
    model_.forward({.tokens = tokens,
                    .positions = positions,
                    .sequence = sequence,
                    .sequences = views_,
                    .kv = {kv_.data(), block_bytes_, kv_dtype_},
                    .output_rows = output},
                   *workspace_, pool_, logits.data());
    for (size_t i = 0; i < output.size(); ++i) {
      auto& out = logits_[sequence[output[i]]];
      out.insert(out.end(), logits.begin() + static_cast<ptrdiff_t>(i * vocab),
                 logits.begin() + static_cast<ptrdiff_t>((i + 1) * vocab));
    }
    for (size_t s = 0; s < counts.size(); ++s) done_[s] += counts[s];
  }

  // [kept rows, vocab] of a sequence.
  [[nodiscard]] const std::vector<float>& logits(size_t s = 0) const { return logits_[s]; }
  [[nodiscard]] const Workspace& workspace() const { return *workspace_; }

 private:
  struct alignas(64) Aligned {
    std::byte bytes[64]{};
  };
  const Model& model_;
  std::vector<std::vector<int32_t>> tokens_;
  DType kv_dtype_;
  ThreadPool pool_;
  std::unique_ptr<Workspace> workspace_;
  uint64_t block_bytes_ = 0;
  std::vector<std::byte> kv_;
  std::vector<std::vector<uint32_t>> blocks_;
  std::vector<Aligned> recurrent_;
  std::vector<SequenceView> views_;
  std::vector<size_t> done_;
  std::vector<std::vector<float>> logits_;
};

// All logits of one sequence, prefilled in one step.
inline std::vector<float> run_alone(const Model& model, const std::vector<int32_t>& tokens,
                                    DType kv_dtype = DType::kF32, uint32_t threads = 1) {
  Runner runner(model, {tokens}, kv_dtype, threads);
  runner.step({tokens.size()});
  return runner.logits();
}

}  // namespace localai::models::testing
