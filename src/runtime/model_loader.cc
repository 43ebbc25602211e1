// The cache's thread: its loop, loads from the queue, and who is told of their ends.
#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "base/log.h"
#include "runtime/model_cache_core.h"

namespace localai::runtime {
namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;

// How often the loader looks whether somebody who waits for room has gone.
constexpr std::chrono::milliseconds kPoll{50};

// A library's exception (std::bad_alloc first of all) fails this model, not the process.
template <class Work>
auto guarded(const ModelSource& source, const char* doing, Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return exhausted("model '" + source.name + "': out of memory while " + doing);
  } catch (const std::exception& error) {
    return Error{Code::kInternal, "model '" + source.name + "': " + error.what()};
  }
}

}  // namespace

ModelCache::Loader::Loader(std::shared_ptr<Core> shared, std::unique_ptr<ModelOpener> how)
    : core_(std::move(shared)), opener_(std::move(how)) {
  if (core_->options.own_thread) thread_ = std::thread([this] { run(); });
}

void ModelCache::Loader::end() {
  if (thread_.joinable()) thread_.join();
}

void ModelCache::Loader::run() {
  std::unique_lock lock(core_->mutex);
  while (!core_->stopping) {
    core_->poked = false;
    lock.unlock();
    const bool worked = step();
    lock.lock();
    if (worked) continue;
    const auto changed = [this] { return core_->poked || core_->stopping; };
    if (const auto next = next_time())
      core_->wake.wait_for(lock, *next - core_->options.now(), changed);
    else
      core_->wake.wait(lock, changed);
  }
}

bool ModelCache::Loader::step() {
  return answer_expired() || run_job() || unload_expired() || load_next();
}

// When there may be work although nobody pokes: somebody's deadline or cancellation, the end of a
// model's first stay, the end of its ttl.
std::optional<TimePoint> ModelCache::Loader::next_time() const {
  std::optional<TimePoint> next;
  if (!core_->queue.empty()) next = core_->options.now() + kPoll;
  for (const auto& [path, entry] : core_->entries) {
    if (entry->state != Entry::State::kReady || entry->in_use > 0) continue;
    if (entry->source.ttl_seconds == 0 || entry->source.pin) continue;
    const TimePoint end = entry->last_used + std::chrono::seconds(entry->source.ttl_seconds);
    next = next ? std::min(*next, end) : end;
  }
  return next;
}

// Waiters who gave up, or whose deadline has passed while there is no room; an entry that nobody
// waits for any more leaves the queue.
bool ModelCache::Loader::answer_expired() {
  std::vector<std::pair<Waiter, Error>> out;
  std::vector<EntryPtr> gone;
  {
    const std::lock_guard lock(core_->mutex);
    const TimePoint now = core_->options.now();
    for (const EntryPtr& entry : core_->queue) {
      std::vector<Waiter> still;
      for (Waiter& waiter : entry->waiters) {
        const bool late = waiter.options.deadline && *waiter.options.deadline <= now;
        if (waiter.gave_up()) {
          out.emplace_back(std::move(waiter),
                           cancelled("the request was given up while it waited"));
        } else if (const Entry* blocked = without_room(*entry); late && blocked != nullptr) {
          Error error = over_budget(blocked, blocked->source.name, blocked->predicted->total());
          out.emplace_back(std::move(waiter),
                           unavailable(std::string(kNoRoomInTime) + error.message));
        } else {
          still.push_back(std::move(waiter));
        }
      }
      entry->waiters.swap(still);
      if (!entry->waiters.empty()) continue;
      core_->entries.erase(entry->source.path);
      gone.push_back(entry);
    }
    std::erase_if(core_->queue, [](const EntryPtr& entry) { return entry->waiters.empty(); });
  }
  for (const EntryPtr& entry : gone) entry->host.reset();
  for (auto& [waiter, error] : out) waiter.sink(std::move(error));
  return !out.empty();
}

