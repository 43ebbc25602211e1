#include "runtime/request_state.h"

namespace localai::runtime {

void RequestState::cancel() {
  stop_.request_stop();
  Generation generation;
  {
    const std::lock_guard lock(mutex_);
    generation = std::move(generation_);
  }
  // Dropped here, outside the lock: the engine may be delivering an event right now.
}

Status RequestState::run(ModelCache::Lease lease, Resolution resolution, GenerateRequest request) {
  if (cancelled()) return localai::cancelled("the request was given up");
  Backend& backend = lease.backend();
  resolution.backend = backend.kind();
  {
    const std::lock_guard lock(mutex_);
    lease_.emplace(std::move(lease));
  }
  auto generation = backend.generate(
      std::move(request),
      [self = shared_from_this()](GenerateEvent event) { self->on_event(std::move(event)); });
  if (!generation.ok()) {
    std::optional<ModelCache::Lease> unused;
    const std::lock_guard lock(mutex_);
    unused.swap(lease_);
    return std::move(generation.error());
  }
  {
    const std::lock_guard lock(mutex_);
    generation_ = std::move(*generation);
    ready_reported_ = true;
  }
  if (cancelled()) cancel();  // it came between: drop the generation that was just stored
  on_ready_(std::move(resolution));
  on_ready_ = nullptr;
  deliver_pending();
  return Ok{};
}

void RequestState::fail(Error error) {
  std::optional<ModelCache::Lease> lease;
  bool reported = false, ended = false;
  {
    const std::lock_guard lock(mutex_);
    lease.swap(lease_);
    pending_.clear();
    reported = std::exchange(ready_reported_, true);
    ended = std::exchange(ended_, true);
  }
  lease.reset();  // before the answer: who hears it sees the model free
  if (ended) return;
  if (reported)
    sink_(Failed{std::move(error)});
  else
    on_ready_(std::move(error));
}

void RequestState::on_event(GenerateEvent event) {
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    if (!open_) {
      pending_.push_back(std::move(event));
      return;
    }
  }
  deliver(std::move(event));
}

void RequestState::deliver(GenerateEvent event) {
  if (std::holds_alternative<Finished>(event) || std::holds_alternative<Failed>(event)) {
    std::optional<ModelCache::Lease> lease;
    const std::lock_guard lock(mutex_);
    if (std::exchange(ended_, true)) return;
    lease.swap(lease_);
  }
  sink_(std::move(event));
}

void RequestState::deliver_pending() {
  while (true) {
    std::deque<GenerateEvent> batch;
    {
      const std::lock_guard lock(mutex_);
      if (pending_.empty()) {
        open_ = true;
        return;
      }
      batch.swap(pending_);
    }
    for (GenerateEvent& event : batch) deliver(std::move(event));
  }
}

}  // namespace localai::runtime
