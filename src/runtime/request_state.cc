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

Status RequestState::run(ModelCache::Lease lease, Resolution resolution, GenerateRequest request,
                         std::function<void(Error)> retry) {
  if (cancelled()) return localai::cancelled("the request was given up");
  Backend& backend = lease.backend();
  resolution.backend = backend.kind();
  uint64_t attempt = 0;
  {
    const std::lock_guard lock(mutex_);
    lease_.emplace(std::move(lease));
    decision_ = std::move(resolution);
    retry_ = std::move(retry);
    attempt = ++attempt_;
  }
  auto generation = backend.generate(std::move(request),
                                     [self = shared_from_this(), attempt](GenerateEvent event) {
                                       self->on_event(attempt, std::move(event));
                                     });
  if (!generation.ok()) {
    std::optional<ModelCache::Lease> unused;
    std::function<void(Error)> forgotten;
    const std::lock_guard lock(mutex_);
    unused.swap(lease_);
    forgotten.swap(retry_);
    return std::move(generation.error());
  }
  Generation late;  // of an attempt that is over already: dropped outside the lock
  {
    const std::lock_guard lock(mutex_);
    (attempt == attempt_ && !ended_ ? generation_ : late) = std::move(*generation);
  }
  if (cancelled()) cancel();  // it came between: drop the generation that was just stored
  return Ok{};
}

void RequestState::fail(Error error) {
  std::optional<ModelCache::Lease> lease;
  std::function<void(Error)> forgotten;
  bool reported = false, ended = false;
  {
    const std::lock_guard lock(mutex_);
    lease.swap(lease_);
    forgotten.swap(retry_);
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

void RequestState::on_event(uint64_t attempt, GenerateEvent event) {
  std::optional<ModelCache::Lease> lease;
  std::optional<Resolution> decision;
  std::function<void(Error)> retry;
  Generation over;
  bool again = false;
  {
    const std::lock_guard lock(mutex_);
    if (ended_ || attempt != attempt_) return;
    if (!ready_reported_) {
      const auto* failed = std::get_if<Failed>(&event);
      retry.swap(retry_);
      again = retry && failed != nullptr && failed->error.code == Code::kUnavailable;
      if (again) {
        ++attempt_;
        lease.swap(lease_);
        over.swap(generation_);
      } else {
        ready_reported_ = true;
        decision.swap(decision_);
      }
    }
  }
  lease.reset();
  if (again) return retry(std::move(std::get<Failed>(event).error));
  if (decision) {
    on_ready_(std::move(*decision));
    on_ready_ = nullptr;
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

}  // namespace localai::runtime
