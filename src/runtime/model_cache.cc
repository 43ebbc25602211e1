#include "runtime/model_cache.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "base/log.h"

namespace localai::runtime {

struct ModelCache::Waiter {
  std::stop_token stop;
  LeaseSink sink;
};

struct ModelCache::Entry {
  enum class State : uint8_t { kLoading, kReady, kFailed };
  ModelSource source;
  State state = State::kLoading;
  std::unique_ptr<Backend> backend;  // kReady
  uint64_t bytes = 0;                // reserved while loading, held when ready
  uint32_t in_use = 0;
  uint64_t last_use = 0;  // rank, for LRU
  double last_used_unix = 0;
  std::vector<Waiter> waiters;  // kLoading
  Error failure{Code::kInternal, ""};
  uint32_t failures = 0;
  std::chrono::steady_clock::time_point retry_at;
};

struct ModelCache::Core {
  mutable std::mutex mutex;
  std::condition_variable wake;
  std::map<std::filesystem::path, std::shared_ptr<Entry>> entries;
  std::deque<std::shared_ptr<Entry>> queue;  // to load, in order of request
  CacheOptions options;
  uint64_t uses = 0;
  bool stopping = false;

  void touch(Entry& entry) {
    entry.last_use = ++uses;
    entry.last_used_unix =
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  }
};

namespace {

std::string mib(uint64_t bytes) { return std::to_string((bytes + (1u << 20) - 1) >> 20) + " MiB"; }

}  // namespace

void ModelCache::Lease::release() {
  if (!core_) return;
  {
    const std::lock_guard lock(core_->mutex);
    --entry_->in_use;
    core_->touch(*entry_);
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

// The cache's thread: takes entries from the queue and brings them in, one after the other.
struct ModelCache::Loader {
  Loader(std::shared_ptr<Core> shared, std::unique_ptr<ModelOpener> how)
      : core(std::move(shared)), opener(std::move(how)), thread([this] { run(); }) {}

  void run() {
    while (true) {
      std::shared_ptr<Entry> entry;
      {
        std::unique_lock lock(core->mutex);
        core->wake.wait(lock, [&] { return core->stopping || !core->queue.empty(); });
        if (core->stopping) return;
        entry = std::move(core->queue.front());
        core->queue.pop_front();
      }
      finish(entry, guarded_load(entry));
    }
  }

  // A library's exception (std::bad_alloc first of all) fails this load, not the process.
  Result<std::unique_ptr<Backend>> guarded_load(const std::shared_ptr<Entry>& entry) {
    try {
      return load(entry);
    } catch (const std::bad_alloc&) {
      return exhausted("model '" + entry->source.name + "': out of memory while loading");
    } catch (const std::exception& error) {
      return Error{Code::kInternal, "model '" + entry->source.name + "': " + error.what()};
    }
  }

  Result<std::unique_ptr<Backend>> load(const std::shared_ptr<Entry>& entry) {
    const ModelSource& source = entry->source;  // not changed after it was queued
    LAI_TRY_STATUS(check_wanted(*entry));
    LAI_TRY(const uint64_t weights, opener->weight_bytes(source));
    LAI_TRY_STATUS(reserve(*entry, weights, " for its weights alone"));
    LAI_TRY(auto prepared, opener->open(source));
    LAI_TRY_STATUS(check_wanted(*entry));
    LAI_TRY_STATUS(reserve(*entry, prepared->bytes()));
    const auto begin = std::chrono::steady_clock::now();
    LAI_TRY(auto backend, prepared->start());
    LAI_TRY_STATUS(reserve(*entry, backend->memory_bytes()));  // what it really took
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    log::info("loaded {} ({}), started in {:.0f} ms", source.name, mib(backend->memory_bytes()),
              took.count());
    return backend;
  }

  Status check_wanted(const Entry& entry) {
    const std::lock_guard lock(core->mutex);
    const bool wanted =
        !core->stopping && std::any_of(entry.waiters.begin(), entry.waiters.end(),
                                       [](const Waiter& w) { return !w.stop.stop_requested(); });
    if (wanted) return Ok{};
    return cancelled("model '" + entry.source.name + "': nobody waits for it any more");
  }

  // Sets the entry's share of the budget to `bytes`, unloading idle models if that makes it fit.
  // `what` says in a refusal what the bytes are for.
  Status reserve(Entry& entry, uint64_t bytes, std::string_view what = "") {
    std::vector<std::shared_ptr<Entry>> victims;
    {
      const std::lock_guard lock(core->mutex);
      LAI_TRY(victims, plan(entry, bytes, what));
      for (const auto& victim : victims) core->entries.erase(victim->source.path);
    }
    for (auto& victim : victims) {
      log::info("unloading {} ({}) for {}", victim->source.name, mib(victim->bytes),
                entry.source.name);
      victim->backend.reset();
    }
    const std::lock_guard lock(core->mutex);
    entry.bytes = bytes;
    return Ok{};
  }

  // Whom to unload, least recently used first; nobody when it does not fit even so.
  Result<std::vector<std::shared_ptr<Entry>>> plan(const Entry& entry, uint64_t bytes,
                                                   std::string_view what) {
    const uint64_t budget = core->options.budget_bytes;
    uint64_t others = 0;
    std::vector<std::shared_ptr<Entry>> idle;
    for (const auto& [path, other] : core->entries) {
      if (other.get() == &entry) continue;
      others += other->bytes;
      if (other->state == Entry::State::kReady && other->in_use == 0 && !other->source.pin)
        idle.push_back(other);
    }
    std::sort(idle.begin(), idle.end(),
              [](const auto& a, const auto& b) { return a->last_use < b->last_use; });
    std::vector<std::shared_ptr<Entry>> victims;
    for (const auto& candidate : idle) {
      if (bytes <= budget && others <= budget - bytes) break;
      victims.push_back(candidate);
      others -= candidate->bytes;
    }
    if (bytes > budget || others > budget - bytes) return over_budget(entry, bytes, what);
    return victims;
  }

  Error over_budget(const Entry& entry, uint64_t bytes, std::string_view what) {
    std::string message = "model '" + entry.source.name + "' needs " + mib(bytes) +
                          std::string(what) + ", the budget is " + mib(core->options.budget_bytes) +
                          " (MODEL_CACHE_MAX_MEMORY_MB)";
    std::string held;
    for (const auto& [path, other] : core->entries) {
      if (other.get() == &entry || other->bytes == 0) continue;
      held += (held.empty() ? "; loaded: " : ", ") + other->source.name + " " + mib(other->bytes);
      if (other->in_use > 0)
        held += " (in use)";
      else if (other->source.pin)
        held += " (pinned)";
    }
    return exhausted(message + (held.empty() ? "; nothing else is loaded" : held));
  }

  // Publishes the outcome and answers everyone who waited.
  void finish(const std::shared_ptr<Entry>& entry, Result<std::unique_ptr<Backend>> outcome) {
    std::vector<Waiter> waiters;
    {
      const std::lock_guard lock(core->mutex);
      waiters.swap(entry->waiters);
      if (outcome.ok())
        publish(*entry, std::move(*outcome), waiters);
      else
        remember_failure(entry, outcome.error());
    }
    if (!outcome.ok()) log::info("load failed: {}", outcome.error().message);
    for (Waiter& waiter : waiters) {
      if (!outcome.ok())
        waiter.sink(outcome.error());
      else if (waiter.stop.stop_requested())
        answer_late(entry, waiter);
      else
        waiter.sink(Lease(core, entry, entry->backend.get()));
    }
  }

  // Every waiter's lease is counted here, in the section that makes the model visible, so that it
  // cannot be unloaded between being ready and its first request.
  void publish(Entry& entry, std::unique_ptr<Backend> backend, const std::vector<Waiter>& waiters) {
    entry.backend = std::move(backend);
    entry.state = Entry::State::kReady;
    entry.failures = 0;
    entry.in_use = static_cast<uint32_t>(waiters.size());
    core->touch(entry);
  }

  void answer_late(const std::shared_ptr<Entry>& entry, Waiter& waiter) {
    const Lease unused(core, entry, entry->backend.get());
    waiter.sink(cancelled("the request was given up while its model was loading"));
  }

  void remember_failure(const std::shared_ptr<Entry>& entry, const Error& error) {
    entry->bytes = 0;
    if (error.code == Code::kCancelled || error.code == Code::kExhausted) {
      core->entries.erase(entry->source.path);  // says nothing about the file
      return;
    }
    const auto& options = core->options;
    const uint32_t doublings = std::min(entry->failures, 16u);
    const auto wait = std::min<std::chrono::milliseconds>(options.cooldown * (1u << doublings),
                                                          options.cooldown_max);
    entry->state = Entry::State::kFailed;
    entry->failure = error;
    ++entry->failures;
    entry->retry_at = options.now() + wait;
  }

  std::shared_ptr<Core> core;
  std::unique_ptr<ModelOpener> opener;
  std::thread thread;  // last: it uses the others
};

ModelCache::ModelCache(std::unique_ptr<ModelOpener> opener, CacheOptions options)
    : core_(std::make_shared<Core>()) {
  core_->options = std::move(options);
  loader_ = std::make_unique<Loader>(core_, std::move(opener));
}

ModelCache::~ModelCache() {
  std::vector<Waiter> refused;
  {
    const std::lock_guard lock(core_->mutex);
    core_->stopping = true;
  }
  core_->wake.notify_all();
  loader_->thread.join();
  std::map<std::filesystem::path, std::shared_ptr<Entry>> entries;
  {
    const std::lock_guard lock(core_->mutex);
    entries.swap(core_->entries);
    for (auto& [path, entry] : entries)
      for (Waiter& waiter : entry->waiters) refused.push_back(std::move(waiter));
  }
  for (Waiter& waiter : refused) waiter.sink(cancelled("the server is stopping"));
  for (auto& [path, entry] : entries) entry->backend.reset();  // joins; leases may drop meanwhile
}

void ModelCache::acquire(const ModelSource& source, std::stop_token stop, LeaseSink sink) {
  std::unique_lock lock(core_->mutex);
  std::shared_ptr<Entry>& entry = core_->entries[source.path];
  if (entry && entry->state == Entry::State::kReady) {
    ++entry->in_use;
    core_->touch(*entry);
    Lease lease(core_, entry, entry->backend.get());
    lock.unlock();
    return sink(std::move(lease));
  }
  if (entry && entry->state == Entry::State::kFailed && core_->options.now() < entry->retry_at) {
    Error failure = entry->failure;
    lock.unlock();
    return sink(std::move(failure));
  }
  if (!entry || entry->state == Entry::State::kFailed) {
    const uint32_t failures = entry ? entry->failures : 0;
    entry = std::make_shared<Entry>();
    entry->source = source;
    entry->failures = failures;
    core_->queue.push_back(entry);
    core_->wake.notify_one();
  }
  entry->waiters.push_back({std::move(stop), std::move(sink)});
}

LoadedModels ModelCache::loaded() const {
  const std::lock_guard lock(core_->mutex);
  LoadedModels out;
  out.budget_bytes = core_->options.budget_bytes;
  for (const auto& [path, entry] : core_->entries) {
    out.bytes += entry->bytes;
    if (entry->state != Entry::State::kReady) continue;
    LoadedEntry line;
    line.id = entry->source.name;
    line.path = path.string();
    line.backend = entry->backend->kind();
    line.bytes = entry->bytes;
    line.in_use = entry->in_use;
    line.pinned = entry->source.pin;
    line.last_used_unix = entry->last_used_unix;
    out.models.push_back(std::move(line));
  }
  std::sort(out.models.begin(), out.models.end(),
            [](const LoadedEntry& a, const LoadedEntry& b) { return a.id < b.id; });
  return out;
}

bool ModelCache::is_loaded(const std::filesystem::path& path) const {
  const std::lock_guard lock(core_->mutex);
  const auto found = core_->entries.find(path);
  return found != core_->entries.end() && found->second->state == Entry::State::kReady;
}

}  // namespace localai::runtime
