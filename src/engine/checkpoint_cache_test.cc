#include "engine/checkpoint_cache.h"

#include <gtest/gtest.h>

namespace localai::engine {
namespace {

TEST(CheckpointCache, AFiledPlaceIsFoundUntilItsPlaceIsTaken) {
  CheckpointCache cache(2);
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

TEST(CheckpointCache, HeldPlacesAreNotTaken) {
  CheckpointCache cache(2);
  const auto a = cache.take(), b = cache.take();
  ASSERT_TRUE(a && b);
  EXPECT_FALSE(cache.take());
  EXPECT_EQ(cache.used(), 2u);
  cache.free(*a);
  EXPECT_EQ(cache.used(), 1u);
  EXPECT_EQ(cache.take(), a);
}

TEST(CheckpointCache, OnePlaceAPrefixAndNoneForAnUncachedBlock) {
  CheckpointCache cache(3);
  cache.file(*cache.take(), 5);
  const auto first = cache.find(5);
  cache.file(*cache.take(), 5);
  EXPECT_EQ(cache.find(5), first);
  cache.file(*cache.take(), 0);
  EXPECT_EQ(cache.used(), 1u);
  EXPECT_FALSE(cache.find(0));
}

TEST(CheckpointCache, OfSizeZeroNeverGivesAnything) {
  CheckpointCache cache(0);
  EXPECT_FALSE(cache.take());
  EXPECT_FALSE(cache.find(1));
}

}  // namespace
}  // namespace localai::engine
