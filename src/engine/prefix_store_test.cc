// Blocks on disk: found again, never believed when damaged, never more than allowed.
#include "engine/prefix_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <numeric>

#include "base/file.h"
#include "engine/testing/run_engine.h"

namespace localai::engine {
namespace {

namespace fs = std::filesystem;
using testing::FakeModel;
using testing::FakeModelOptions;
using testing::greedy;
using ::testing::HasSubstr;
using testing::make_engine;
using testing::prompt_of;
using testing::run;

class PrefixStoreTest : public ::testing::Test {
 protected:
  PrefixStoreTest()
      : folder_(fs::path(::testing::TempDir()) /
                ("prefix_store." + std::to_string(::getpid()) + "." +
                 ::testing::UnitTest::GetInstance()->current_test_info()->name())) {}
  ~PrefixStoreTest() override { fs::remove_all(folder_); }

  std::unique_ptr<PrefixStore> open(std::string_view identity = "a", uint64_t bytes_max = 1 << 20) {
    auto store = PrefixStore::open({folder_, bytes_max}, Sha256().add(identity).digest());
    EXPECT_TRUE(store.ok()) << store.error().message;
    return std::move(*store);
  }
  static std::vector<std::byte> block_of(int seed) {
    std::vector<std::byte> block(1000);
    for (size_t i = 0; i < block.size(); ++i)
      block[i] = static_cast<std::byte>(testing::mix(static_cast<uint64_t>(seed), i));
    return block;
  }
  std::vector<fs::path> files() {
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder_))
      if (entry.is_regular_file()) found.push_back(entry.path());
    return found;
  }

  const fs::path folder_;
};

TEST_F(PrefixStoreTest, ABlockIsFoundByWhatItDependsOnAndNothingElse) {
  const std::vector<TokenId> tokens = prompt_of(32, 1), others = prompt_of(32, 2);
  Digest root, next;
  {
    const auto store = open();
    root = store->root(0);
    next = store->key(root, tokens);
    store->save(root, tokens, block_of(1));
    store->save(next, tokens, block_of(2));
  }  // writes what waits
  const auto store = open();
  EXPECT_EQ(store->root(0), root);
  std::vector<std::byte> block(1000);
  EXPECT_TRUE(store->load(root, tokens, block));
  EXPECT_EQ(block, block_of(1));
  EXPECT_TRUE(store->load(next, tokens, block));
  EXPECT_EQ(block, block_of(2));
  EXPECT_FALSE(store->load(root, others, block));
  EXPECT_FALSE(store->load(store->root(1), tokens, block));
  EXPECT_FALSE(store->load(store->key(root, others), tokens, block));
  const auto other_model = open("b");
  EXPECT_FALSE(other_model->load(root, tokens, block));
  EXPECT_EQ(block, block_of(2));
  EXPECT_EQ(fs::status(folder_).permissions(), fs::perms::owner_all);
}

TEST_F(PrefixStoreTest, ADamagedFileIsDeletedAndNotBelieved) {
  const std::vector<TokenId> tokens = prompt_of(32, 1);
  const auto store = open();
  const Digest root = store->root(0);
  store->save(root, tokens, block_of(1));
  store->flush();
  const fs::path path = files().at(0);
  const std::string good = *read_file(path, 1 << 20);
  std::vector<std::string> damaged{"", good.substr(0, good.size() - 1), good + "x",
                                   good.substr(0, 40)};
  for (size_t at = 0; at < good.size(); at += 61) {
    damaged.push_back(good);
    damaged.back()[at] = static_cast<char>(damaged.back()[at] ^ 4);
  }
  for (const std::string& bytes : damaged) {
    std::ofstream(path, std::ios::binary) << bytes;
    std::vector<std::byte> block(1000);
    EXPECT_FALSE(store->load(root, tokens, block));
    EXPECT_EQ(block, std::vector<std::byte>(1000));
    EXPECT_FALSE(fs::exists(path));
  }
  store->save(root, tokens, block_of(1));
  store->flush();
  EXPECT_EQ(*read_file(path, 1 << 20), good);
}