// Which of an entry and the host that it waits for does not fit now; null: neither.
const ModelCache::Entry* ModelCache::Loader::without_room(const Entry& entry) const {
  if (entry.waits_for_room) return &entry;
  const auto host = core_->entries.find(entry.waits_for);
  return host != core_->entries.end() && host->second->waits_for_room ? host->second.get()
                                                                      : nullptr;
}

bool ModelCache::Loader::run_job() {
  std::function<void()> job;
  {
    const std::lock_guard lock(core_->mutex);
    if (core_->jobs.empty()) return false;
    job = std::move(core_->jobs.front());
    core_->jobs.pop_front();
  }
  job();
  return true;
}

bool ModelCache::Loader::unload_expired() {
  std::vector<Eviction> expired;
  std::vector<EntryPtr> victims;
  {
    const std::lock_guard lock(core_->mutex);
    const TimePoint now = core_->options.now();
    for (const auto& [path, entry] : core_->entries) {
      const uint32_t ttl = entry->source.ttl_seconds;
      if (entry->state != Entry::State::kReady || entry->in_use > 0 || entry->source.pin ||
          ttl == 0 || entry->last_used + std::chrono::seconds(ttl) > now)
        continue;
      expired.push_back({path, entry->source.name, entry->bytes,
                         fmt::format("not used for ttl_seconds ({})", ttl)});
    }
    victims = take_out(expired);
  }
  destroy(std::move(victims), expired, "unloaded");
  return !expired.empty();
}

// The first in the queue that can be loaded now. A step: reading one model's headers, or one load.
bool ModelCache::Loader::load_next() {
  EntryPtr entry;
  RoomPlan plan;
  std::vector<EntryPtr> victims, waiting;
  Error refusal{Code::kInternal, ""};
  {
    const std::lock_guard lock(core_->mutex);
    entry = next_in_queue(plan, waiting);
    if (entry && entry->predicted) {
      std::erase(core_->queue, entry);
      if (plan.outcome == RoomPlan::Outcome::kNever) {
        refusal = over_budget(entry.get(), entry->source.name, entry->predicted->total());
      } else {
        entry->state = Entry::State::kLoading;
        victims = take_out(plan.evict);
      }
    }
  }
  for (const EntryPtr& other : waiting)
    tell(*other, "model '" + other->source.name + "' waits for room");
  if (!entry) return !waiting.empty();
  if (!entry->predicted)
    look_at(entry);
  else if (plan.outcome == RoomPlan::Outcome::kNever)
    fail(entry, std::move(refusal));
  else
    carry_out(entry, plan.evict, std::move(victims));
  return true;
}

// The first whose headers are not read yet, or that fits now (with its plan) or never will.
// `waiting` gets those before it that begin to wait for room.
ModelCache::Loader::EntryPtr ModelCache::Loader::next_in_queue(RoomPlan& plan,
                                                               std::vector<EntryPtr>& waiting) {
  const TimePoint now = core_->options.now();
  for (const EntryPtr& queued : core_->queue) {
    if (!queued->waits_for.empty()) continue;
    if (!queued->predicted) return queued;
    plan = plan_room(queued->source.name, queued->predicted->total(), core_->options.budget_bytes,
                     core_->held(queued.get()), now);
    if (plan.outcome == RoomPlan::Outcome::kNever) return queued;
    if (plan.outcome == RoomPlan::Outcome::kFits && plan.at <= now) return queued;
    if (!std::exchange(queued->waits_for_room, true)) waiting.push_back(queued);
  }
  return nullptr;
}

// First what must be there before it, then what it needs itself.
void ModelCache::Loader::look_at(const EntryPtr& entry) {
  if (!entry->knows_host) find_host(entry);
  if (entry->knows_host) predict(entry);
}

