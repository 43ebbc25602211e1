#include "runtime/circuit_breaker.h"

#include <gtest/gtest.h>

namespace localai::runtime {
namespace {

using std::chrono::milliseconds;
using Outcome = CircuitBreaker::Outcome;
using State = CircuitBreaker::State;

class CircuitBreakerTest : public ::testing::Test {
 protected:
  void call(Outcome outcome) {
    auto permit = breaker_.admit();
    ASSERT_TRUE(permit);
    permit->report(outcome);
  }
  State state() { return breaker_.snapshot().state; }

  std::chrono::steady_clock::time_point now_{};
  CircuitBreaker breaker_{{.failure_threshold = 3,
                           .open_for = milliseconds(1000),
                           .success_threshold = 2,
                           .now = [this] { return now_; }}};
};

TEST_F(CircuitBreakerTest, FailuresInARowOpenIt) {
  call(Outcome::kFailure);
  call(Outcome::kFailure);
  call(Outcome::kSuccess);
  call(Outcome::kFailure);
  call(Outcome::kUnknown);  // neither breaks the row nor adds to it
  call(Outcome::kFailure);
  EXPECT_EQ(state(), State::kClosed);
  call(Outcome::kFailure);
  EXPECT_EQ(state(), State::kOpen);
  EXPECT_FALSE(breaker_.admit());
  now_ += milliseconds(400);
  EXPECT_EQ(breaker_.snapshot().retry_in, milliseconds(600));
  EXPECT_FALSE(breaker_.admit());
  const auto counts = breaker_.snapshot();
  EXPECT_EQ(counts.failures, 5u);
  EXPECT_EQ(counts.successes, 1u);
  EXPECT_EQ(counts.refused, 2u);
  EXPECT_EQ(counts.opened, 1u);
}

TEST_F(CircuitBreakerTest, OneProbeAtATimeThenEnoughOfThemCloseIt) {
  for (int i = 0; i < 3; ++i) call(Outcome::kFailure);
  now_ += milliseconds(1000);
  {
    auto probe = breaker_.admit();
    ASSERT_TRUE(probe);
    EXPECT_EQ(state(), State::kHalfOpen);
    EXPECT_FALSE(breaker_.admit()) << "a second call beside the probe";
  }  // given up: the next may probe
  call(Outcome::kSuccess);
  EXPECT_EQ(state(), State::kHalfOpen);
  call(Outcome::kSuccess);
  EXPECT_EQ(state(), State::kClosed);
}

TEST_F(CircuitBreakerTest, AFailedProbeOpensItForAsLongAgain) {
  for (int i = 0; i < 3; ++i) call(Outcome::kFailure);
  now_ += milliseconds(1000);
  call(Outcome::kFailure);
  EXPECT_EQ(state(), State::kOpen);
  now_ += milliseconds(999);
  EXPECT_FALSE(breaker_.admit());
  now_ += milliseconds(1);
  EXPECT_TRUE(breaker_.admit());
  EXPECT_EQ(breaker_.snapshot().opened, 2u);
}

TEST_F(CircuitBreakerTest, WhatOlderCallsReportDoesNotCount) {
  auto old = breaker_.admit();
  for (int i = 0; i < 3; ++i) call(Outcome::kFailure);
  now_ += milliseconds(1000);
  auto probe = breaker_.admit();
  ASSERT_TRUE(old && probe);
  old->report(Outcome::kFailure);
  EXPECT_EQ(state(), State::kHalfOpen);
  EXPECT_FALSE(breaker_.admit()) << "the probe is still under way";
  breaker_.reset();
  probe->report(Outcome::kFailure);
  EXPECT_EQ(state(), State::kClosed);
}

}  // namespace
}  // namespace localai::runtime
