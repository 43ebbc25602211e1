#include "runtime/model_cache.h"

#include <algorithm>

#include "runtime/model_cache_core.h"

namespace localai::runtime {

void ModelCache::Core::touch(Entry& entry) {
  entry.last_use = ++uses;
  entry.last_used = options.now();
  entry.last_used_unix =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void ModelCache::Core::poke() {
  poked = true;
  wake.notify_one();
}

bool ModelCache::Core::is_ready(const std::filesystem::path& path) const {
  const std::lock_guard lock(mutex);
  const auto found = entries.find(path);
  return found != entries.end() && found->second->state == Entry::State::kReady;
}

bool ModelCache::Waiter::gave_up() const {
  if (!guest) return options.stop.stop_requested();
  return std::all_of(guest->waiters.begin(), guest->waiters.end(),
                     [](const Waiter& waiter) { return waiter.gave_up(); });
}

uint32_t ModelCache::Core::guests(const Entry& host) const {
  return static_cast<uint32_t>(
      std::count_if(entries.begin(), entries.end(), [&](const auto& known) {
        const Entry& guest = *known.second;
        return guest.state == Entry::State::kReady && guest.host &&
               guest.host->entry_.get() == &host;
      }));
}

std::vector<HeldModel> ModelCache::Core::held(const Entry* except) const {
  const auto host_of = [](const Entry& entry) {
    return entry.host ? entry.host->entry_->source.path : std::filesystem::path();
  };
  std::vector<std::filesystem::path> pinned_hosts;
  if (except != nullptr) pinned_hosts.push_back(host_of(*except));
  std::vector<HeldModel> out;
  for (const auto& [path, entry] : entries) {
    if (entry.get() == except || entry->state == Entry::State::kQueued) continue;
    HeldModel model;
    model.path = path;
    model.name = entry->source.name;
    model.bytes = entry->bytes;
    model.busy = entry->state == Entry::State::kLoading || entry->in_use > guests(*entry);
    model.pinned = entry->source.pin;
    model.last_use = entry->last_use;
    model.keep_until = entry->keep_until;
    model.host = host_of(*entry);
    if (model.pinned) pinned_hosts.push_back(model.host);
    out.push_back(std::move(model));
  }
  for (HeldModel& model : out)
    if (std::find(pinned_hosts.begin(), pinned_hosts.end(), model.path) != pinned_hosts.end())
      model.pinned = true;
  return out;
}

uint64_t ModelCache::Core::reserved_bytes() const {
  uint64_t bytes = leaving_bytes;
  for (const auto& [path, entry] : entries) bytes += entry->bytes;
  return bytes;
}

void ModelCache::Lease::release() {
  if (!core_) return;
  {
    const std::lock_guard lock(core_->mutex);
    --entry_->in_use;
    core_->touch(*entry_);
    if (!core_->queue.empty() || entry_->source.ttl_seconds > 0) core_->poke();
  }
  entry_.reset();
  core_.reset();
}

ModelCache::Lease& ModelCache::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  release();
  core_ = std::move(other.core_);
  entry_ = std::move(other.entry_);
  backend_ = std::exchange(other.backend_, nullptr);
  return *this;
}

ModelCache::Lease::~Lease() { release(); }

ModelCache::ModelCache(std::unique_ptr<ModelOpener> opener, CacheOptions options)
    : core_(std::make_shared<Core>()) {
  core_->options = std::move(options);
  loader_ = std::make_unique<Loader>(core_, std::move(opener));
}

ModelCache::~ModelCache() {
  {
    const std::lock_guard lock(core_->mutex);
    core_->stopping = true;
    core_->poke();
  }
  loader_->end();
  std::map<std::filesystem::path, Core::EntryPtr> entries;
  std::vector<Waiter> refused;
  std::deque<std::function<void()>> jobs;
  {
    const std::lock_guard lock(core_->mutex);
    entries.swap(core_->entries);
    jobs.swap(core_->jobs);
    for (auto& [path, entry] : entries)
      for (Waiter& waiter : entry->waiters) refused.push_back(std::move(waiter));
  }
  for (Waiter& waiter : refused) waiter.sink(cancelled("the server is stopping"));
  for (auto& job : jobs) job();  // they see that the cache is stopping
  // Joins; leases may drop meanwhile. Hosts go last.
  for (auto& [path, entry] : entries)
    if (std::exchange(entry->host, std::nullopt)) entry->backend.reset();
  for (auto& [path, entry] : entries) entry->backend.reset();
}

void ModelCache::acquire(const ModelSource& source, AcquireOptions options, LeaseSink sink) {
  acquire(core_, source, {std::move(options), std::move(sink)});
}

void ModelCache::acquire(const std::shared_ptr<Core>& core, const ModelSource& source,
                         Waiter waiter) {
  std::unique_lock lock(core->mutex);
  if (core->stopping) {
    lock.unlock();
    return waiter.sink(cancelled("the server is stopping"));
  }
  const auto found = core->entries.find(source.path);
  if (found != core->entries.end() && found->second->state == Entry::State::kReady) {
    const Core::EntryPtr entry = found->second;
    entry->source.pin = source.pin;  // as the config says now
    entry->source.ttl_seconds = source.ttl_seconds;
    ++entry->in_use;
    core->touch(*entry);
    Lease lease(core, entry, entry->backend.get());
    lock.unlock();
    return waiter.sink(std::move(lease));
  }
  if (found != core->entries.end()) {
    found->second->waiters.push_back(std::move(waiter));
    return core->poke();
  }
  const auto failed = core->failures.find(source.path);
  if (failed != core->failures.end() && core->options.now() < failed->second.retry_at) {
    Error failure = failed->second.error;
    lock.unlock();
    return waiter.sink(std::move(failure));
  }
  auto entry = std::make_shared<Entry>();
  entry->source = source;
  entry->waiters.push_back(std::move(waiter));
  core->entries.emplace(source.path, entry);
  core->queue.push_back(std::move(entry));
  core->poke();
}

void ModelCache::plan(const ModelSource& source, std::function<void(Result<LoadPlan>)> sink) {
  const std::lock_guard lock(core_->mutex);
  core_->jobs.emplace_back(
      [this, source, sink = std::move(sink)] { loader_->plan_job(source, sink); });
  core_->poke();
}

void ModelCache::unload(const std::filesystem::path& path,
                        std::function<void(Result<uint64_t>)> sink) {
  const std::lock_guard lock(core_->mutex);
  core_->jobs.emplace_back(
      [this, path, sink = std::move(sink)] { loader_->unload_job(path, sink); });
  core_->poke();
}

LoadedModels ModelCache::loaded() const {
  const std::lock_guard lock(core_->mutex);
  LoadedModels out;
  out.budget_bytes = core_->options.budget_bytes;
  out.bytes = core_->reserved_bytes();
  for (const auto& [path, entry] : core_->entries) {
    if (entry->state != Entry::State::kReady) continue;
    LoadedEntry line;
    line.id = entry->source.name;
    line.path = path.string();
    line.backend = entry->backend->kind();
    line.bytes = entry->bytes;
    line.in_use = entry->in_use;
    line.pinned = entry->source.pin;
    line.last_used_unix = entry->last_used_unix;
    line.predicted_bytes = entry->predicted->total();
    line.memory = entry->backend->memory();
    out.models.push_back(std::move(line));
  }
  std::sort(out.models.begin(), out.models.end(),
            [](const LoadedEntry& a, const LoadedEntry& b) { return a.id < b.id; });
  return out;
}

bool ModelCache::is_loaded(const std::filesystem::path& path) const {
  return core_->is_ready(path);
}

EventLog& ModelCache::events() { return core_->events; }

bool ModelCache::step() { return loader_->step(); }

}  // namespace localai::runtime
