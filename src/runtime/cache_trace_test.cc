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
// m0 is a model like the others, and the host of the last two.
constexpr const char* kHost = "m0";
bool is_guest(const std::string& name) { return name == "m4" || name == "m5"; }

// What the oracle knows of one model.
struct Facts {
  uint64_t bytes = 0;
  bool pin = false, fails = false;
  uint32_t ttl_seconds = 0;
  // In memory:
  bool loading = false, ready = false;
  uint32_t in_use = 0;
  bool holds_host = false;  // of a guest, loaded or on its way there
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
      Facts& model = models_[name_of(i)];
      model.bytes = 20 + pick(180);
      model.pin = pick(8) == 0;
      model.fails = pick(6) == 0 && name_of(i) != kHost;
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
    std::optional<ModelSource> host_of(const ModelSource& source) override {
      return trace_.host_of(source.name);
    }
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
  static std::string name_of(int index) { return "m" + std::to_string(index); }
  std::string any_model() { return name_of(static_cast<int>(pick(kModels))); }

  // The cache takes hold of a host that is there right after it asked.
  std::optional<ModelSource> host_of(const std::string& name) {
    if (!is_guest(name)) return std::nullopt;
    if (!planning_) {
      if (models_[kHost].ready)
        hold_host(name);
      else
        waiting_for_host_.insert(name);
    }
    return source(kHost);
  }
  void hold_host(const std::string& name) {
    EXPECT_FALSE(models_[name].holds_host);
    models_[name].holds_host = true;
    touch(models_[kHost]);
  }
  void let_host_go(const std::string& name) {
    waiting_for_host_.erase(name);
    if (!std::exchange(models_[name].holds_host, false)) return;
    EXPECT_TRUE(models_[kHost].ready) << "gone before its guest " << name;
    touch(models_[kHost]);
  }

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

  bool anybody_waits(const std::string& name) {
    return std::any_of(clients_.begin(), clients_.end(), [&](const auto& client) {
      return client->model == name && client->answers == 0;
    });
  }

  bool anybody_wants(const std::string& name) {
    return std::any_of(clients_.begin(), clients_.end(), [&](const auto& client) {
      return client->model == name && client->answers == 0 && !client->stop.stop_requested();
    });
  }

  // The oracle's own way to victims: who may go now, oldest first, as few as needed; a host once
  // its guests are gone.
  std::optional<std::vector<std::string>> victims_for(const std::string& name, TimePoint at) {
    std::set<std::string> stay;
    uint64_t used = 0;
    for (const auto& [other, facts] : models_) {
      if (!facts.ready) continue;
      stay.insert(other);
      used += facts.bytes;
    }
    std::vector<std::string> out;
    while (used + models_[name].bytes > budget_) {
      std::string oldest;
      for (const std::string& other : stay) {
        const Facts& facts = models_[other];
        const bool may_go = facts.in_use == 0 && !facts.pin && facts.keep_until <= at &&
                            !(other == kHost && has_guests(stay));
        if (may_go && (oldest.empty() || facts.last_use < models_[oldest].last_use)) oldest = other;
      }
      if (oldest.empty()) return std::nullopt;
      out.push_back(oldest);
      stay.erase(oldest);
      used -= models_[oldest].bytes;
    }
    return out;
  }

  static std::set<std::string> names() {
    std::set<std::string> out;
    for (int i = 0; i < kModels; ++i) out.insert(name_of(i));
    return out;
  }

  // Among those that `stay` or that are on their way.
  bool has_guests(const std::set<std::string>& stay) {
    return std::any_of(models_.begin(), models_.end(), [&](const auto& known) {
      return known.second.holds_host && (!known.second.ready || stay.count(known.first) > 0);
    });
  }

