#pragma once
// One sequence after another through a model, without a scheduler: for commands that want the
// logits of a whole text.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "models/model.h"

namespace localai::engine {

// The KV type that goes with a precision where nobody chose one.
constexpr DType kv_dtype_of(models::Precision precision) {
  return precision == models::Precision::kExact ? DType::kF32 : DType::kF16;
}

// Borrows model and pool. One thread at a time.
class SequenceRunner {
 public:
  // `tokens_max`: of the longest sequence.
  SequenceRunner(const models::Model& model, DType kv_dtype, size_t tokens_max, ThreadPool& pool);

  // Starts over, at position 0, with a sequence of `tokens` in all.
  void begin(size_t tokens);
  // Runs the next tokens as one step. The logits [wanted, vocab] of the last `wanted` of them are
  // valid until the next call. `wanted` <= tokens.size(), ids in range, tokens_max kept.
  std::span<const float> advance(std::span<const int32_t> tokens, size_t wanted);

  [[nodiscard]] const models::Model& model() const { return model_; }

 private:
  const models::Model& model_;
  const DType kv_dtype_;
  ThreadPool& pool_;
  std::unique_ptr<models::Workspace> workspace_;
  uint32_t position_ = 0, reach_ = 0;
  std::vector<uint32_t> blocks_, positions_, sequence_, outputs_;  // arguments of a step, kept
  std::vector<std::byte> kv_, recurrent_;
  std::vector<float> logits_;
};

}  // namespace localai::engine
