#include "runtime/model_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <random>

#include "runtime/fake_models.h"

namespace localai::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Lease = ModelCache::Lease;

constexpr uint64_t kMiB = 1u << 20;

class ModelCacheTest : public ::testing::Test {
 protected:
  void make(uint64_t budget) {
    CacheOptions options;
    options.budget_bytes = budget;
    options.now = [this] { return std::chrono::steady_clock::time_point(clock_.load()); };
    cache_ = std::make_unique<ModelCache>(std::make_unique<FakeOpener>(world_), std::move(options));
  }
  static ModelSource source(const std::string& name, bool pin = false) {
    ModelSource out;
    out.path = "/models/" + name;
    out.name = name;
    out.pin = pin;
    return out;
  }
  std::future<Result<Lease>> ask(const ModelSource& what, std::stop_token stop = {}) {
    auto promise = std::make_shared<std::promise<Result<Lease>>>();
    auto future = promise->get_future();
    cache_->acquire(what, {.stop = std::move(stop), .deadline = deadline_},
                    [promise](Result<Lease> lease) { promise->set_value(std::move(lease)); });
    return future;
  }
  Result<Lease> get(const std::string& name) { return ask(source(name)).get(); }
  std::string failure(const std::string& name) {
    const auto lease = get(name);
    return lease.ok() ? "" : lease.error().message;
  }
  Result<LoadPlan> plan_for(const std::string& name) {
    std::promise<Result<LoadPlan>> planned;
    cache_->plan(source(name), [&](Result<LoadPlan> plan) { planned.set_value(std::move(plan)); });
    return planned.get_future().get();
  }
  std::vector<std::string> held() {
    std::vector<std::string> out;
    for (const LoadedEntry& model : cache_->loaded().models) out.push_back(model.id);
    return out;
  }
  void size(const std::string& name, uint64_t bytes) {
    const std::lock_guard lock(world_.mutex);
    world_.models[name].bytes = bytes;
  }
  void live_in(const std::string& host, const std::vector<std::string>& guests) {
    const std::lock_guard lock(world_.mutex);
    for (const std::string& guest : guests) world_.models[guest].host = host;
  }
  uint32_t guests_of_m1() {
    const std::vector<std::string> names = held();
    return static_cast<uint32_t>(std::count(names.begin(), names.end(), "m4") +
                                 std::count(names.begin(), names.end(), "m5"));
  }
  void advance(std::chrono::milliseconds step) { clock_ = clock_.load() + step; }

  FakeWorld world_;
  std::atomic<std::chrono::steady_clock::duration> clock_{std::chrono::hours(1)};
  std::optional<TimePoint> deadline_ = TimePoint();  // none of the clock: what fits now or never
  std::unique_ptr<ModelCache> cache_;                // last: it uses the others
};

TEST_F(ModelCacheTest, AHundredRequestsLoadAModelOnce) {
  make(1000);
  world_.hold(true);
  std::vector<std::future<Result<Lease>>> waiting;
  for (int i = 0; i < 100; ++i) waiting.push_back(ask(source("a")));
  world_.hold(false);
  std::vector<Result<Lease>> leases;
  for (auto& future : waiting) leases.push_back(future.get());
  for (const auto& lease : leases) ASSERT_TRUE(lease.ok()) << lease.error().message;
  EXPECT_EQ(world_.count("open a"), 1);
  EXPECT_EQ(cache_->loaded().models[0].in_use, 100u);
  leases.clear();
  EXPECT_EQ(cache_->loaded().models[0].in_use, 0u);
}

TEST_F(ModelCacheTest, AModelThatCanNeverFitIsRefusedWithTheFigures) {
  make(300 * kMiB);
  size("small", 100 * kMiB);
  size("big", 301 * kMiB);
  EXPECT_EQ(failure("big"),
            "model 'big' needs 301 MiB, the budget is 300 MiB (MODEL_CACHE_MAX_MEMORY_MB); nothing "
            "else is loaded");
  ASSERT_TRUE(get("small").ok());
  EXPECT_EQ(failure("big"),
            "model 'big' needs 301 MiB, the budget is 300 MiB (MODEL_CACHE_MAX_MEMORY_MB); loaded: "
            "small 100 MiB");
  EXPECT_THAT(held(), ElementsAre("small")) << "a refusal unloads nobody";
  EXPECT_EQ(get("big").error().code, Code::kExhausted);
}

