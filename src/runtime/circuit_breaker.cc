#include "runtime/circuit_breaker.h"

#include <algorithm>
#include <utility>

namespace localai::runtime {

using std::chrono::milliseconds;

CircuitBreaker::Permit::Permit(Permit&& other) noexcept
    : breaker_(std::exchange(other.breaker_, nullptr)), epoch_(other.epoch_) {}

CircuitBreaker::Permit& CircuitBreaker::Permit::operator=(Permit&& other) noexcept {
  if (this == &other) return *this;
  report(Outcome::kUnknown);
  breaker_ = std::exchange(other.breaker_, nullptr);
  epoch_ = other.epoch_;
  return *this;
}

void CircuitBreaker::Permit::report(Outcome outcome) {
  if (CircuitBreaker* breaker = std::exchange(breaker_, nullptr)) breaker->settle(epoch_, outcome);
}

void CircuitBreaker::change(State state) {
  counts_.state = state;
  ++epoch_;
  in_a_row_ = 0;
  probing_ = false;
  if (state != State::kOpen) return;
  ++counts_.opened;
  opened_at_ = options_.now();
}

std::optional<CircuitBreaker::Permit> CircuitBreaker::admit() {
  const std::lock_guard lock(mutex_);
  if (counts_.state == State::kOpen && options_.now() - opened_at_ >= options_.open_for)
    change(State::kHalfOpen);
  if (counts_.state == State::kOpen || (counts_.state == State::kHalfOpen && probing_)) {
    ++counts_.refused;
    return std::nullopt;
  }
  probing_ = counts_.state == State::kHalfOpen;
  return Permit(this, epoch_);
}

void CircuitBreaker::settle(uint64_t epoch, Outcome outcome) {
  const std::lock_guard lock(mutex_);
  counts_.successes += outcome == Outcome::kSuccess;
  counts_.failures += outcome == Outcome::kFailure;
  if (epoch != epoch_) return;
  probing_ = false;
  if (outcome == Outcome::kUnknown) return;
  if (counts_.state == State::kClosed) {
    in_a_row_ = outcome == Outcome::kFailure ? in_a_row_ + 1 : 0;
    if (in_a_row_ >= options_.failure_threshold) change(State::kOpen);
  } else if (outcome == Outcome::kFailure) {
    change(State::kOpen);
  } else if (++in_a_row_ >= options_.success_threshold) {
    change(State::kClosed);
  }
}

void CircuitBreaker::reset() {
  const std::lock_guard lock(mutex_);
  change(State::kClosed);
}

CircuitBreaker::Snapshot CircuitBreaker::snapshot() const {
  const std::lock_guard lock(mutex_);
  Snapshot out = counts_;
  if (out.state != State::kOpen) return out;
  const auto passed = std::chrono::duration_cast<milliseconds>(options_.now() - opened_at_);
  out.retry_in = std::max(milliseconds(0), options_.open_for - passed);
  return out;
}

std::string_view breaker_state_name(CircuitBreaker::State state) {
  constexpr std::string_view kNames[] = {"closed", "half-open", "open"};
  return kNames[static_cast<size_t>(state)];
}

}  // namespace localai::runtime