void ModelCache::Loader::find_host(const EntryPtr& entry) {
  Result<std::optional<ModelSource>> host = guarded_host(entry->source);
  if (!host.ok()) return host_answered(entry, std::move(host.error()));
  {
    const std::lock_guard lock(core_->mutex);
    entry->knows_host = !*host;
    if (*host) entry->waits_for = (*host)->path;
  }
  if (!*host) return;
  Waiter waiter;
  waiter.guest = entry;
  waiter.options.progress = [this, entry](const std::string& line) { tell(*entry, line); };
  waiter.sink = [this, entry](Result<Lease> lease) { host_answered(entry, std::move(lease)); };
  ModelCache::acquire(core_, **host, std::move(waiter));
}

void ModelCache::Loader::host_answered(const EntryPtr& entry, Result<Lease> host) {
  {
    const std::lock_guard lock(core_->mutex);
    entry->waits_for.clear();
    const auto found = core_->entries.find(entry->source.path);
    if (found == core_->entries.end() || found->second != entry) return;  // nobody waits any more
    entry->knows_host = host.ok();
    if (host.ok()) {
      entry->host.emplace(std::move(*host));
      return;
    }
    std::erase(core_->queue, entry);
  }
  fail(entry, std::move(host.error()));
}

void ModelCache::Loader::predict(const EntryPtr& entry) {
  Result<engine::EngineMemory> needed = guarded_predict(entry->source);
  if (!needed.ok()) {
    {
      const std::lock_guard lock(core_->mutex);
      std::erase(core_->queue, entry);
    }
    return fail(entry, std::move(needed.error()));
  }
  {
    const std::lock_guard lock(core_->mutex);
    entry->predicted = *needed;
  }
  tell(*entry, "model '" + entry->source.name + "' needs " + mib(needed->total()));
}

Result<engine::EngineMemory> ModelCache::Loader::guarded_predict(const ModelSource& source) {
  return guarded(source, "reading its headers", [&] { return opener_->predict(source); });
}

Result<std::unique_ptr<Backend>> ModelCache::Loader::guarded_load(const EntryPtr& entry) {
  return guarded(entry->source, "loading", [&] {
    return opener_->load(entry->source, [this, entry] { return wanted(*entry); });
  });
}

Result<std::optional<ModelSource>> ModelCache::Loader::guarded_host(const ModelSource& source) {
  return guarded(source, "looking for what it needs",
                 [&]() -> Result<std::optional<ModelSource>> { return opener_->host_of(source); });
}

bool ModelCache::Loader::wanted(const Entry& entry) const {
  const std::lock_guard lock(core_->mutex);
  return !core_->stopping && std::any_of(entry.waiters.begin(), entry.waiters.end(),
                                         [](const Waiter& w) { return !w.gave_up(); });
}

// The plan, step by step: victims go, their bytes are free, then the load begins.
void ModelCache::Loader::carry_out(const EntryPtr& entry, const std::vector<Eviction>& evict,
                                   std::vector<EntryPtr> victims) {
  const ModelSource& source = entry->source;
  const uint64_t bytes = entry->predicted->total();
  core_->events.add({.type = "load_started",
                     .model = source.name,
                     .path = source.path.string(),
                     .bytes = bytes,
                     .evict = evict});
  destroy(std::move(victims), evict, "evicted");
  {
    const std::lock_guard lock(core_->mutex);
    entry->bytes = bytes;
  }
  tell(*entry, "loading model '" + source.name + "' (" + mib(bytes) + ")");
  const TimePoint begin = core_->options.now();
  Result<std::unique_ptr<Backend>> backend = guarded_load(entry);
  if (!backend.ok()) return fail(entry, std::move(backend.error()));
  if (const uint64_t took = (*backend)->memory().total(); took > bytes) {
    if (Status grown = grow(*entry, took); !grown.ok()) {
      backend->reset();
      return fail(entry, std::move(grown.error()));
    }
  }
  publish(entry, std::move(*backend), begin);
}