TEST_F(ModelCacheTest, AModelWhoseFileAloneIsTooBigIsNotEvenOpened) {
  make(100);
  size("big", 202);
  EXPECT_FALSE(get("big").ok());
  EXPECT_EQ(world_.count("open big"), 0);
}

TEST_F(ModelCacheTest, TheLeastRecentlyUsedIdleModelMakesRoom) {
  make(300);
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(get(name).ok());
  ASSERT_TRUE(get("a").ok());  // b is now the oldest
  ASSERT_TRUE(get("d").ok());
  EXPECT_THAT(held(), ElementsAre("a", "c", "d"));
  EXPECT_EQ(cache_->loaded().bytes, 300u);
  EXPECT_LE(world_.bytes_peak, 300u);
}

TEST_F(ModelCacheTest, AModelInUseOrPinnedIsNeverUnloaded) {
  make(200 * kMiB);
  for (const char* name : {"a", "b", "c"}) size(name, 100 * kMiB);
  auto used = get("a");
  ASSERT_TRUE(used.ok());
  ASSERT_TRUE(ask(source("b", true)).get().ok());
  EXPECT_EQ(failure("c"),
            "no room in time: model 'c' needs 100 MiB, the budget is 200 MiB "
            "(MODEL_CACHE_MAX_MEMORY_MB); loaded: a 100 MiB (in use), b 100 MiB (pinned)");
  used = cancelled("dropped");  // the lease goes
  EXPECT_TRUE(get("c").ok());
  EXPECT_THAT(held(), ElementsAre("b", "c"));
}

TEST_F(ModelCacheTest, AFailedLoadIsRememberedAndTriedAgainLater) {
  make(1000);
  {
    const std::lock_guard lock(world_.mutex);
    world_.models["bad"].open_error = corrupt("bad.gguf: magic is 0");
  }
  EXPECT_EQ(failure("bad"), "bad.gguf: magic is 0");
  EXPECT_EQ(failure("bad"), "bad.gguf: magic is 0");
  EXPECT_EQ(world_.count("open bad"), 1);
  EXPECT_TRUE(get("good").ok()) << "others are not held up";
  advance(std::chrono::milliseconds(2000));
  EXPECT_FALSE(get("bad").ok());
  EXPECT_EQ(world_.count("open bad"), 2);
  advance(std::chrono::milliseconds(2000));  // the second time it waits twice as long
  EXPECT_FALSE(get("bad").ok());
  EXPECT_EQ(world_.count("open bad"), 2);
  advance(std::chrono::milliseconds(2000));
  {
    const std::lock_guard lock(world_.mutex);
    world_.models["bad"].open_error.reset();
  }
  EXPECT_TRUE(get("bad").ok());
  EXPECT_EQ(cache_->loaded().bytes, 200u);
}

TEST_F(ModelCacheTest, AnExceptionFailsOneLoadOnly) {
  make(1000);
  {
    const std::lock_guard lock(world_.mutex);
    world_.models["a"].throws = true;
  }
  EXPECT_EQ(failure("a"), "model 'a': out of memory while loading");
  EXPECT_TRUE(get("b").ok());
}

TEST_F(ModelCacheTest, ALoadThatNobodyWaitsForIsGivenUp) {
  make(1000);
  world_.hold(true);
  std::stop_source stop;
  auto waiting = ask(source("a"), stop.get_token());
  world_.wait([&] { return world_.opens_waiting == 1; });
  stop.request_stop();
  world_.hold(false);
  const auto lease = waiting.get();
  ASSERT_FALSE(lease.ok());
  EXPECT_EQ(lease.error().code, Code::kCancelled);
  EXPECT_EQ(world_.count("start a"), 0);
  EXPECT_EQ(cache_->loaded().bytes, 0u);
  EXPECT_TRUE(get("a").ok()) << "a cancelled load is no failure";
}

