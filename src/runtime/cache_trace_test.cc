// Random traces of the model cache against a simple oracle: requests, sizes, failures,
// cancellations, deadlines, unloads and clock steps, also in the middle of loads. The clock and the
// models are the test's own and the cache has no thread, so a seed is a trace.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "base/log.h"
#include "runtime/model_cache.h"

namespace localai::runtime {
namespace {

using std::chrono::milliseconds;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint32_t kTraces = 400;
#else
constexpr uint32_t kTraces = 12000;
#endif
constexpr int kOperations = 40, kModels = 6;

// What the oracle knows of one model.
struct Facts {
  uint64_t bytes = 0;
  bool pin = false, fails = false;
  uint32_t ttl_seconds = 0;
  // In memory:
  bool loading = false, ready = false;
  uint32_t in_use = 0;
  uint64_t last_use = 0;
  TimePoint last_used, keep_until, load_begin;
  // Failures:
  uint32_t failures = 0;
  TimePoint retry_at;
};

class Trace;

class TraceBackend final : public Backend {
 public:
  TraceBackend(Trace& trace, std::string name, uint64_t bytes);
  TraceBackend(const TraceBackend&) = delete;
  TraceBackend& operator=(const TraceBackend&) = delete;
  ~TraceBackend() override;
  [[nodiscard]] std::string_view kind() const override { return name_; }
  [[nodiscard]] engine::EngineMemory memory() const override { return {bytes_, 0, 0, 0}; }
  [[nodiscard]] uint32_t context_length() const override { return 1; }
  Result<Generation> generate(GenerateRequest, GenerateSink) override {
    return unsupported("a trace generates nothing");
  }

 private:
  Trace& trace_;
  const std::string name_;
  const uint64_t bytes_;
};

struct Client {
  std::string model;
  std::optional<TimePoint> deadline;
  std::stop_source stop;
  int answers = 0;
  std::optional<Result<ModelCache::Lease>> result;
};

class Trace {
 public:
  explicit Trace(uint32_t seed) : random_(seed) {
    budget_ = 100 + pick(300);
    for (int i = 0; i < kModels; ++i) {
      Facts& model = models_["m" + std::to_string(i)];
      model.bytes = 20 + pick(180);
      model.pin = pick(8) == 0;
      model.fails = pick(6) == 0;
      model.ttl_seconds = pick(3) == 0 ? static_cast<uint32_t>(1 + pick(20)) : 0;
    }
    CacheOptions options;
    options.budget_bytes = budget_;
    options.own_thread = false;
    options.now = [this] { return now_; };
    cache_ = std::make_unique<ModelCache>(std::make_unique<Opener>(*this), options);
    watch_ = cache_->events().watch(0, [this](const ModelEvent& event) { on_event(event); });
  }

  void run() {
    for (int i = 0; i < kOperations && !::testing::Test::HasFailure(); ++i) {
      operate();
      check_bytes();
    }
    drain();
    for (auto& client : clients_) {
      EXPECT_EQ(client->answers, 1);
      drop(*client);
    }
    cache_.reset();
    EXPECT_EQ(alive_, 0u);
  }

  // Of TraceBackend.
  void born(const std::string& name, uint64_t bytes) {
    alive_ += bytes;
    EXPECT_LE(alive_, budget_) << name;
  }
  void died(const std::string& name, uint64_t bytes) {
    alive_ -= bytes;
    EXPECT_EQ(models_[name].in_use, 0u) << name << " was freed in use";
  }

 private:
  class Opener final : public ModelOpener {
   public:
    explicit Opener(Trace& trace) : trace_(trace) {}
    Result<engine::EngineMemory> predict(const ModelSource& source) override {
      return trace_.predict(source.name);
    }
    Result<std::unique_ptr<Backend>> load(const ModelSource& source,
                                          const std::function<bool()>& wanted) override {
      return trace_.load(source.name, wanted);
    }

   private:
    Trace& trace_;
  };

  uint64_t pick(uint64_t below) { return random_() % below; }
  std::string any_model() { return "m" + std::to_string(pick(kModels)); }

