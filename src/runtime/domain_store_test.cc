// The store in SQLite, and changes of domains over a store that the test breaks. PostgreSQL:
// through the whole server, in tests/python/test_domain_store.py.
#include "runtime/domain_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <mutex>

#include "runtime/domain_admin.h"

namespace localai::runtime {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SqliteStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        fs::path(::testing::TempDir()) /
        ("store_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  [[nodiscard]] std::unique_ptr<DomainStore> open() const {
    return make_sqlite_domain_store(folder_ / "deep" / "x.db");
  }

  fs::path folder_;
};

DomainWrite write_of(std::string id, uint64_t replaces, std::optional<Json> config) {
  DomainWrite write;
  write.id = std::move(id);
  write.replaces = replaces;
  write.action = "update";
  write.config = std::move(config);
  return write;
}

TEST_F(SqliteStoreTest, NothingIsMadeBeforeTheFirstChange) {
  const auto store = open();
  EXPECT_TRUE(store->list()->empty());
  EXPECT_EQ(*store->revision(), 0u);
  EXPECT_TRUE(store->changes({})->empty());
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(SqliteStoreTest, VersionsFollowEachOtherAndSurvive) {
  const Json odd = {{"text", "a'\"\\ \n \xc3\xa9; DROP TABLE domain_changes"}, {"n", 0.1}};
  {
    const auto store = open();
    EXPECT_EQ(*store->append(write_of("b", 0, odd)), 1u);
    EXPECT_EQ(*store->append(write_of("b", 0, odd)), std::nullopt) << "somebody was first";
    EXPECT_EQ(*store->append(write_of("b", 2, odd)), std::nullopt) << "from the future";
    EXPECT_EQ(*store->append(write_of("a';--", 0, Json::object())), 1u);
    EXPECT_EQ(*store->append(write_of("b", 1, std::nullopt)), 2u);
  }
  const auto store = open();
  const auto listed = *store->list();
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_EQ(listed[0], (StoredDomain{"a';--", 1, Json::object()}));
  EXPECT_EQ(listed[1], (StoredDomain{"b", 2, std::nullopt}));
  EXPECT_EQ(*store->revision(), 3u);
  const auto changes = *store->changes({.id = "b"});
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].version, 2u);
  EXPECT_TRUE(changes[0].config.is_null());
  EXPECT_EQ(changes[1].config, odd);
  EXPECT_GT(changes[1].time_unix, 1.7e9);
  EXPECT_EQ(store->changes({.id = "b", .version = 1})->at(0).sequence, 1u);
  EXPECT_EQ(store->changes({.id = "", .before = 3, .limit = 1})->at(0).id, "a';--");
}

TEST_F(SqliteStoreTest, TwoStoresOverOneFile) {
  const auto one = open(), two = open();
  EXPECT_EQ(*one->append(write_of("x", 0, Json::object())), 1u);
  EXPECT_EQ(*two->append(write_of("x", 1, Json::object())), 2u);
  EXPECT_EQ(*one->append(write_of("x", 1, Json::object())), std::nullopt);
  EXPECT_EQ(*one->revision(), *two->revision());
}

TEST_F(SqliteStoreTest, FilesThatAreNoStoreAreErrorsAndStayAsTheyAre) {
  fs::create_directories(folder_ / "deep");
  const std::string junk(5000, 'x');
  std::ofstream(folder_ / "deep" / "x.db") << junk;
  const auto store = open();
  for (const Error& error : {store->list().error(), store->append(write_of("x", 0, {})).error()}) {
    EXPECT_EQ(error.code, Code::kUnavailable);
    EXPECT_THAT(error.message, HasSubstr("x.db: file is not a database"));
  }
  std::ifstream in(folder_ / "deep" / "x.db");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), junk);
  fs::remove(folder_ / "deep" / "x.db");
  EXPECT_TRUE(store->list()->empty()) << "it is tried anew";
}

TEST_F(SqliteStoreTest, AFileThatGoesWhileItIsInUseIsAnErrorUntilItIsBack) {
  const fs::path file = folder_ / "deep" / "x.db", away = folder_ / "away.db";
  const auto store = open();
  ASSERT_EQ(*store->append(write_of("x", 0, Json::object())), 1u);
  fs::rename(file, away);
  for (const Error& error : {store->append(write_of("y", 0, Json::object())).error(),
                             store->list().error(), store->revision().error()}) {
    EXPECT_EQ(error.code, Code::kUnavailable);
    EXPECT_THAT(error.message, HasSubstr("x.db: the file was deleted while it was in use"));
  }
  EXPECT_FALSE(fs::exists(file)) << "nothing is made in its place";
  fs::rename(away, file);
  EXPECT_EQ(store->list()->size(), 1u);
  EXPECT_EQ(*store->append(write_of("x", 1, Json::object())), 2u);
}