TEST_F(ModelCacheTest, OneWaiterThatGivesUpDoesNotCancelTheOthers) {
  make(1000);
  world_.hold(true);
  std::stop_source stop;
  auto first = ask(source("a"), stop.get_token());
  auto second = ask(source("a"));
  world_.wait([&] { return world_.opens_waiting == 1; });
  stop.request_stop();
  world_.hold(false);
  EXPECT_EQ(first.get().error().code, Code::kCancelled);
  const auto lease = second.get();
  ASSERT_TRUE(lease.ok());
  EXPECT_EQ(cache_->loaded().models[0].in_use, 1u);
}

TEST_F(ModelCacheTest, StoppingAnswersEveryoneWhoWaits) {
  make(1000);
  world_.hold(true);
  auto loading = ask(source("a"));
  auto queued = ask(source("b"));
  world_.wait([&] { return world_.opens_waiting == 1; });
  // The load goes on once the cache is stopping, which it says to who asks now.
  std::thread release([&, cache = cache_.get()] {
    const auto stopping = std::make_shared<std::atomic<bool>>(false);
    while (!*stopping)
      cache->acquire(source("c"), {}, [stopping](const auto&) { *stopping = true; });
    world_.hold(false);
  });
  cache_.reset();
  release.join();
  const auto outcome = loading.get();
  EXPECT_TRUE(outcome.ok() || outcome.error().code == Code::kCancelled);
  EXPECT_EQ(queued.get().error().message, "the server is stopping");
}

