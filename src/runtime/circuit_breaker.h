#pragma once
// Keeps calls away from a service that fails: after some failures in a row none goes through for a
// while, then one at a time until enough of them succeed.
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string_view>

namespace localai::runtime {

struct BreakerOptions {
  uint32_t failure_threshold = 5;             // failures in a row that open it
  std::chrono::milliseconds open_for{30000};  // then no call for so long
  uint32_t success_threshold = 2;             // probes in a row that close it again
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

// Thread-safe.
class CircuitBreaker {
 public:
  enum class State : uint8_t { kClosed, kHalfOpen, kOpen };
  enum class Outcome : uint8_t {
    kSuccess,
    kFailure,
    kUnknown,  // the caller gave up, or the answer says nothing about the service
  };

  // One call that was let through. Its outcome is told once; dropped without one: kUnknown.
  class Permit {
   public:
    Permit(Permit&& other) noexcept;
    Permit& operator=(Permit&& other) noexcept;
    ~Permit() { report(Outcome::kUnknown); }
    void report(Outcome outcome);  // the first counts

   private:
    friend class CircuitBreaker;
    Permit(CircuitBreaker* breaker, uint64_t epoch) : breaker_(breaker), epoch_(epoch) {}
    CircuitBreaker* breaker_;
    uint64_t epoch_;
  };

  struct Snapshot {
    State state = State::kClosed;
    uint64_t successes = 0, failures = 0, refused = 0, opened = 0;  // since the start
    std::chrono::milliseconds retry_in{0};                          // kOpen: until the next probe
  };

  explicit CircuitBreaker(BreakerOptions options) : options_(std::move(options)) {}

  // Nothing: the call must not be made. The breaker outlives its permits.
  std::optional<Permit> admit();
  // Closes it: the service is known to be well (it was started anew).
  void reset();
  [[nodiscard]] Snapshot snapshot() const;

 private:
  void settle(uint64_t epoch, Outcome outcome);
  void change(State state);  // lock held

  const BreakerOptions options_;
  mutable std::mutex mutex_;
  Snapshot counts_;
  uint64_t epoch_ = 0;     // number of the current state: what older calls report does not count
  uint32_t in_a_row_ = 0;  // failures while closed, successes while half-open
  bool probing_ = false;   // half-open: a call is under way
  std::chrono::steady_clock::time_point opened_at_;
};

std::string_view breaker_state_name(CircuitBreaker::State state);  // "closed", "half-open", "open"

}  // namespace localai::runtime
