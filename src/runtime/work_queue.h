#pragma once
// A few threads that run jobs in order of arrival: the part of a request between the network's
// thread and the engine's (look-up, template, tokenizer).
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace localai::runtime {

// Thread-safe. Jobs must not throw and must not block for long.
class WorkQueue {
 public:
  explicit WorkQueue(uint32_t threads);
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;
  ~WorkQueue() { stop(); }

  // Runs `job` on one of the threads; after stop() here and now.
  void post(std::function<void()> job);
  // Runs what is queued, then ends the threads. Called by one thread.
  void stop();

 private:
  void run();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace localai::runtime