TEST_F(ModelCacheTest, WhoWaitsForRoomGetsItWhenAnotherIsDone) {
  make(150);
  auto used = get("a");
  ASSERT_TRUE(used.ok());
  deadline_.reset();
  auto waiting = ask(source("b"));
  EXPECT_EQ(waiting.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  EXPECT_TRUE(get("a").ok()) << "who needs no room is not held up";
  used = cancelled("dropped");
  EXPECT_TRUE(waiting.get().ok());
  EXPECT_THAT(held(), ElementsAre("b"));
}

TEST_F(ModelCacheTest, AModelLeavesAfterItsTtl) {
  make(1000);
  ModelSource brief = source("a"), pinned = source("b", true);
  brief.ttl_seconds = pinned.ttl_seconds = 5;
  ASSERT_TRUE(ask(brief).get().ok());
  ASSERT_TRUE(ask(pinned).get().ok());
  advance(std::chrono::seconds(5));
  ASSERT_TRUE(get("c").ok());  // the loader looks around when it is woken
  EXPECT_THAT(held(), ElementsAre("b", "c"));
  EXPECT_EQ(cache_->events().since(0)[4].reason, "not used for ttl_seconds (5)");
}

TEST_F(ModelCacheTest, APlanIsWhatThenHappens) {
  make(250);
  for (const char* name : {"a", "b"}) ASSERT_TRUE(get(name).ok());
  size("c", 200);
  const Result<LoadPlan> plan = plan_for("c");
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(held(), ElementsAre("a", "b")) << "a plan changes nothing";
  EXPECT_TRUE(plan->fits);
  EXPECT_FALSE(plan->loaded);
  EXPECT_EQ(plan->bytes, 200u);
  ASSERT_EQ(plan->evict.size(), 2u);
  EXPECT_EQ(plan->evict[0].id, "a");
  EXPECT_EQ(plan->evict[0].reason, "least recently used, makes room for 'c'");
  ASSERT_TRUE(get("c").ok());
  std::string types;
  for (const ModelEvent& event : cache_->events().since(4))
    types += event.type + " " + event.model + ";";
  EXPECT_EQ(types, "load_started c;evicted a;evicted b;load_finished c;");
}

TEST_F(ModelCacheTest, UnloadTakesOutWhatIsIdleAndRefusesWhatIsInUse) {
  make(1000);
  const auto unload = [&](const char* name) {
    std::promise<Result<uint64_t>> done;
    cache_->unload(source(name).path, [&](Result<uint64_t> freed) { done.set_value(freed); });
    return done.get_future().get();
  };
  auto lease = ask(source("a", true)).get();
  EXPECT_EQ(unload("a").error().message, "model 'a' is in use");
  lease = cancelled("dropped");
  EXPECT_EQ(*unload("a"), 100u);
  EXPECT_EQ(*unload("a"), 0u);
  EXPECT_THAT(held(), IsEmpty());
}

TEST_F(ModelCacheTest, ALoadThatTakesMoreThanPredictedStaysWithinTheBudget) {
  make(250);
  {
    const std::lock_guard lock(world_.mutex);
    world_.models["greedy"].surprise = 40;
    world_.models["worse"].surprise = 200;
  }
  ASSERT_TRUE(get("a").ok());
  ASSERT_TRUE(get("greedy").ok());
  EXPECT_EQ(cache_->loaded().bytes, 240u);
  EXPECT_EQ(get("worse").error().code, Code::kExhausted);
  EXPECT_LE(cache_->loaded().bytes, 250u);
}

TEST_F(ModelCacheTest, AHostIsLoadedBeforeItsGuestsAndGoesAfterThem) {
  make(400);
  live_in("host", {"a", "b"});
  ASSERT_TRUE(get("a").ok());
  ASSERT_TRUE(get("b").ok());
  EXPECT_THAT(held(), ElementsAre("a", "b", "host"));
  EXPECT_EQ(cache_->loaded().bytes, 300u);
  EXPECT_EQ(world_.count("open host"), 1);
  size("c", 200);
  ASSERT_TRUE(get("c").ok());
  EXPECT_THAT(held(), ElementsAre("b", "c", "host")) << "a guest is enough";
  size("d", 350);
  ASSERT_TRUE(get("d").ok());
  EXPECT_THAT(held(), ElementsAre("d"));
  std::string types;
  for (const ModelEvent& event : cache_->events().since(0))
    types += event.type + " " + event.model + ";";
  EXPECT_EQ(types,
            "load_started host;load_finished host;load_started a;load_finished a;"
            "load_started b;load_finished b;load_started c;evicted a;load_finished c;"
            "load_started d;evicted b;evicted host;evicted c;load_finished d;");
  EXPECT_LE(world_.bytes_peak, 400u);
}

TEST_F(ModelCacheTest, AHostStaysAsLongAsAGuestIsInUse) {
  make(300);
  live_in("host", {"a"});
  auto used = get("a");
  ASSERT_TRUE(used.ok());
  size("c", 150);
  EXPECT_EQ(get("c").error().code, Code::kUnavailable);
  EXPECT_THAT(held(), ElementsAre("a", "host"));
  used = cancelled("dropped");
  EXPECT_TRUE(get("c").ok());
  EXPECT_THAT(held(), ElementsAre("c", "host")) << "the guest's bytes are enough";
}

TEST_F(ModelCacheTest, WhatFailsWithAHostFailsItsGuests) {
  make(250);
  live_in("host", {"a"});
  {
    const std::lock_guard lock(world_.mutex);
    world_.models["host"].open_error = unavailable("the host does not start");
  }
  EXPECT_EQ(failure("a"), "the host does not start");
  EXPECT_THAT(held(), IsEmpty());
  {
    const std::lock_guard lock(world_.mutex);
    world_.models["host"].open_error.reset();
    world_.models["a"].open_error = unavailable("the guest does not load");
  }
  EXPECT_EQ(failure("a"), "the guest does not load");
  EXPECT_THAT(held(), ElementsAre("host"));
  EXPECT_EQ(cache_->loaded().models[0].in_use, 0u);
  size("host", 300 * kMiB);
  size("c", 250);
  ASSERT_TRUE(get("c").ok());
  EXPECT_EQ(get("a").error().code, Code::kExhausted) << "the host can never fit";
}

TEST_F(ModelCacheTest, AGuestWaitsForRoomForItsHost) {
  make(250);
  live_in("host", {"a"});
  size("c", 200);
  auto used = get("c");
  ASSERT_TRUE(used.ok());
  EXPECT_THAT(failure("a"), ::testing::StartsWith("no room in time: model 'host' needs"));
  deadline_.reset();
  std::stop_source stop;
  auto waiting = ask(source("a"), stop.get_token());
  auto given_up = ask(source("a"), stop.get_token());
  stop.request_stop();
  EXPECT_EQ(waiting.get().error().code, Code::kCancelled);
  EXPECT_EQ(given_up.get().error().code, Code::kCancelled);
  waiting = ask(source("a"));
  used = cancelled("dropped");
  EXPECT_TRUE(waiting.get().ok());
  EXPECT_THAT(held(), ElementsAre("a", "host"));
}

TEST_F(ModelCacheTest, AHostThatNobodyWaitsForIsGivenUp) {
  make(1000);
  live_in("host", {"a"});
  world_.hold(true);
  std::stop_source stop;
  auto waiting = ask(source("a"), stop.get_token());
  world_.wait([&] { return world_.opens_waiting == 1; });
  stop.request_stop();
  world_.hold(false);
  EXPECT_EQ(waiting.get().error().code, Code::kCancelled);
  EXPECT_EQ(world_.count("start host"), 0);
  EXPECT_TRUE(get("a").ok());
}

TEST_F(ModelCacheTest, APlanForAGuestLoadsItsHost) {
  make(250);
  live_in("host", {"a"});
  const auto fits = plan_for("a");
  ASSERT_TRUE(fits.ok()) << fits.error().message;
  EXPECT_TRUE(fits->fits);
  EXPECT_EQ(fits->bytes, 100u);
  EXPECT_THAT(held(), ElementsAre("host"));
  size("c", 250);
  auto used = get("c");
  ASSERT_TRUE(used.ok());
  EXPECT_EQ(plan_for("a").error().code, Code::kUnavailable) << "it does not wait for room";
}

// Random traces from many threads: the budget holds at every moment, as the fakes themselves count
// it, and every lease is of the model that was asked for.
TEST_F(ModelCacheTest, TheBudgetHoldsUnderManyThreads) {
  make(350);
  for (int i = 0; i < 6; ++i) size("m" + std::to_string(i), 40 + 30 * static_cast<uint64_t>(i));
  live_in("m1", {"m4", "m5"});
  std::atomic<int> granted{0}, refused{0};
  {
    std::vector<std::jthread> clients;
    for (uint32_t seed = 0; seed < 8; ++seed)
      clients.emplace_back([&, seed] {
        std::mt19937 random(seed);
        for (int i = 0; i < 100; ++i) {
          const std::string name = "m" + std::to_string(random() % 6);
          std::stop_source stop;
          auto asked = ask(source(name), stop.get_token());
          if (random() % 8 == 0) stop.request_stop();
          if (random() % 8 == 0) cache_->unload(source(name).path, [](const auto&) {});
          if (random() % 8 == 0) cache_->plan(source(name), [](const auto&) {});
          auto lease = asked.get();
          (lease.ok() ? granted : refused) += 1;
          if (lease.ok()) {
            EXPECT_EQ(lease->backend().kind(), "gguf");
          }
          if (random() % 2 == 0) std::this_thread::yield();
        }
      });
  }
  EXPECT_EQ(granted + refused, 800);
  EXPECT_GT(granted, 0);
  EXPECT_LE(world_.bytes_peak, 350u);
  EXPECT_LE(cache_->loaded().bytes, 350u);
  for (const LoadedEntry& model : cache_->loaded().models)
    EXPECT_EQ(model.in_use, model.id == "m1" ? guests_of_m1() : 0) << model.id;
}

}  // namespace
}  // namespace localai::runtime
