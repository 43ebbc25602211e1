#pragma once
// SIGHUP as a callback, on a thread of its own, where reading files is no matter.
#include <atomic>
#include <functional>
#include <thread>

namespace localai::cli {

// From its construction on, SIGHUP calls `on_hangup`, one call after the other; a signal that came
// after block_hangup() and before is not lost.
class HangupListener {
 public:
  explicit HangupListener(std::function<void()> on_hangup);
  HangupListener(const HangupListener&) = delete;
  HangupListener& operator=(const HangupListener&) = delete;
  ~HangupListener();  // waits for a call that is under way

 private:
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

// Before the process starts its first thread: they all leave the signal to the listener.
void block_hangup();

}  // namespace localai::cli
