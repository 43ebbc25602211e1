#include "engine/state_pool.h"

#include <cstring>
#include <utility>

#include "base/check.h"

namespace localai::engine {

Result<StatePool> StatePool::create(const StatePlan& plan) {
  LAI_TRY(PageRegion kv, PageRegion::allocate(plan.blocks * plan.block_bytes, "KV cache"));
  LAI_TRY(PageRegion recurrent,
          PageRegion::allocate((uint64_t{plan.slots} + plan.checkpoints) * plan.recurrent_bytes,
                               "recurrent state"));
  return StatePool(plan, std::move(kv), std::move(recurrent));
}

StatePool::StatePool(const StatePlan& plan, PageRegion kv, PageRegion recurrent)
    : plan_(plan),
      kv_(std::move(kv)),
      recurrent_(std::move(recurrent)),
      blocks_(plan.blocks, plan.prefix_cache),
      checkpoints_(plan.checkpoints) {
  free_slots_.reserve(plan.slots);
  for (uint32_t slot = plan.slots; slot-- > 0;) free_slots_.push_back(slot);
}

models::KvPoolView StatePool::view() const {
  return {kv_.data(), plan_.block_bytes, plan_.kv_dtype};
}

uint32_t StatePool::take_slot(std::optional<uint32_t> checkpoint) {
  LAI_CHECK(!free_slots_.empty());
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  if (checkpoint)
    restore(slot, *checkpoint);
  else if (std::byte* data = slot_data(slot))
    std::memset(data, 0, plan_.recurrent_bytes);
  return slot;
}

void StatePool::save(uint32_t slot, uint32_t checkpoint) {
  std::memcpy(checkpoint_data(checkpoint), slot_data(slot), plan_.recurrent_bytes);
}

void StatePool::restore(uint32_t slot, uint32_t checkpoint) {
  std::memcpy(slot_data(slot), checkpoint_data(checkpoint), plan_.recurrent_bytes);
}

std::byte* StatePool::slot_data(uint32_t slot) const {
  return plan_.recurrent_bytes == 0 ? nullptr : recurrent_.data() + slot * plan_.recurrent_bytes;
}

void StatePool::discard(std::vector<uint32_t>& blocks) {
  for (const uint32_t block : blocks) {
    blocks_.forget(block);
    if (blocks_.references(block) == 1 && plan_.block_bytes != 0)
      std::memset(kv_.data() + block * plan_.block_bytes, 0, plan_.block_bytes);
  }
  blocks_.release(blocks);
}

}  // namespace localai::engine
