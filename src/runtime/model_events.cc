#include "runtime/model_events.h"

#include <chrono>

namespace localai::runtime {

struct EventLog::State {
  mutable std::mutex mutex;
  std::deque<ModelEvent> events;
  uint64_t last_id = 0;
  std::map<uint64_t, Watcher> watchers;
  uint64_t last_watch = 0;
};

EventLog::EventLog() : state_(std::make_shared<State>()) {}

EventLog::Watch::~Watch() {
  Watcher dropped;  // destroyed outside the lock: it may own a sink
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->watchers.find(id_);
  dropped.swap(found->second);
  state_->watchers.erase(found);
}

void EventLog::add(ModelEvent event) {
  event.time_unix =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const std::lock_guard lock(state_->mutex);
  event.id = ++state_->last_id;
  state_->events.push_back(std::move(event));
  if (state_->events.size() > kEventsKept) state_->events.pop_front();
  for (const auto& [id, watcher] : state_->watchers) watcher(state_->events.back());
}

std::shared_ptr<EventLog::Watch> EventLog::watch(uint64_t after, Watcher watcher) {
  const std::lock_guard lock(state_->mutex);
  for (const ModelEvent& event : state_->events)
    if (event.id > after) watcher(event);
  const uint64_t id = ++state_->last_watch;
  state_->watchers.emplace(id, std::move(watcher));
  return std::make_shared<Watch>(state_, id);
}

std::vector<ModelEvent> EventLog::since(uint64_t after) const {
  const std::lock_guard lock(state_->mutex);
  std::vector<ModelEvent> out;
  for (const ModelEvent& event : state_->events)
    if (event.id > after) out.push_back(event);
  return out;
}

}  // namespace localai::runtime