  Result<engine::EngineMemory> predict(const std::string& name) {
    EXPECT_GE(now_, models_[name].retry_at) << name << " is tried again too soon";
    return engine::EngineMemory{models_[name].bytes, 0, 0, 0};
  }

  Result<std::unique_ptr<Backend>> load(const std::string& name,
                                        const std::function<bool()>& wanted) {
    Facts& model = models_[name];
    EXPECT_TRUE(model.loading && !model.ready);
    for (uint64_t i = pick(4); i > 0; --i) disturb();
    now_ += milliseconds(pick(2000));
    if (!wanted()) {
      EXPECT_FALSE(anybody_wants(name)) << name;
      return cancelled("nobody wants it");
    }
    if (model.fails) {
      model.retry_at = now_ + std::min(milliseconds(2000) * (1 << std::min(model.failures, 16u)),
                                       milliseconds(60000));
      ++model.failures;
      return corrupt("broken");
    }
    return std::unique_ptr<Backend>(std::make_unique<TraceBackend>(*this, name, model.bytes));
  }

  bool anybody_wants(const std::string& name) {
    return std::any_of(clients_.begin(), clients_.end(), [&](const auto& client) {
      return client->model == name && client->answers == 0 && !client->stop.stop_requested();
    });
  }

  // The oracle's own way to victims: who may go now, oldest first, as few as needed.
  std::optional<std::vector<std::string>> victims_for(const std::string& name, TimePoint at) {
    uint64_t used = 0;
    std::vector<std::pair<uint64_t, std::string>> idle;
    for (const auto& [other, facts] : models_) {
      if (!facts.ready) continue;
      used += facts.bytes;
      if (facts.in_use == 0 && !facts.pin && facts.keep_until <= at)
        idle.emplace_back(facts.last_use, other);
    }
    std::sort(idle.begin(), idle.end());
    std::vector<std::string> out;
    for (size_t i = 0; used + models_[name].bytes > budget_; ++i) {
      if (i == idle.size()) return std::nullopt;
      out.push_back(idle[i].second);
      used -= models_[idle[i].second].bytes;
    }
    return out;
  }

  void on_event(const ModelEvent& event) {
    Facts& model = models_[event.model];
    if (event.type == "load_started") {
      std::vector<std::string> planned;
      for (const Eviction& eviction : event.evict) planned.push_back(eviction.id);
      EXPECT_EQ(victims_for(event.model, now_), std::optional(planned)) << event.model;
      EXPECT_FALSE(model.ready || model.loading);
      model.loading = true;
      model.load_begin = now_;
      expected_evictions_ = planned;
      last_plan_ = event;
    } else if (event.type == "evicted") {
      ASSERT_FALSE(expected_evictions_.empty()) << "not in the plan: " << event.model;
      EXPECT_EQ(event.model, expected_evictions_.front());
      expected_evictions_.erase(expected_evictions_.begin());
      forget(model);
    } else if (event.type == "unloaded") {
      if (event.reason != "asked for") {
        EXPECT_FALSE(model.pin || model.ttl_seconds == 0);
        EXPECT_LE(model.last_used + std::chrono::seconds(model.ttl_seconds), now_);
      }
      forget(model);
    } else {
      model.loading = false;
      if (event.type == "load_failed") return;
      EXPECT_TRUE(expected_evictions_.empty());
      model.ready = true;
      model.failures = 0;
      const auto took = now_ - model.load_begin;
      model.keep_until = now_ + std::min<std::chrono::nanoseconds>(3 * took, milliseconds(10000));
      touch(model);
    }
  }

  void forget(Facts& model) {
    EXPECT_TRUE(model.ready && model.in_use == 0);
    model.ready = false;
  }

  void touch(Facts& model) {
    model.last_use = ++uses_;
    model.last_used = now_;
  }

