#pragma once
// What the next forward pass computes: first how many rows of which sequence, then the arrays that
// models::Step views. One thread; its memory is kept from step to step.
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/sequence.h"
#include "engine/state_pool.h"
#include "models/model.h"

namespace localai::engine {

// Rows [first, first + rows) of `tokens`, from sequence->computed on.
struct StepPart {
  Sequence* sequence = nullptr;
  uint32_t rows = 0;
  uint32_t remaining = 0;              // pending tokens after this step; 0: what follows is sampled
  uint32_t drafts = 0;                 // rows of sequence->draft among them, the last ones
  uint32_t output_row = ~uint32_t{0};  // when sampled: its row in the logits, the drafts' follow
  uint32_t limit = ~uint32_t{0};       // of rows
};

class StepBuilder {
 public:
  explicit StepBuilder(uint32_t prefill_chunk) : prefill_chunk_(prefill_chunk) {}

  // Shares out one step over the running sequences (oldest first): the row of each that has one
  // pending, and up to prefill_chunk rows of prompts. Half of those belong to the oldest prompt, so
  // that it always advances; the other half goes to the prompts with the least left, so that a
  // short one need not wait behind a long one; what is left over, to the oldest again.
  std::span<StepPart> plan(std::span<const std::unique_ptr<Sequence>> running);
  // Takes a sequence out of the plan.
  void remove(const Sequence* sequence);

  // Fills the arrays. The view is valid until the next plan().
  models::Step build(const StatePool& pool);
  [[nodiscard]] std::span<StepPart> parts() { return parts_; }

 private:
  void share_prefill();

  uint32_t prefill_chunk_;
  std::vector<StepPart> parts_;
  std::vector<StepPart*> prompts_;
  std::vector<int32_t> tokens_;
  std::vector<uint32_t> positions_, sequence_, output_rows_;
  std::vector<models::SequenceView> views_;
};

}  // namespace localai::engine
