#include "engine/state_cache.h"

#include <gtest/gtest.h>

namespace localai::engine {
namespace {

TEST(StateCache, AFiledPlaceIsFoundUntilItsPlaceIsTaken) {
  StateCache cache(2);
  EXPECT_FALSE(cache.find(7));
  const auto a = cache.take();
  ASSERT_TRUE(a);
  EXPECT_FALSE(cache.find(7));
  cache.file(*a, 7);
  EXPECT_EQ(cache.find(7), a);
  const auto b = cache.take();
  ASSERT_TRUE(b);
  EXPECT_NE(a, b);
  cache.file(*b, 8);
  EXPECT_EQ(cache.find(7), a);  // so that 8 is the one not used for longer
  EXPECT_EQ(cache.take(), b);
  EXPECT_FALSE(cache.find(8));
  EXPECT_EQ(cache.find(7), a);
}

TEST(StateCache, HeldPlacesAreNotTaken) {
  StateCache cache(2);
  const auto a = cache.take(), b = cache.take();
  ASSERT_TRUE(a && b);
  EXPECT_FALSE(cache.take());
  EXPECT_EQ(cache.held(), 2u);
  EXPECT_EQ(cache.filed(), 0u);
  cache.free(*a);
  EXPECT_EQ(cache.held(), 1u);
  EXPECT_EQ(cache.take(), a);
}

TEST(StateCache, OnePlaceAPrefixAndNoneForAnUncachedBlock) {
  StateCache cache(3);
  cache.file(*cache.take(), 5);
  const auto first = cache.find(5);
  cache.file(*cache.take(), 5);
  EXPECT_EQ(cache.find(5), first);
  cache.file(*cache.take(), 0);
  EXPECT_EQ(cache.filed(), 1u);
  EXPECT_EQ(cache.held(), 0u);
  EXPECT_FALSE(cache.find(0));
}

TEST(StateCache, OfSizeZeroNeverGivesAnything) {
  StateCache cache(0);
  EXPECT_FALSE(cache.take());
  EXPECT_FALSE(cache.find(1));
}

}  // namespace
}  // namespace localai::engine