TEST_F(SqliteStoreTest, AFileInThePlaceOfAnotherIsOpenedAnew) {
  const fs::path file = folder_ / "deep" / "x.db", other = folder_ / "other.db";
  const auto store = open();
  ASSERT_EQ(*store->append(write_of("x", 0, Json::object())), 1u);
  EXPECT_EQ(*make_sqlite_domain_store(other)->append(write_of("theirs", 0, Json::object())), 1u);
  fs::remove(file.string() + "-wal");
  fs::remove(file.string() + "-shm");
  fs::rename(other, file);
  ASSERT_EQ(store->list()->size(), 1u);
  EXPECT_EQ(store->list()->front().id, "theirs");
}

TEST_F(SqliteStoreTest, AReaderSeesChangesAndMakesNone) {
  const fs::path file = folder_ / "deep" / "x.db";
  const auto reader = make_sqlite_domain_store(file, StoreAccess::kRead);
  EXPECT_TRUE(reader->list()->empty());
  EXPECT_FALSE(fs::exists(folder_));
  fs::create_directories(file.parent_path());
  std::ofstream(file).flush();
  EXPECT_TRUE(reader->list()->empty());
  EXPECT_EQ(fs::file_size(file), 0u) << "tables are a server's to make";

  const auto store = open();
  ASSERT_EQ(*store->append(write_of("x", 0, Json::object())), 1u);
  EXPECT_EQ(reader->list()->size(), 1u);
  EXPECT_EQ(reader->append(write_of("x", 1, {})).error().code, Code::kUnavailable);
  EXPECT_EQ(*store->revision(), 1u);
}

// Keeps changes in memory, until it is told to fail.
class FakeStore final : public DomainStore {
 public:
  struct State {
    std::mutex mutex;
    std::vector<StoredChange> changes;
    bool down = false, lose = false;
  };
  explicit FakeStore(std::shared_ptr<State> state) : state_(std::move(state)) {}
  Result<std::vector<StoredDomain>> list() override {
    const std::lock_guard lock(state_->mutex);
    if (state_->down) return unavailable("the fake is down");
    std::vector<StoredDomain> out;
    for (const StoredChange& change : state_->changes)
      out =
          with_change(std::move(out), change.id, change.version,
                      change.config.is_null() ? std::nullopt : std::optional<Json>(change.config));
    return out;
  }
  Result<uint64_t> revision() override {
    const std::lock_guard lock(state_->mutex);
    if (state_->down) return unavailable("the fake is down");
    return state_->changes.size();
  }
  Result<std::optional<uint64_t>> append(const DomainWrite& write) override {
    const std::lock_guard lock(state_->mutex);
    if (state_->down) return unavailable("the fake is down");
    if (state_->lose) return std::optional<uint64_t>();
    StoredChange change;
    change.id = write.id;
    change.version = write.replaces + 1;
    if (write.config) change.config = *write.config;
    change.before = write.before;
    state_->changes.push_back(std::move(change));
    return std::optional<uint64_t>(write.replaces + 1);
  }
  Result<std::vector<StoredChange>> changes(const ChangeQuery& /*query*/) override {
    const std::lock_guard lock(state_->mutex);
    if (state_->down) return unavailable("the fake is down");
    return state_->changes;
  }

 private:
  std::shared_ptr<State> state_;
};

class DomainAdminTest : public ::testing::Test {
 protected:
  void make(std::chrono::milliseconds refresh = std::chrono::hours(1)) {
    DomainAdmin::Options options;
    options.file = *parse_config_file(
        R"({"domains": {"one": {"model_path": "1.gguf"}, "two": {"model_path": "2.gguf"}}})",
        "domains.json");
    options.environment = [](std::string_view) { return std::nullopt; };
    options.refresh = refresh;
    admin_ = std::make_unique<DomainAdmin>(std::make_unique<FakeStore>(store_), std::move(options));
    served_ = admin_->load();
    admin_->start({.apply =
                       [this](DomainConfig config) {
                         const std::lock_guard lock(mutex_);
                         served_ = std::move(config);
                       },
                   .report =
                       [this](std::string type, std::string reason) {
                         const std::lock_guard lock(mutex_);
                         reports_.push_back(type + ": " + reason);
                       }});
  }
  Result<DomainChanged> change(DomainChange::Kind kind, std::string id, Json config = nullptr,
                               std::optional<uint64_t> expected = {}) {
    std::promise<Result<DomainChanged>> done;
    DomainChange wanted;
    wanted.kind = kind;
    wanted.id = std::move(id);
    wanted.config = std::move(config);
    wanted.expected = expected;
    admin_->change(std::move(wanted),
                   [&](Result<DomainChanged> changed) { done.set_value(std::move(changed)); });
    return done.get_future().get();
  }
  std::vector<std::string> ids() {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> out;
    for (const Domain& domain : served_.domains) out.push_back(domain.id);
    return out;
  }
  // What was posted before has been done.
  void settle() {
    std::promise<void> done;
    admin_->changes({}, [&](const auto&) { done.set_value(); });
    done.get_future().wait();
  }
  void set_down(bool down) {
    const std::lock_guard lock(store_->mutex);
    store_->down = down;
  }

