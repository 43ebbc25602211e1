#pragma once
// The memory of all sequences of one engine: the KV pool (blocks, handed out by a BlockManager) and
// recurrent states, of running sequences and of prefixes (handed out by a StateCache). Sized and
// allocated once. One thread.
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/page_region.h"
#include "base/result.h"
#include "engine/block_manager.h"
#include "engine/state_cache.h"
#include "models/model.h"

namespace localai::engine {

// How much state an engine keeps, worked out before anything is allocated.
struct StatePlan {
  DType kv_dtype = DType::kF16;
  uint64_t block_bytes = 0;
  uint32_t blocks = 0;
  uint64_t recurrent_bytes = 0;  // of one state
  uint32_t states = 0;           // of running sequences and checkpoints
  uint32_t running = 0;          // sequences that may run at once
  bool prefix_cache = false;

  [[nodiscard]] uint64_t kv_region_bytes() const {
    return PageRegion::rounded(blocks * block_bytes);
  }
  [[nodiscard]] uint64_t recurrent_region_bytes() const {
    return PageRegion::rounded(states * recurrent_bytes);
  }
};

class StatePool {
 public:
  // Errors: kExhausted (no memory).
  static Result<StatePool> create(const StatePlan& plan);

  [[nodiscard]] BlockManager& blocks() { return blocks_; }
  [[nodiscard]] models::KvPoolView view() const;
  [[nodiscard]] std::span<std::byte> block(uint32_t index) const {
    return {kv_.data() + index * plan_.block_bytes, plan_.block_bytes};
  }
  [[nodiscard]] uint64_t bytes() const { return kv_.bytes() + recurrent_.bytes(); }
  // As PageRegion::populate().
  bool populate(uint64_t bytes) { return kv_.populate(bytes) || recurrent_.populate(bytes); }

  [[nodiscard]] bool recurrent() const { return plan_.recurrent_bytes != 0; }
  // Places of recurrent states; none in a pool without.
  [[nodiscard]] StateCache& states() { return states_; }
  // Makes the state in `place` that of the empty sequence, or a copy of another place's.
  void start(uint32_t place, std::optional<uint32_t> from);
  [[nodiscard]] std::byte* state(uint32_t place) const {
    return recurrent_.data() + place * plan_.recurrent_bytes;
  }

  // Drops the blocks of a sequence whose numbers are suspect: out of the cache, and zeroed where
  // nobody else holds them.
  void discard(std::vector<uint32_t>& blocks);

 private:
  StatePool(const StatePlan& plan, PageRegion kv, PageRegion recurrent);

  StatePlan plan_;
  PageRegion kv_, recurrent_;
  BlockManager blocks_;
  StateCache states_;
};

}  // namespace localai::engine
