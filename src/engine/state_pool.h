#pragma once
// The memory of all sequences of one engine: the KV pool (blocks, handed out by a BlockManager),
// one recurrent state per running sequence, and checkpoints of such states. Sized and allocated
// once. One thread.
#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "engine/block_manager.h"
#include "engine/checkpoint_cache.h"
#include "engine/page_region.h"
#include "models/model.h"

namespace localai::engine {

// How much state an engine keeps, worked out before anything is allocated.
struct StatePlan {
  DType kv_dtype = DType::kF16;
  uint64_t block_bytes = 0;
  uint32_t blocks = 0;
  uint64_t recurrent_bytes = 0;  // per slot and checkpoint
  uint32_t slots = 0;
  uint32_t checkpoints = 0;
  bool prefix_cache = false;

  [[nodiscard]] uint64_t kv_region_bytes() const {
    return PageRegion::rounded(blocks * block_bytes);
  }
  [[nodiscard]] uint64_t recurrent_region_bytes() const {
    return PageRegion::rounded((uint64_t{slots} + checkpoints) * recurrent_bytes);
  }
};

class StatePool {
 public:
  // Errors: kExhausted (no memory).
  static Result<StatePool> create(const StatePlan& plan);

  [[nodiscard]] BlockManager& blocks() { return blocks_; }
  [[nodiscard]] models::KvPoolView view() const;
  [[nodiscard]] uint64_t bytes() const { return kv_.bytes() + recurrent_.bytes(); }

  // A recurrent state, zeroed or as it was saved; as many as the plan has slots. 0 bytes: every
  // slot is null.
  uint32_t take_slot(std::optional<uint32_t> checkpoint = {});
  [[nodiscard]] bool recurrent() const { return plan_.recurrent_bytes != 0; }
  // Copies of slots, kept for prefixes.
  [[nodiscard]] CheckpointCache& checkpoints() { return checkpoints_; }
  void save(uint32_t slot, uint32_t checkpoint);
  // Sets a slot back to what was saved.
  void restore(uint32_t slot, uint32_t checkpoint);
  void give_slot(uint32_t slot) { free_slots_.push_back(slot); }
  [[nodiscard]] std::byte* slot_data(uint32_t slot) const;

  // Drops the blocks of a sequence whose numbers are suspect: out of the cache, and zeroed where
  // nobody else holds them.
  void discard(std::vector<uint32_t>& blocks);

 private:
  // Checkpoints follow the slots.
  [[nodiscard]] std::byte* checkpoint_data(uint32_t checkpoint) const {
    return recurrent_.data() + (uint64_t{plan_.slots} + checkpoint) * plan_.recurrent_bytes;
  }
  StatePool(const StatePlan& plan, PageRegion kv, PageRegion recurrent);

  StatePlan plan_;
  PageRegion kv_, recurrent_;
  BlockManager blocks_;
  CheckpointCache checkpoints_;
  std::vector<uint32_t> free_slots_;
};

}  // namespace localai::engine
