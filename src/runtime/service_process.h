#pragma once
// A service that this program starts when it is needed, watches, starts again when it falls as long
// as it is, and ends with itself.
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/result.h"

namespace localai::runtime {

struct ServiceProcessOptions {
  std::string name;                  // before its lines in the log
  std::vector<std::string> command;  // program and arguments, "%PORT%" for the port
  // Variables set beside our own, asked at each start.
  std::function<std::vector<std::pair<std::string, std::string>>()> environment;
  std::chrono::milliseconds start_limit{120000};  // until it says that it is ready
  std::chrono::milliseconds stop_limit{2000};     // from SIGTERM to SIGKILL
  // From a fall to the next start; doubled for each fall before it has run for `stable`.
  std::chrono::milliseconds backoff{500}, backoff_max{60000}, stable{60000};
  std::chrono::milliseconds check_every{10000};  // while it runs
  uint32_t checks_failed_max = 3;                // in a row; then it is killed
  // From the process's own thread. `healthy` may wait, `on_ready` must not.
  std::function<bool()> healthy = [] { return true; };
  std::function<void()> on_ready = [] {};
};

// Thread-safe.
class ServiceProcess {
 public:
  // Chooses a free loopback port, which stays; starts nothing.
  static Result<std::unique_ptr<ServiceProcess>> create(ServiceProcessOptions options);
  ServiceProcess(const ServiceProcess&) = delete;
  ServiceProcess& operator=(const ServiceProcess&) = delete;
  // Ends the service and waits for that.
  ~ServiceProcess();

  // Starts it unless it runs, and waits until it is ready. From here on it is needed. Errors:
  // kUnavailable (it cannot be started, or fell and waits for its next start), kCancelled
  // (`wanted`, where there is one, is false).
  Status ensure_running(const std::function<bool()>& wanted);
  // It is no longer needed: ends it and waits for that.
  void stop();
  struct State {
    bool running = false;
    int pid = 0;          // while it runs
    uint32_t starts = 0;  // so far
    std::string problem;  // why it does not run; "" when it does, or was not needed
  };
  [[nodiscard]] State state() const;
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  enum class Phase : uint8_t { kIdle, kStarting, kReady, kWaiting };
  using Clock = std::chrono::steady_clock;

  ServiceProcess(ServiceProcessOptions options, uint16_t port, int wake_fd);
  void run();
  void serve_once();
  Status spawn();
  void watch();
  void read_output(std::chrono::milliseconds wait);
  void take_line(std::string_view line);
  void end_child();
  void check_health();
  [[nodiscard]] bool child_gone();
  void fell(std::string why);
  void set_phase(Phase phase, std::string problem = "");

  const ServiceProcessOptions options_;
  const uint16_t port_;
  const int wake_fd_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Phase phase_ = Phase::kIdle;
  bool needed_ = false, stopping_ = false;
  bool ending_ = false;  // stop() waits for the end of the process
  Clock::time_point next_start_;
  State state_;

  // Of the thread alone.
  int pid_ = 0, group_ = 0, output_fd_ = -1;
  bool ready_ = false;
  std::string line_, last_line_, exit_;
  uint32_t falls_ = 0, checks_failed_ = 0;
  Clock::time_point started_, checked_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace localai::runtime