TEST_F(PrefixStoreTest, TheLongestUnusedGoFirst) {
  const auto store = open("a", 20000);  // 16 or so
  const Digest root = store->root(0);
  std::vector<std::byte> block(1000);
  const auto tokens = [](int i) { return prompt_of(32, static_cast<uint64_t>(i)); };
  for (int i = 0; i < 40; ++i) {
    store->save(root, tokens(i), block_of(i));
    store->flush();
    uint64_t bytes = 0;
    for (const fs::path& file : files()) bytes += fs::file_size(file);
    EXPECT_LE(bytes, 20000u);
    EXPECT_TRUE(store->load(root, tokens(0), block)) << i;  // used all the time
  }
  EXPECT_TRUE(store->load(root, tokens(39), block));
  EXPECT_FALSE(store->load(root, tokens(1), block));
}

TEST_F(PrefixStoreTest, AFolderThatCannotBeIsNamed) {
  std::ofstream(folder_) << "a file";
  const auto store = PrefixStore::open({folder_, 1}, {});
  ASSERT_FALSE(store.ok());
  EXPECT_THAT(store.error().message, HasSubstr(folder_.string() + " is not a folder"));
}

TEST_F(PrefixStoreTest, ALaterEngineGoesOnFromThePrefix) {
  const auto prompt = prompt_of(100, 5);
  EngineOptions options;
  options.prefix_dir = folder_;
  std::vector<TokenId> conversation = prompt;
  {
    const auto engine = make_engine(options);
    EXPECT_EQ(engine->memory().scratch_bytes - make_engine()->memory().scratch_bytes,
              PrefixStore::kQueueBytes);
    const auto answer = run(*engine, greedy(prompt, 60));
    EXPECT_EQ(answer->finished_->timings.cached_tokens, 0u);
    conversation.insert(conversation.end(), answer->tokens_.begin(), answer->tokens_.end());
  }
  const auto engine = make_engine(options);
  const auto answer = run(*engine, greedy(prompt, 60));
  EXPECT_EQ(answer->finished_->timings.cached_tokens, 96u);
  EXPECT_EQ(answer->tokens_, FakeModel::expected_answer(prompt, 60));
  EXPECT_EQ(engine->stats().kv_blocks_cached, 4u);
  const auto next = run(*engine, greedy(conversation, 10));
  EXPECT_EQ(next->finished_->timings.cached_tokens, 128u);
  EXPECT_EQ(next->tokens_, FakeModel::expected_answer(conversation, 10));
}

// Cut off where the first block is missing; the rest is computed.
TEST_F(PrefixStoreTest, AGapEndsThePrefix) {
  const auto prompt = prompt_of(200, 5);
  EngineOptions options;
  options.prefix_dir = folder_;
  run(*make_engine(options), greedy(prompt, 1));
  for (size_t keep : {5u, 2u, 0u}) {
    while (files().size() > keep) fs::remove(files().front());
    const auto engine = make_engine(options);
    const auto answer = run(*engine, greedy(prompt, 20));
    EXPECT_LE(answer->finished_->timings.cached_tokens, keep * 32);
    EXPECT_EQ(answer->tokens_, FakeModel::expected_answer(prompt, 20));
  }
}

TEST_F(PrefixStoreTest, IsNotUsedWhereNothingIsCachedOrStateIsRecurrent) {
  EngineOptions options;
  options.prefix_dir = folder_;
  options.prefix_cache = false;
  run(*make_engine(options), greedy(prompt_of(100, 5), 1));
  options.prefix_cache = true;
  FakeModelOptions model;
  model.recurrent = true;
  run(*make_engine(options, model), greedy(prompt_of(100, 5), 1));
  EXPECT_FALSE(fs::exists(folder_));
}

}  // namespace
}  // namespace localai::engine
