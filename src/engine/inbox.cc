#include "engine/inbox.h"

#include <string>
#include <utility>

namespace localai::engine {

Status Inbox::push(std::unique_ptr<Sequence> sequence) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return unavailable("the engine is shutting down");
    if (waiting_ >= waiting_max_)
      return exhausted("the queue is full: " + std::to_string(waiting_) +
                       " requests wait already (queue_max)");
    new_.push_back(std::move(sequence));
    ++waiting_;
  }
  arrived_.notify_one();
  return Ok{};
}

bool Inbox::take(std::deque<std::unique_ptr<Sequence>>& out,
                 std::optional<std::chrono::milliseconds> wait) {
  std::unique_lock lock(mutex_);
  const auto arrived = [this] { return closed_ || !new_.empty(); };
  if (wait)
    arrived_.wait_for(lock, *wait, arrived);
  else
    arrived_.wait(lock, arrived);
  for (; !new_.empty(); new_.pop_front()) out.push_back(std::move(new_.front()));
  return !closed_;
}

void Inbox::left_queue(uint32_t count) {
  const std::lock_guard lock(mutex_);
  waiting_ -= count;
}

void Inbox::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  arrived_.notify_all();
}

uint32_t Inbox::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

}  // namespace localai::engine