// The load took more than was predicted.
Status ModelCache::Loader::grow(Entry& entry, uint64_t bytes) {
  log::warn("model '{}' took {} where {} were predicted", entry.source.name, mib(bytes),
            mib(entry.bytes));
  RoomPlan plan;
  std::vector<EntryPtr> victims;
  {
    const std::lock_guard lock(core_->mutex);
    const TimePoint now = core_->options.now();
    plan =
        plan_room(entry.source.name, bytes, core_->options.budget_bytes, core_->held(&entry), now);
    if (plan.outcome != RoomPlan::Outcome::kFits || plan.at > now)
      return over_budget(&entry, entry.source.name, bytes);
    victims = take_out(plan.evict);
  }
  destroy(std::move(victims), plan.evict, "evicted");
  const std::lock_guard lock(core_->mutex);
  entry.bytes = bytes;
  return Ok{};
}

void ModelCache::Loader::fail(const EntryPtr& entry, Error error) {
  std::vector<Waiter> waiters;
  {
    const std::lock_guard lock(core_->mutex);
    waiters.swap(entry->waiters);
    entry->bytes = 0;
    core_->entries.erase(entry->source.path);
    remember(*entry, error);
  }
  entry->host.reset();
  log::info("load of {} failed: {}", entry->source.name, error.message);
  core_->events.add({.type = "load_failed",
                     .model = entry->source.name,
                     .path = entry->source.path.string(),
                     .reason = error.message});
  for (Waiter& waiter : waiters) waiter.sink(error);
}

// What says nothing about the file (no room, given up, a service that is down) is not remembered.
void ModelCache::Loader::remember(const Entry& entry, const Error& error) {
  if (error.code == Code::kCancelled || error.code == Code::kExhausted ||
      error.code == Code::kUnavailable)
    return;
  const CacheOptions& options = core_->options;
  Core::Failure& failure = core_->failures[entry.source.path];
  const uint32_t doublings = std::min(failure.count, 16u);
  const auto wait = std::min<std::chrono::milliseconds>(options.cooldown * (1u << doublings),
                                                        options.cooldown_max);
  failure.error = error;
  ++failure.count;
  failure.retry_at = options.now() + wait;
}

// Every waiter's lease is counted in the section that makes the model visible, so that it cannot be
// unloaded between being ready and its first request.
void ModelCache::Loader::publish(const EntryPtr& entry, std::unique_ptr<Backend> backend,
                                 TimePoint begin) {
  std::vector<Waiter> waiters;
  const TimePoint now = core_->options.now();
  const Milliseconds took = now - begin;
  uint64_t bytes = 0;
  {
    const std::lock_guard lock(core_->mutex);
    waiters.swap(entry->waiters);
    entry->backend = std::move(backend);
    entry->state = Entry::State::kReady;
    entry->in_use = static_cast<uint32_t>(waiters.size());
    const auto stay = std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::min<Milliseconds>(took * core_->options.stay_factor, core_->options.stay_max));
    entry->keep_until = now + stay;
    core_->failures.erase(entry->source.path);
    core_->load_ms[entry->source.path] = took.count();
    core_->touch(*entry);
    bytes = entry->bytes;
  }
  log::info("loaded {} ({}) in {:.0f} ms", entry->source.name, mib(bytes), took.count());
  core_->events.add({.type = "load_finished",
                     .model = entry->source.name,
                     .path = entry->source.path.string(),
                     .bytes = bytes,
                     .load_ms = took.count()});
  for (Waiter& waiter : waiters) {
    Lease lease(core_, entry, entry->backend.get());
    if (waiter.options.stop.stop_requested())
      waiter.sink(cancelled("the request was given up while its model was loading"));
    else
      waiter.sink(std::move(lease));
  }
}

void ModelCache::Loader::tell(const Entry& entry, const std::string& line) const {
  std::vector<std::function<void(const std::string&)>> told;
  {
    const std::lock_guard lock(core_->mutex);
    for (const Waiter& waiter : entry.waiters)
      if (waiter.options.progress) told.push_back(waiter.options.progress);
  }
  for (const auto& progress : told) progress(line);
}

}  // namespace localai::runtime
