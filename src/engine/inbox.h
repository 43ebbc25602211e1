#pragma once
// The way into the engine's thread: requests that wait, bounded. Thread-safe.
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "base/result.h"
#include "engine/sequence.h"

namespace localai::engine {

class Inbox {
 public:
  explicit Inbox(uint32_t waiting_max) : waiting_max_(waiting_max) {}

  // Errors: kExhausted (waiting_max requests wait already), kUnavailable (closed).
  Status push(std::unique_ptr<Sequence> sequence);
  // Appends all that came, and sleeps for the first one, `wait` long or, without it, until there is
  // one. Returns false once closed.
  bool take(std::deque<std::unique_ptr<Sequence>>& out,
            std::optional<std::chrono::milliseconds> wait);
  // `count` of those taken wait no longer.
  void left_queue(uint32_t count);
  void close();
  [[nodiscard]] uint32_t waiting() const;

 private:
  const uint32_t waiting_max_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::unique_ptr<Sequence>> new_;
  uint32_t waiting_ = 0;  // in new_, and taken but not started
  bool closed_ = false;
};

}  // namespace localai::engine
