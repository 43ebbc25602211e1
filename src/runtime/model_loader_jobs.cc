// The cache's thread: plans, what leaves memory, and what a refusal says.
#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/process_memory.h"
#include "runtime/model_cache_core.h"

namespace localai::runtime {
namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;

// Of a model that was not loaded before; a guess, until there is a measurement.
constexpr double kLoadBytesPerMs = 1e6;

}  // namespace

std::string mib(uint64_t bytes) { return std::to_string((bytes + (1u << 20) - 1) >> 20) + " MiB"; }

// Nobody finds them any more; their bytes count until they are destroyed. Guests come before their
// hosts, which nobody else uses.
std::vector<ModelCache::Loader::EntryPtr> ModelCache::Loader::take_out(
    const std::vector<Eviction>& evict) {
  std::vector<EntryPtr> victims;
  for (const Eviction& eviction : evict) {
    const auto found = core_->entries.find(eviction.path);
    LAI_CHECK(found != core_->entries.end());
    const auto guests = std::count_if(victims.begin(), victims.end(), [&](const EntryPtr& guest) {
      return guest->host && guest->host->entry_ == found->second;
    });
    LAI_CHECK(found->second->in_use == guests);
    core_->leaving_bytes += found->second->bytes;
    victims.push_back(std::move(found->second));
    core_->entries.erase(found);
  }
  return victims;
}

void ModelCache::Loader::destroy(std::vector<EntryPtr> victims, const std::vector<Eviction>& evict,
                                 const char* type) {
  for (size_t i = 0; i < victims.size(); ++i) {
    victims[i]->backend.reset();  // joins its threads
    victims[i]->host.reset();
    return_free_memory();
    {
      const std::lock_guard lock(core_->mutex);
      core_->leaving_bytes -= victims[i]->bytes;
    }
    log::info("{} {} ({}): {}", type, evict[i].id, mib(evict[i].bytes), evict[i].reason);
    core_->events.add({.type = type,
                       .model = evict[i].id,
                       .path = evict[i].path.string(),
                       .bytes = evict[i].bytes,
                       .reason = evict[i].reason});
  }
}

Error ModelCache::Loader::over_budget(const Entry* entry, const std::string& name,
                                      uint64_t bytes) const {
  std::string message = "model '" + name + "' needs " + mib(bytes) + ", the budget is " +
                        mib(core_->options.budget_bytes) + " (MODEL_CACHE_MAX_MEMORY_MB)";
  std::string held;
  for (const auto& [path, other] : core_->entries) {
    if (other.get() == entry || other->bytes == 0) continue;
    held += (held.empty() ? "; loaded: " : ", ") + other->source.name + " " + mib(other->bytes);
    if (other->in_use > 0)
      held += " (in use)";
    else if (other->source.pin)
      held += " (pinned)";
  }
  return exhausted(message + (held.empty() ? "; nothing else is loaded" : held));
}

void ModelCache::Loader::plan_job(const ModelSource& source,
                                  std::function<void(Result<LoadPlan>)> sink) {
  LoadPlan plan;
  plan.model = source.name;
  std::optional<Error> failed;
  {
    const std::lock_guard lock(core_->mutex);
    const auto found = core_->entries.find(source.path);
    plan.loaded = found != core_->entries.end() && found->second->state == Entry::State::kReady;
    if (plan.loaded) plan.bytes = found->second->bytes;
    const auto failure = core_->failures.find(source.path);
    if (failure != core_->failures.end() && core_->options.now() < failure->second.retry_at)
      failed = failure->second.error;
    if (core_->stopping) failed = cancelled("the server is stopping");
  }
  plan.fits = plan.loaded;
  if (plan.loaded) return sink(std::move(plan));
  if (failed) return sink(std::move(*failed));
  auto host = guarded_host(source);
  if (!host.ok()) return sink(std::move(host.error()));
  if (*host && !core_->is_ready((*host)->path))
    return plan_in_host(source, **host, std::move(sink));
  Result<engine::EngineMemory> needed = guarded_predict(source);
  if (!needed.ok()) return sink(std::move(needed.error()));
  sink(plan_of(source, *needed, *host ? (*host)->path : ""));
}

// The plan is made again once the host is there, which stays as long.
void ModelCache::Loader::plan_in_host(const ModelSource& source, const ModelSource& host,
                                      std::function<void(Result<LoadPlan>)> sink) {
  Waiter waiter;
  waiter.options.deadline = core_->options.now();  // a plan does not wait for room
  waiter.sink = [this, source, sink = std::move(sink)](Result<Lease> lease) {
    if (!lease.ok()) return sink(std::move(lease.error()));
    const auto held = std::make_shared<std::optional<Lease>>(std::move(*lease));
    const std::lock_guard lock(core_->mutex);
    core_->jobs.emplace_back([this, source, sink, held] {
      plan_job(source, [&](Result<LoadPlan> plan) {
        held->reset();  // before anybody can act on the plan
        sink(std::move(plan));
      });
    });
    core_->poke();
  };
  ModelCache::acquire(core_, host, std::move(waiter));
}

LoadPlan ModelCache::Loader::plan_of(const ModelSource& source, const engine::EngineMemory& needed,
                                     const std::filesystem::path& host) {
  LoadPlan plan;
  plan.model = source.name;
  plan.bytes = needed.total();
  const std::lock_guard lock(core_->mutex);
  const TimePoint now = core_->options.now();
  std::vector<HeldModel> held = core_->held(nullptr);
  for (HeldModel& model : held)
    if (model.path == host) model.pinned = true;
  RoomPlan room = plan_room(source.name, plan.bytes, core_->options.budget_bytes, held, now);
  plan.fits = room.outcome == RoomPlan::Outcome::kFits;
  if (!plan.fits) plan.reason = over_budget(nullptr, source.name, plan.bytes).message;
  plan.evict = std::move(room.evict);
  plan.wait_ms = Milliseconds(room.at - now).count();
  plan.eta_ms = plan.wait_ms + load_estimate_ms(source, plan.bytes);
  return plan;
}

double ModelCache::Loader::load_estimate_ms(const ModelSource& source, uint64_t bytes) const {
  const auto known = core_->load_ms.find(source.path);
  return known != core_->load_ms.end() ? known->second
                                       : static_cast<double>(bytes) / kLoadBytesPerMs;
}

void ModelCache::Loader::unload_job(const std::filesystem::path& path,
                                    const std::function<void(Result<uint64_t>)>& sink) {
  std::vector<Eviction> evict;
  std::vector<EntryPtr> victims;
  std::optional<Error> refusal;
  {
    const std::lock_guard lock(core_->mutex);
    const auto found = core_->entries.find(path);
    if (core_->stopping) {
      refusal = cancelled("the server is stopping");
    } else if (found != core_->entries.end()) {
      const Entry& entry = *found->second;
      if (entry.state != Entry::State::kReady || entry.in_use > 0) {
        refusal = unavailable(fmt::format("model '{}' is {}", entry.source.name,
                                          entry.in_use > 0 ? "in use" : "being loaded"));
      } else {
        evict.push_back({path, entry.source.name, entry.bytes, "asked for"});
        victims = take_out(evict);
      }
    }
  }
  if (refusal) return sink(std::move(*refusal));
  destroy(std::move(victims), evict, "unloaded");
  sink(evict.empty() ? uint64_t{0} : evict.front().bytes);
}

}  // namespace localai::runtime