  static constexpr auto kCreate = DomainChange::Kind::kCreate;
  static constexpr auto kReplace = DomainChange::Kind::kReplace;
  static constexpr auto kRemove = DomainChange::Kind::kRemove;
  const Json model_ = {{"model_path", "m.gguf"}};
  std::shared_ptr<FakeStore::State> store_ = std::make_shared<FakeStore::State>();
  std::mutex mutex_;
  DomainConfig served_;
  std::vector<std::string> reports_;
  std::unique_ptr<DomainAdmin> admin_;  // last: its thread uses the others
};

TEST_F(DomainAdminTest, ChangesAreServedInThePlaceOfTheFile) {
  make();
  EXPECT_EQ(change(kCreate, "zed", model_)->version, 1u);
  EXPECT_EQ(change(kCreate, "abc", model_)->version, 1u);
  EXPECT_EQ(change(kReplace, "two", Json{{"model_path", "3.gguf"}}, 0)->version, 1u);
  EXPECT_FALSE(change(kRemove, "one")->active);
  EXPECT_THAT(ids(), ElementsAre("two", "abc", "zed")) << "the file's places, then by id";
  EXPECT_EQ(served_.find("two")->model_path, "3.gguf");
  EXPECT_EQ(served_.find("two")->version, 1u);
  EXPECT_EQ(store_->changes[2].before, (Json{{"model_path", "2.gguf"}}));
  EXPECT_EQ(change(kCreate, "one", model_)->version, 2u) << "after the version that removed it";
  EXPECT_THAT(reports_.front(), HasSubstr("config_applied: domain 'zed': create, version 1"));
}

TEST_F(DomainAdminTest, WhatDoesNotFitChangesNothing) {
  make();
  EXPECT_THAT(change(kCreate, "one", model_)->conflict, HasSubstr("exists already"));
  EXPECT_THAT(change(kReplace, "one", model_, 3)->conflict, HasSubstr("at version 0, not at 3"));
  EXPECT_EQ(change(kRemove, "nobody").error().code, Code::kNotFound);
  EXPECT_EQ(change(kCreate, "auto", model_).error().message, "id: 'auto' is reserved");
  EXPECT_EQ(change(kCreate, "x", Json{{"model_path", 5}}).error().message,
            "config.model_path: 5 is not a string");
  store_->lose = true;
  EXPECT_THAT(change(kReplace, "one", model_)->conflict, HasSubstr("at the same moment"));
  EXPECT_TRUE(store_->changes.empty() && reports_.empty());
  EXPECT_THAT(ids(), ElementsAre("one", "two"));
}

TEST_F(DomainAdminTest, AStoreThatIsDownRefusesChangesAndKeepsTheDomains) {
  make();
  ASSERT_TRUE(change(kRemove, "one").ok());
  set_down(true);
  EXPECT_EQ(change(kCreate, "x", model_).error().code, Code::kUnavailable);
  admin_->reload(parse_config_file(R"({"domains": {"one": {"model_path": "1.gguf"}, "new":
                                      {"model_path": "1.gguf"}}})",
                                   "domains.json"),
                 "test");
  settle();
  EXPECT_THAT(ids(), ElementsAre("new")) << "the file's change, and the store's as last seen";
  set_down(false);
  EXPECT_TRUE(change(kCreate, "x", model_).ok());
}

TEST_F(DomainAdminTest, ABrokenFileChangesNothing) {
  make();
  admin_->reload(parse_config_file("{", "domains.json"), "SIGHUP");
  settle();
  EXPECT_THAT(ids(), ElementsAre("one", "two"));
  ASSERT_EQ(reports_.size(), 1u);
  EXPECT_THAT(reports_[0],
              HasSubstr("config_refused: SIGHUP: domains.json: not valid JSON: line 1"));
}

TEST_F(DomainAdminTest, TheChangesOfOthersAreFollowed) {
  set_down(true);
  make(std::chrono::milliseconds(1));
  EXPECT_THAT(ids(), ElementsAre("one", "two")) << "the file alone";
  {
    const std::lock_guard lock(store_->mutex);
    StoredChange change;
    change.id = "theirs";
    change.version = 1;
    change.config = model_;
    store_->changes.push_back(change);
    store_->down = false;
  }
  while (ids().size() < 3) std::this_thread::yield();
  EXPECT_THAT(ids(), ElementsAre("one", "two", "theirs"));
}

TEST_F(DomainAdminTest, AfterTheEndEverythingIsRefused) {
  make();
  admin_->stop();
  EXPECT_EQ(change(kRemove, "one").error().code, Code::kCancelled);
}

}  // namespace
}  // namespace localai::runtime
