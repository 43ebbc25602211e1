#include "engine/state_pool.h"

#include <cstring>
#include <utility>

#include "base/check.h"

namespace localai::engine {

Result<StatePool> StatePool::create(const StatePlan& plan) {
  LAI_TRY(PageRegion kv, PageRegion::reserve(plan.blocks * plan.block_bytes, "KV cache"));
  LAI_TRY(PageRegion recurrent,
          PageRegion::reserve(plan.states * plan.recurrent_bytes, "recurrent state"));
  return StatePool(plan, std::move(kv), std::move(recurrent));
}

StatePool::StatePool(const StatePlan& plan, PageRegion kv, PageRegion recurrent)
    : plan_(plan),
      kv_(std::move(kv)),
      recurrent_(std::move(recurrent)),
      blocks_(plan.blocks, plan.prefix_cache),
      states_(plan.states) {}

models::KvPoolView StatePool::view() const {
  return {kv_.data(), plan_.block_bytes, plan_.kv_dtype};
}

void StatePool::start(uint32_t place, std::optional<uint32_t> from) {
  if (!from)
    std::memset(state(place), 0, plan_.recurrent_bytes);
  else if (*from != place)
    std::memcpy(state(place), state(*from), plan_.recurrent_bytes);
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
