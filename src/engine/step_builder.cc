#include "engine/step_builder.h"

#include <algorithm>

namespace localai::engine {

std::span<StepPart> StepBuilder::plan(std::span<const std::unique_ptr<Sequence>> running) {
  parts_.clear();
  for (const auto& sequence : running) {
    const uint32_t pending = sequence->pending();
    parts_.push_back({.sequence = sequence.get(),
                      .rows = pending == 1 ? 1u : 0u,
                      .remaining = pending == 1 ? 0u : pending,
                      .limit = sequence->step_limit()});
  }
  share_prefill();
  std::erase_if(parts_, [](const StepPart& part) { return part.rows == 0; });
  return parts_;
}

void StepBuilder::share_prefill() {
  prompts_.clear();
  for (StepPart& part : parts_)
    if (part.remaining > 0) prompts_.push_back(&part);
  if (prompts_.empty()) return;
  uint32_t budget = prefill_chunk_;
  const auto give = [&budget](StepPart& part, uint32_t at_most) {
    const uint32_t rows = std::min({at_most, part.remaining, budget, part.limit - part.rows});
    part.rows += rows;
    part.remaining -= rows;
    budget -= rows;
  };
  StepPart& oldest = *prompts_.front();
  give(oldest, (budget + 1) / 2);
  std::stable_sort(prompts_.begin(), prompts_.end(), [](const StepPart* a, const StepPart* b) {
    return a->remaining < b->remaining;
  });
  for (StepPart* part : prompts_)
    if (part != &oldest) give(*part, part->remaining);
  give(oldest, oldest.remaining);
}

void StepBuilder::remove(const Sequence* sequence) {
  std::erase_if(parts_, [=](const StepPart& part) { return part.sequence == sequence; });
}

models::Step StepBuilder::build(const StatePool& pool) {
  tokens_.clear();
  positions_.clear();
  sequence_.clear();
  output_rows_.clear();
  views_.clear();
  for (StepPart& part : parts_) {
    const Sequence& sequence = *part.sequence;
    for (uint32_t i = 0; i < part.rows; ++i) {
      const uint32_t position = sequence.computed + i;
      tokens_.push_back(sequence.token_at(position));
      positions_.push_back(position);
      sequence_.push_back(static_cast<uint32_t>(views_.size()));
    }
    views_.push_back({sequence.blocks, sequence.state ? pool.state(*sequence.state) : nullptr,
                      sequence.reach()});
    if (part.remaining > 0) continue;
    part.output_row = static_cast<uint32_t>(output_rows_.size());
    for (uint32_t i = part.drafts + 1; i > 0; --i)
      output_rows_.push_back(static_cast<uint32_t>(tokens_.size()) - i);
  }
  return {tokens_, positions_, sequence_, views_, pool.view(), output_rows_};
}

}  // namespace localai::engine
