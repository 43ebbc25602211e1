#pragma once
// The inside of the model cache: what its front (model_cache.cc) and its loader (model_loader.cc)
// share under one lock.
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/model_cache.h"

namespace localai::runtime {

std::string mib(uint64_t bytes);  // "12 MiB", rounded up

struct ModelCache::Waiter {
  AcquireOptions options;
  LeaseSink sink;
  std::shared_ptr<Entry> guest = {};   // set: it waits for its host, as long as anybody for it
  [[nodiscard]] bool gave_up() const;  // with the mutex held
};

struct ModelCache::Entry {
  enum class State : uint8_t { kQueued, kLoading, kReady };
  ModelSource source;
  State state = State::kQueued;
  std::optional<engine::EngineMemory> predicted;
  bool waits_for_room = false;       // kQueued: it was tried, and did not fit
  bool knows_host = false;           // kQueued: it was asked for, and `host` is set if there is one
  std::filesystem::path waits_for;   // kQueued: the host that is not loaded yet
  std::optional<Lease> host;         // dropped without the mutex
  std::unique_ptr<Backend> backend;  // kReady
  uint64_t bytes = 0;                // of the budget: reserved while loading, held when ready
  uint32_t in_use = 0;
  uint64_t last_use = 0;  // rank, for LRU
  TimePoint last_used, keep_until;
  double last_used_unix = 0;
  std::vector<Waiter> waiters;  // kQueued, kLoading
};

struct ModelCache::Core {
  struct Failure {
    Error error{Code::kInternal, ""};
    uint32_t count = 0;
    TimePoint retry_at;
  };
  using EntryPtr = std::shared_ptr<Entry>;

  mutable std::mutex mutex;
  std::condition_variable wake;
  std::map<std::filesystem::path, EntryPtr> entries;
  std::deque<EntryPtr> queue;              // kQueued, in order of request
  std::deque<std::function<void()>> jobs;  // for the loader: plans, unloads
  std::map<std::filesystem::path, Failure> failures;
  std::map<std::filesystem::path, double> load_ms;  // of the last load, for estimates
  uint64_t leaving_bytes = 0;  // of models that are being unloaded: they still hold them
  uint64_t uses = 0;
  bool stopping = false;
  bool poked = false;  // something changed since the loader last looked
  CacheOptions options;
  EventLog events;

  [[nodiscard]] bool is_ready(const std::filesystem::path& path) const;
  // These are called with the mutex held.
  void touch(Entry& entry);
  void poke();  // the loader looks again
  // Without `except`. Its host counts as pinned, and that of every pinned one.
  [[nodiscard]] std::vector<HeldModel> held(const Entry* except) const;
  [[nodiscard]] uint32_t guests(const Entry& host) const;  // that are ready
  [[nodiscard]] uint64_t reserved_bytes() const;
};

// The cache's thread: one piece of work after the other. Its private functions run on that thread.
struct ModelCache::Loader {
  Loader(std::shared_ptr<Core> shared, std::unique_ptr<ModelOpener> how);

  bool step();
  void end();  // ends the thread
  void plan_job(const ModelSource& source, std::function<void(Result<LoadPlan>)> sink);
  void unload_job(const std::filesystem::path& path,
                  const std::function<void(Result<uint64_t>)>& sink);

 private:
  using EntryPtr = Core::EntryPtr;
  void run();
  bool answer_expired();
  bool run_job();
  bool unload_expired();
  bool load_next();
  EntryPtr next_in_queue(RoomPlan& plan, std::vector<EntryPtr>& waiting);  // lock held
  void look_at(const EntryPtr& entry);
  void find_host(const EntryPtr& entry);
  void host_answered(const EntryPtr& entry, Result<Lease> host);
  void predict(const EntryPtr& entry);
  [[nodiscard]] std::optional<TimePoint> next_time() const;  // lock held

  Result<engine::EngineMemory> guarded_predict(const ModelSource& source);
  Result<std::unique_ptr<Backend>> guarded_load(const EntryPtr& entry);
  Result<std::optional<ModelSource>> guarded_host(const ModelSource& source);
  void carry_out(const EntryPtr& entry, const std::vector<Eviction>& evict,
                 std::vector<EntryPtr> victims);
  Status grow(Entry& entry, uint64_t bytes);
  std::vector<EntryPtr> take_out(const std::vector<Eviction>& evict);  // lock held
  void destroy(std::vector<EntryPtr> victims, const std::vector<Eviction>& evict, const char* type);
  [[nodiscard]] bool wanted(const Entry& entry) const;
  void plan_in_host(const ModelSource& source, const ModelSource& host,
                    std::function<void(Result<LoadPlan>)> sink);
  [[nodiscard]] const Entry* without_room(const Entry& entry) const;  // lock held
  [[nodiscard]] LoadPlan plan_of(const ModelSource& source, const engine::EngineMemory& needed,
                                 const std::filesystem::path& host);
  [[nodiscard]] double load_estimate_ms(const ModelSource& source, uint64_t bytes) const;
  [[nodiscard]] Error over_budget(const Entry* entry, const std::string& name,
                                  uint64_t bytes) const;  // lock held
  void fail(const EntryPtr& entry, Error error);
  void publish(const EntryPtr& entry, std::unique_ptr<Backend> backend, TimePoint begin);
  void remember(const Entry& entry, const Error& error);  // lock held
  void tell(const Entry& entry, const std::string& line) const;

  std::shared_ptr<Core> core_;
  std::unique_ptr<ModelOpener> opener_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace localai::runtime
