#include "engine/block_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "engine/random.h"

namespace localai::engine {
namespace {

using ::testing::ElementsAre;
using text::TokenId;
constexpr uint32_t kTokens = BlockManager::kTokens;

std::vector<TokenId> tokens_of(const std::string& letters) {  // one letter a block
  std::vector<TokenId> tokens;
  for (const char c : letters) tokens.insert(tokens.end(), kTokens, c);
  return tokens;
}

// Runs a sequence over the letters: match, allocate, publish.
std::vector<uint32_t> sequence(BlockManager& manager, const std::string& letters,
                               size_t* cached = nullptr) {
  const auto tokens = tokens_of(letters);
  std::vector<uint32_t> blocks;
  manager.match(tokens, 0, blocks);
  const size_t found = blocks.size();
  if (cached) *cached = found;
  EXPECT_TRUE(manager.allocate(static_cast<uint32_t>(letters.size() - found), blocks));
  for (size_t i = found; i < letters.size(); ++i)
    manager.publish(blocks, static_cast<uint32_t>(i),
                    std::span(tokens).subspan(i * kTokens, kTokens), 0);
  return blocks;
}

TEST(BlockManager, FindsTheLongestCachedPrefix) {
  BlockManager manager(10, true);
  auto first = sequence(manager, "abc");
  size_t cached = 0;
  auto second = sequence(manager, "abd", &cached);
  EXPECT_EQ(cached, 2u);
  EXPECT_EQ(second[0], first[0]);
  EXPECT_EQ(second[1], first[1]);
  EXPECT_NE(second[2], first[2]);
  auto third = sequence(manager, "bc", &cached);  // same blocks of tokens, another beginning
  EXPECT_EQ(cached, 0u);
  EXPECT_EQ(manager.references(first[0]), 2u);
  manager.release(first);
  manager.release(second);
  manager.release(third);
  EXPECT_EQ(manager.available(), 10u);
  EXPECT_EQ(manager.cached(), 6u);
}

TEST(BlockManager, FindsTheBlockThatBeginsAlike) {
  BlockManager manager(10, true);
  auto tokens = tokens_of("ab");
  tokens[kTokens + 20] = 'x';
  auto chain = sequence(manager, "ab");
  std::vector<uint32_t> held;
  manager.match(tokens, 0, held);  // the first block
  ASSERT_TRUE(manager.allocate(1, held));
  manager.publish(held, 1, std::span(tokens).subspan(kTokens), 0);
  const auto part = [&](std::vector<TokenId> rest, std::span<const uint32_t> after) {
    const auto found = manager.match_part(after, rest, 0);
    if (!found) return std::pair(uint32_t{0}, uint32_t{0});
    EXPECT_GE(manager.references(found->block), 1u);
    manager.give_back(*found);
    return std::pair(found->block, found->tokens);
  };
  const auto none = std::pair(uint32_t{0}, uint32_t{0});
  std::vector<TokenId> rest(25, 'b');
  EXPECT_EQ(part(rest, std::span(chain).first(1)), std::pair(chain[1], 25u));
  rest[20] = 'x';
  EXPECT_EQ(part(rest, std::span(chain).first(1)), std::pair(held[1], 25u));
  rest[3] = 'y';
  EXPECT_EQ(part(rest, std::span(chain).first(1)).second, 3u);
  EXPECT_EQ(part(rest, {}), none) << "another parent";
  EXPECT_EQ(part({}, std::span(chain).first(1)), none);
  EXPECT_EQ(part(tokens_of("a"), {}), std::pair(chain[0], kTokens));
  manager.forget(chain[1]);
  EXPECT_EQ(part({'b', 'b'}, std::span(chain).first(1)), std::pair(held[1], 2u));
  manager.release(chain);
  manager.release(held);
  EXPECT_EQ(manager.available(), 10u);
}

TEST(BlockManager, BlocksOfDifferentKindsAreNotShared) {
  BlockManager manager(10, true);
  const auto tokens = tokens_of("a");
  std::vector<uint32_t> one, two, found;
  ASSERT_TRUE(manager.allocate(1, one) && manager.allocate(1, two));
  manager.publish(one, 0, tokens, 0);
  manager.publish(two, 0, tokens, 1);
  EXPECT_NE(one, two);
  manager.match(tokens, 1, found);
  EXPECT_EQ(found, two);
}

TEST(BlockManager, AnEqualBlockComputedTwiceIsKeptOnce) {
  BlockManager manager(10, true);
  const auto tokens = tokens_of("ab");
  std::vector<uint32_t> one, two;
  ASSERT_TRUE(manager.allocate(2, one) && manager.allocate(2, two));
  for (uint32_t i = 0; i < 2; ++i) {
    manager.publish(one, i, std::span(tokens).subspan(i * kTokens, kTokens), 0);
    manager.publish(two, i, std::span(tokens).subspan(i * kTokens, kTokens), 0);
  }
  EXPECT_EQ(one, two);
  EXPECT_EQ(manager.available(), 8u);
}

TEST(BlockManager, EvictsTheLeastRecentlyUsedAndLeavesBeforeParents) {
  BlockManager manager(6, true);
  auto old = sequence(manager, "abc");
  manager.release(old);
  auto recent = sequence(manager, "xyz");
  manager.release(recent);
  std::vector<uint32_t> blocks;
  ASSERT_TRUE(manager.allocate(2, blocks));
  EXPECT_EQ(manager.evictions(), 2u);
  std::vector<uint32_t> found;
  manager.match(tokens_of("abc"), 0, found);
  EXPECT_EQ(found.size(), 1u);  // c and b went first
  manager.release(found);
  manager.match(tokens_of("xyz"), 0, found);
  EXPECT_EQ(found.size(), 3u);
  EXPECT_FALSE(manager.allocate(2, blocks));  // one evictable block is left
  EXPECT_EQ(blocks.size(), 2u);
}

TEST(BlockManager, AForgottenBlockIsNotFoundAndItsChainIsNotExtended) {
  BlockManager manager(6, true);
  auto blocks = sequence(manager, "ab");
  manager.forget(blocks[0]);
  manager.forget(blocks[1]);
  ASSERT_TRUE(manager.allocate(1, blocks));
  manager.publish(blocks, 2, tokens_of("c"), 0);
  EXPECT_EQ(manager.cached(), 0u);
  manager.release(blocks);
  EXPECT_EQ(manager.available(), 6u);
  size_t cached = 9;
  blocks = sequence(manager, "abc", &cached);
  EXPECT_EQ(cached, 0u);
}

TEST(BlockManager, WithoutTheCacheNothingIsShared) {
  BlockManager manager(6, false);
  auto one = sequence(manager, "ab");
  size_t cached = 9;
  auto two = sequence(manager, "ab", &cached);
  EXPECT_EQ(cached, 0u);
  manager.release(one);
  manager.release(two);
  EXPECT_EQ(manager.available(), 6u);
}

// Random sequences come and go; a block's content (as the owner wrote it) must be what its finder
// expects, and references must add up.
TEST(BlockManager, KeepsItsBooksUnderRandomUse) {
  constexpr uint32_t kBlocks = 24;
  BlockManager manager(kBlocks, true);
  struct Running {
    std::string letters;
    std::vector<uint32_t> blocks;
  };
  std::vector<Running> running;
  std::map<uint32_t, std::string> content;  // block -> the letters up to and with its own
  uint64_t at = 0, hits = 0;
  const auto pick = [&](uint32_t n) { return static_cast<uint32_t>(uniform_at(7, at++) * n); };
  for (int round = 0; round < 5000; ++round) {
    if (running.size() > 4 || (!running.empty() && pick(2) == 0)) {
      const size_t index = pick(static_cast<uint32_t>(running.size()));
      manager.release(running[index].blocks);
      running.erase(running.begin() + static_cast<ptrdiff_t>(index));
      continue;
    }
    Running next;
    for (uint32_t i = 0, n = 1 + pick(6); i < n; ++i)
      next.letters += static_cast<char>('a' + pick(2));
    manager.match(tokens_of(next.letters), 0, next.blocks);
    const size_t cached = next.blocks.size();
    hits += cached;
    for (size_t i = 0; i < cached; ++i)
      ASSERT_EQ(content[next.blocks[i]], next.letters.substr(0, i + 1));
    if (!manager.allocate(static_cast<uint32_t>(next.letters.size() - cached), next.blocks)) {
      manager.release(next.blocks);
      continue;
    }
    for (size_t i = cached; i < next.letters.size(); ++i) {
      content[next.blocks[i]] = next.letters.substr(0, i + 1);
      manager.publish(next.blocks, static_cast<uint32_t>(i), tokens_of(next.letters.substr(i, 1)),
                      0);
    }
    running.push_back(std::move(next));
    std::map<uint32_t, uint32_t> held;
    for (const Running& r : running)
      for (const uint32_t block : r.blocks) ++held[block];
    ASSERT_EQ(manager.available(), kBlocks - held.size());
    for (const auto& [block, count] : held) ASSERT_EQ(manager.references(block), count);
  }
  EXPECT_GT(hits, 1000u);
  EXPECT_GT(manager.evictions(), 100u);
}

}  // namespace
}  // namespace localai::engine
