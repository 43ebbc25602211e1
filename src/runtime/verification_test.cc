#include "runtime/verification.h"

#include <gtest/gtest.h>

#include <cmath>

namespace localai::runtime {
namespace {

TEST(VerificationTest, EqualLogitsHaveNoDistanceAlsoWhenOneIsShifted) {
  const std::vector<float> a = {1, 2, 3, 0, -1, 5}, b = {2, 3, 4, 10, 9, 15};
  LogitDistance distance;
  distance.add(a, b, 3);
  EXPECT_EQ(distance.positions, 2u);
  EXPECT_EQ(distance.same_first, 2u);
  EXPECT_NEAR(distance.max_kl, 0, 1e-12);
}

TEST(VerificationTest, MeasuresFromTheReference) {
  // p = (3/4, 1/4), q = (1/4, 3/4): KL = (3/4 - 1/4) ln 3.
  const float high = std::log(3.f);
  const std::vector<float> p = {high, 0, 0, 0}, q = {0, high, 0, 0};
  LogitDistance distance;
  distance.add(p, q, 2);
  EXPECT_NEAR(distance.max_kl, 0.5 * std::log(3.0), 1e-7);
  EXPECT_NEAR(distance.mean_kl(), 0.25 * std::log(3.0), 1e-7);
  EXPECT_EQ(distance.same_first, 1u);
  // p = (1/2, 1/2), q = (3/4, 1/4) is not the same as the other way round.
  const std::vector<float> even = {0, 0}, steep = {high, 0};
  LogitDistance there, back;
  there.add(even, steep, 2);
  back.add(steep, even, 2);
  EXPECT_NEAR(there.max_kl, 0.5 * std::log(4.0 / 3.0), 1e-7);
  EXPECT_NEAR(back.max_kl, 0.75 * std::log(3.0) - std::log(2.0), 1e-7);
  distance.add(there);
  EXPECT_EQ(distance.positions, 3u);
}

TEST(VerificationTest, WhatIsNoNumberIsInfinitelyFar) {
  const std::vector<float> p = {0, 1}, q = {0, NAN};
  LogitDistance distance;
  distance.add(p, q, 2);
  EXPECT_TRUE(std::isinf(distance.max_kl));
}

TEST(VerificationTest, FindsWhereTokensPart) {
  using Tokens = std::vector<int32_t>;
  EXPECT_EQ(first_difference(Tokens{1, 2, 3}, Tokens{1, 2, 3}), std::nullopt);
  EXPECT_EQ(first_difference(Tokens{1, 2, 3}, Tokens{1, 9, 3}), 1u);
  EXPECT_EQ(first_difference(Tokens{1, 2}, Tokens{1, 2, 3}), 2u);
  EXPECT_EQ(first_difference(Tokens{1}, Tokens{}), 0u);
}

}  // namespace
}  // namespace localai::runtime
