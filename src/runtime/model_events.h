#pragma once
// What happened to models, in order: loads and why they failed, unloads and why. Kept in memory,
// the newest kEventsKept of them, and told to whoever watches.
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/cache_plan.h"

namespace localai::runtime {

inline constexpr size_t kEventsKept = 1024;

struct ModelEvent {
  uint64_t id = 0;       // 1, 2, 3, ...
  double time_unix = 0;  // seconds
  // "load_started" (with the plan that follows), "load_finished", "load_failed", "evicted" (for
  // another model), "unloaded" (asked for, or its ttl_seconds are over); without a model:
  // "config_applied", "config_refused" (path: the config file)
  std::string type = {};
  std::string model = {}, path = {};
  uint64_t bytes = 0;  // load_started: predicted; load_finished: held; evicted, unloaded: freed
  double load_ms = 0;  // load_finished
  std::string reason = {};           // load_failed, evicted, unloaded, config_*
  std::vector<Eviction> evict = {};  // load_started
};

// Thread-safe.
class EventLog {
  struct State;

 public:
  using Watcher = std::function<void(const ModelEvent& event)>;

  // Ends when dropped; after that the watcher is not called any more.
  class Watch {
   public:
    Watch(std::shared_ptr<State> state, uint64_t id) : state_(std::move(state)), id_(id) {}
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch();

   private:
    std::shared_ptr<State> state_;
    uint64_t id_;
  };

  EventLog();
  // Numbers and dates the event, keeps it, tells the watchers.
  void add(ModelEvent event);
  // Tells `watcher` the kept events after `id` at once, then every new one, none twice and in
  // order. It is called under the log's lock: it must not block and must not call this log.
  std::shared_ptr<Watch> watch(uint64_t after, Watcher watcher);
  [[nodiscard]] std::vector<ModelEvent> since(uint64_t after) const;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace localai::runtime