  std::shared_ptr<Client> request(const std::string& name, std::optional<TimePoint> deadline) {
    auto client = std::make_shared<Client>();
    client->model = name;
    client->deadline = deadline;
    clients_.push_back(client);
    if (models_[name].ready) touch(models_[name]);
    cache_->acquire(
        source(name), {.stop = client->stop.get_token(), .deadline = deadline},
        [this, client](Result<ModelCache::Lease> lease) { answered(*client, std::move(lease)); });
    return client;
  }

  ModelSource source(const std::string& name) {
    ModelSource out;
    out.path = "/" + name;
    out.name = name;
    out.pin = models_[name].pin;
    out.ttl_seconds = models_[name].ttl_seconds;
    return out;
  }

  void answered(Client& client, Result<ModelCache::Lease> lease) {
    ++client.answers;
    Facts& model = models_[client.model];
    if (lease.ok()) {
      EXPECT_TRUE(model.ready);
      EXPECT_EQ(lease->backend().kind(), client.model);
      ++model.in_use;
    } else {
      check_refusal(client, model, lease.error());
    }
    client.result.emplace(std::move(lease));
  }

  void check_refusal(const Client& client, Facts& model, const Error& error) {
    const bool stopped = client.stop.stop_requested();
    switch (error.code) {
      case Code::kCancelled:
        EXPECT_TRUE(stopped);
        if (model.ready) touch(model);  // the lease that nobody took was given back
        break;
      case Code::kUnavailable:
        EXPECT_TRUE(client.deadline && *client.deadline <= now_);
        break;
      case Code::kExhausted:
        EXPECT_GT(model.bytes + pinned_bytes(), budget_);
        break;
      default:
        EXPECT_EQ(error.message, "broken");
        EXPECT_GT(model.failures, 0u);
    }
  }

  uint64_t pinned_bytes() {
    uint64_t bytes = 0;
    for (const auto& [name, model] : models_)
      if (model.ready && model.pin) bytes += model.bytes;
    return bytes;
  }

  void drop(Client& client) {
    if (!client.result || !client.result->ok()) return;
    --models_[client.model].in_use;
    touch(models_[client.model]);
    client.result.emplace(cancelled("dropped by the test"));
  }

  // What may also happen in the middle of a load.
  void disturb() {
    switch (pick(4)) {
      case 0:
        request(any_model(), deadline());
        break;
      case 1:
        if (!clients_.empty()) clients_[pick(clients_.size())]->stop.request_stop();
        break;
      case 2:
        if (!clients_.empty()) drop(*clients_[pick(clients_.size())]);
        break;
      default:
        now_ += milliseconds(pick(3000));
    }
  }

  std::optional<TimePoint> deadline() {
    if (pick(2) == 0) return std::nullopt;
    return now_ + milliseconds(pick(4) * 1500);
  }

  void operate() {
    switch (pick(8)) {
      case 0:
        models_[any_model()].fails ^= pick(3) == 0;
        break;
      case 1:
        unload(any_model());
        break;
      case 2:
        plan_and_do(any_model());
        break;
      case 3:
      case 4:
        settle();
        break;
      case 5:
        cache_->step();
        break;
      default:
        disturb();
    }
  }

  void unload(const std::string& name) {
    std::optional<Result<uint64_t>> outcome;
    cache_->unload("/" + name, [&](Result<uint64_t> freed) { outcome.emplace(std::move(freed)); });
    const bool was_ready = models_[name].ready, used = models_[name].in_use > 0;
    while (!outcome && cache_->step()) {
    }
    ASSERT_TRUE(outcome.has_value());
    if (was_ready && !used && outcome->ok()) {
      EXPECT_EQ(**outcome, models_[name].bytes);
    }
    if (was_ready && used) {
      EXPECT_EQ(outcome->error().code, Code::kUnavailable);
    }
  }

