#include "engine/state_cache.h"

#include <algorithm>

#include "base/check.h"

namespace localai::engine {

std::optional<uint32_t> StateCache::take() {
  std::optional<uint32_t> best;
  for (uint32_t i = 0; i < total(); ++i) {  // a free one has never been used: last_use 0
    if (places_[i].held) continue;
    if (!best || places_[i].last_use < places_[*best].last_use) best = i;
  }
  if (best) places_[*best] = {.held = true};
  return best;
}

void StateCache::file(uint32_t place, uint64_t serial) {
  LAI_DCHECK(places_[place].held);
  if (serial == 0 || find(serial)) return free(place);
  places_[place] = {.serial = serial, .last_use = ++clock_};
}

std::optional<uint32_t> StateCache::find(uint64_t serial) {
  if (serial == 0) return std::nullopt;
  for (uint32_t i = 0; i < total(); ++i) {
    if (places_[i].serial != serial) continue;
    places_[i].last_use = ++clock_;
    return i;
  }
  return std::nullopt;
}

uint32_t StateCache::held() const {
  return static_cast<uint32_t>(
      std::count_if(places_.begin(), places_.end(), [](const Place& p) { return p.held; }));
}

uint32_t StateCache::filed() const {
  return static_cast<uint32_t>(
      std::count_if(places_.begin(), places_.end(), [](const Place& p) { return p.serial != 0; }));
}

}  // namespace localai::engine
