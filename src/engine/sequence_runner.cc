#include "engine/sequence_runner.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace localai::engine {

SequenceRunner::SequenceRunner(const models::Model& model, DType kv_dtype, size_t tokens_max,
                               ThreadPool& pool)
    : model_(model),
      kv_dtype_(kv_dtype),
      pool_(pool),
      workspace_(model.make_workspace()),
      blocks_((tokens_max + models::kKvBlockTokens - 1) / models::kKvBlockTokens),
      kv_(blocks_.size() * model.state().block_bytes(kv_dtype)),
      recurrent_(model.state().recurrent_bytes) {
  std::iota(blocks_.begin(), blocks_.end(), 0u);
}

void SequenceRunner::begin(size_t tokens) {
  position_ = 0;
  reach_ = static_cast<uint32_t>(tokens);
  std::fill(recurrent_.begin(), recurrent_.end(), std::byte{0});
}

std::span<const float> SequenceRunner::advance(std::span<const int32_t> tokens, size_t wanted) {
  LAI_CHECK(wanted <= tokens.size());
  LAI_CHECK(position_ + tokens.size() <= blocks_.size() * models::kKvBlockTokens);
  positions_.resize(tokens.size());
  std::iota(positions_.begin(), positions_.end(), position_);
  sequence_.assign(tokens.size(), 0u);
  outputs_.resize(wanted);
  std::iota(outputs_.begin(), outputs_.end(), static_cast<uint32_t>(tokens.size() - wanted));
  logits_.resize(wanted * model_.info().vocab_size);
  const models::SequenceView view{blocks_, recurrent_.empty() ? nullptr : recurrent_.data(),
                                  reach_};
  model_.forward({.tokens = tokens,
                  .positions = positions_,
                  .sequence = sequence_,
                  .sequences = {&view, 1},
                  .kv = {kv_.data(), model_.state().block_bytes(kv_dtype_), kv_dtype_},
                  .output_rows = outputs_},
                 *workspace_, pool_, logits_.data());
  position_ += static_cast<uint32_t>(tokens.size());
  return logits_;
}

}  // namespace localai::engine