  // A plan changes nothing; asked for at once, it is what then happens.
  void plan_and_do(const std::string& name) {
    settle();
    if (waiting() > 0) return;
    const LoadedModels before = cache_->loaded();
    std::optional<Result<LoadPlan>> planned;
    cache_->plan(source(name), [&](Result<LoadPlan> plan) { planned.emplace(std::move(plan)); });
    while (!planned && cache_->step()) {
    }
    ASSERT_TRUE(planned.has_value());
    EXPECT_EQ(cache_->loaded().models.size(), before.models.size());
    Facts& model = models_[name];
    if (!planned->ok()) {
      EXPECT_LT(now_, model.retry_at);
      return;
    }
    const LoadPlan& plan = **planned;
    EXPECT_EQ(plan.loaded, model.ready);
    const auto expected = victims_for(name, now_);
    if (!model.ready) {
      EXPECT_EQ(plan.fits && plan.wait_ms == 0, expected.has_value()) << name;
    }
    if (!plan.fits || model.ready) return;
    now_ += std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double, std::milli>(plan.wait_ms));
    if (unloads_by_ttl()) return;  // the wait changed what is held
    last_plan_ = {};
    request(name, now_);
    while (last_plan_.id == 0 && cache_->step()) {
    }
    EXPECT_EQ(last_plan_.bytes, plan.bytes);
    ASSERT_EQ(last_plan_.evict.size(), plan.evict.size()) << name;
    for (size_t i = 0; i < plan.evict.size(); ++i) {
      EXPECT_EQ(last_plan_.evict[i].id, plan.evict[i].id);
      EXPECT_EQ(last_plan_.evict[i].bytes, plan.evict[i].bytes);
      EXPECT_EQ(last_plan_.evict[i].reason, plan.evict[i].reason);
    }
  }

  bool unloads_by_ttl() {
    const size_t before = cache_->loaded().models.size();
    settle();
    return cache_->loaded().models.size() != before;
  }

  int waiting() const {
    return static_cast<int>(std::count_if(clients_.begin(), clients_.end(),
                                          [](const auto& client) { return client->answers == 0; }));
  }

  // Until the cache has nothing to do: then nothing that could be done may be left.
  void settle() {
    while (cache_->step()) check_bytes();
    for (const auto& client : clients_) {
      if (client->answers > 0) continue;
      EXPECT_FALSE(client->stop.stop_requested());
      EXPECT_FALSE(victims_for(client->model, now_)) << client->model << " fits, but waits";
      EXPECT_FALSE(client->deadline && *client->deadline <= now_) << "waits past its deadline";
    }
    for (const auto& [name, model] : models_)
      if (model.ready && model.in_use == 0 && !model.pin && model.ttl_seconds > 0) {
        EXPECT_GT(model.last_used + std::chrono::seconds(model.ttl_seconds), now_) << name;
      }
  }

  void check_bytes() {
    const uint64_t reserved = cache_->loaded().bytes;
    EXPECT_LE(reserved, budget_);
    EXPECT_LE(alive_, reserved);
  }

  void drain() {
    for (int i = 0; i < 100 && !::testing::Test::HasFailure(); ++i) {
      settle();
      if (waiting() == 0) return;
      for (auto& client : clients_) drop(*client);
      now_ += std::chrono::seconds(1);
    }
  }

  std::mt19937 random_;
  TimePoint now_{std::chrono::hours(1)};
  uint64_t budget_ = 0, alive_ = 0, uses_ = 0;
  std::map<std::string, Facts> models_;
  std::vector<std::shared_ptr<Client>> clients_;
  std::vector<std::string> expected_evictions_;
  ModelEvent last_plan_;
  std::unique_ptr<ModelCache> cache_;
  std::shared_ptr<EventLog::Watch> watch_;
};

TraceBackend::TraceBackend(Trace& trace, std::string name, uint64_t bytes)
    : trace_(trace), name_(std::move(name)), bytes_(bytes) {
  trace_.born(name_, bytes_);
}

TraceBackend::~TraceBackend() { trace_.died(name_, bytes_); }

TEST(ModelCacheTraces, TheCacheDoesWhatASimpleOracleExpects) {
  log::init("warn");  // a line a load would be a hundred thousand
  for (uint32_t seed = 0; seed < kTraces; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Trace(seed).run();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace localai::runtime
