#include "runtime/cache_plan.h"

#include <algorithm>

namespace localai::runtime {
namespace {

bool is_in(const std::vector<Eviction>& evictions, const std::filesystem::path& path) {
  return std::any_of(evictions.begin(), evictions.end(),
                     [&](const Eviction& eviction) { return eviction.path == path; });
}

// Whether all that lives in `model` is among `gone`.
bool is_empty(const HeldModel& model, const std::vector<HeldModel>& held,
              const std::vector<Eviction>& gone) {
  return std::all_of(held.begin(), held.end(), [&](const HeldModel& other) {
    return other.host != model.path || is_in(gone, other.path);
  });
}

// Victims among those that may go at `at`; false when all of them together are not enough.
bool choose(const std::string& name, uint64_t to_free, TimePoint at,
            const std::vector<HeldModel>& held, const std::vector<const HeldModel*>& idle,
            std::vector<Eviction>& out) {
  out.clear();
  uint64_t freed = 0;
  const auto may_go = [&](const HeldModel* model) {
    return model->keep_until <= at && !is_in(out, model->path) && is_empty(*model, held, out);
  };
  while (freed < to_free) {
    // From the oldest on each time: what was chosen may have emptied its host.
    const auto next = std::find_if(idle.begin(), idle.end(), may_go);
    if (next == idle.end()) return false;
    const HeldModel& model = **next;
    out.push_back({model.path, model.name, model.bytes,
                   "least recently used, makes room for '" + name + "'"});
    freed += model.bytes;
  }
  return true;
}

}  // namespace

RoomPlan plan_room(const std::string& name, uint64_t bytes, uint64_t budget,
                   const std::vector<HeldModel>& held, TimePoint now) {
  RoomPlan plan;
  plan.at = now;
  uint64_t total = 0, pinned = 0;
  std::vector<const HeldModel*> idle;
  std::vector<TimePoint> times = {now};
  for (const HeldModel& model : held) {
    total += model.bytes;
    if (model.pinned) pinned += model.bytes;
    if (model.pinned || model.busy) continue;
    idle.push_back(&model);
    if (model.keep_until > now) times.push_back(model.keep_until);
  }
  if (bytes > budget || pinned > budget - bytes) {
    plan.outcome = RoomPlan::Outcome::kNever;
    return plan;
  }
  const uint64_t room = budget - bytes;
  const uint64_t to_free = total > room ? total - room : 0;
  std::sort(idle.begin(), idle.end(),
            [](const HeldModel* a, const HeldModel* b) { return a->last_use < b->last_use; });
  std::sort(times.begin(), times.end());
  for (const TimePoint at : times) {
    if (!choose(name, to_free, at, held, idle, plan.evict)) continue;
    plan.at = at;
    return plan;
  }
  plan.outcome = RoomPlan::Outcome::kBusy;
  plan.evict.clear();
  return plan;
}

}  // namespace localai::runtime