  void on_event(const ModelEvent& event) {
    Facts& model = models_[event.model];
    if (event.type == "load_started") {
      std::vector<std::string> planned;
      for (const Eviction& eviction : event.evict) planned.push_back(eviction.id);
      EXPECT_EQ(victims_for(event.model, now_), std::optional(planned)) << event.model;
      EXPECT_FALSE(model.ready || model.loading);
      EXPECT_EQ(model.holds_host, is_guest(event.model));
      model.loading = true;
      model.load_begin = now_;
      expected_evictions_ = planned;
      last_plan_ = event;
    } else if (event.type == "evicted") {
      ASSERT_FALSE(expected_evictions_.empty()) << "not in the plan: " << event.model;
      EXPECT_EQ(event.model, expected_evictions_.front());
      expected_evictions_.erase(expected_evictions_.begin());
      forget(event.model);
    } else if (event.type == "unloaded") {
      if (event.reason != "asked for") {
        EXPECT_FALSE(model.pin || model.ttl_seconds == 0);
        EXPECT_LE(model.last_used + std::chrono::seconds(model.ttl_seconds), now_);
      }
      forget(event.model);
    } else {
      model.loading = false;
      if (event.type == "load_failed") return let_host_go(event.model);
      EXPECT_TRUE(expected_evictions_.empty());
      model.ready = true;
      model.failures = 0;
      const auto took = now_ - model.load_begin;
      model.keep_until = now_ + std::min<std::chrono::nanoseconds>(3 * took, milliseconds(10000));
      touch(model);
      if (event.model == kHost)
        for (const std::string& guest : std::exchange(waiting_for_host_, {})) hold_host(guest);
    }
  }

  void forget(const std::string& name) {
    Facts& model = models_[name];
    EXPECT_TRUE(model.ready && model.in_use == 0);
    if (name == kHost) {
      EXPECT_FALSE(models_["m4"].holds_host || models_["m5"].holds_host);
    }
    model.ready = false;
    let_host_go(name);
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
      // Its entry went with the last who waited.
      if (!model.ready && !model.loading && !anybody_waits(client.model)) let_host_go(client.model);
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
        EXPECT_TRUE(is_too_big(client.model) || (is_guest(client.model) && is_too_big(kHost)));
        break;
      default:
        EXPECT_EQ(error.message, "broken");
        EXPECT_GT(model.failures, 0u);
    }
  }

  // Beside what is pinned, and its host.
  bool is_too_big(const std::string& name) {
    const auto is_pinned_guest = [](const auto& known) {
      return is_guest(known.first) && known.second.ready && known.second.pin;
    };
    const bool host_stays =
        is_guest(name) || std::any_of(models_.begin(), models_.end(), is_pinned_guest);
    uint64_t bytes = models_[name].bytes;
    for (const auto& [other, model] : models_)
      if (model.ready && (model.pin || (other == kHost && host_stays))) bytes += model.bytes;
    return bytes > budget_;
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
        if (const std::string name = any_model(); name != kHost)
          models_[name].fails ^= pick(3) == 0;
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
    if (waiting() > 0 || (is_guest(name) && !models_[kHost].ready)) return;
    const LoadedModels before = cache_->loaded();
    std::optional<Result<LoadPlan>> planned;
    planning_ = true;
    cache_->plan(source(name), [&](Result<LoadPlan> plan) { planned.emplace(std::move(plan)); });
    while (!planned && cache_->step()) {
    }
    planning_ = false;
    ASSERT_TRUE(planned.has_value());
    EXPECT_EQ(cache_->loaded().models.size(), before.models.size());
    Facts& model = models_[name];
    if (!planned->ok()) {
      EXPECT_LT(now_, model.retry_at);
      return;
    }
    const LoadPlan& plan = **planned;
    EXPECT_EQ(plan.loaded, model.ready);
    const auto expected = victims_beside_host(name);
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

  // Now, as if `name` held its host already.
  std::optional<std::vector<std::string>> victims_beside_host(const std::string& name) {
    Facts& model = models_[name];
    const bool held = std::exchange(model.holds_host, is_guest(name));
    auto out = victims_for(name, now_);
    model.holds_host = held;
    return out;
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
      const bool no_host = waiting_for_host_.count(client->model) > 0;
      EXPECT_FALSE(victims_for(no_host ? kHost : client->model, now_))
          << client->model << " fits, but waits";
      EXPECT_FALSE(client->deadline && *client->deadline <= now_) << "waits past its deadline";
    }
    for (const auto& [name, model] : models_)
      if (model.ready && model.in_use == 0 && !model.pin && model.ttl_seconds > 0 &&
          !(name == kHost && has_guests(names()))) {
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
  std::set<std::string> waiting_for_host_;  // that will hold it once it is there
  bool planning_ = false;
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
