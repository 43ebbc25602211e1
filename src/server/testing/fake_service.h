#pragma once
// For tests: a service that answers from a script, without models.
#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/service.h"

namespace localai::server {

// Answers with the words of a script, on a thread of its own; "slow" goes on until it is dropped.
class FakeService final : public runtime::Service {
 public:
  ~FakeService() override {
    for (std::thread& thread : threads_) thread.join();
  }
  runtime::Generation start(std::string model, runtime::GenerateRequest request,
                            runtime::ReadySink on_ready, runtime::GenerateSink sink) override {
    auto stop = std::make_shared<std::atomic<bool>>(false);
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this, stop, model = std::move(model), request = std::move(request),
                           on_ready = std::move(on_ready), sink = std::move(sink)] {
      ++running;
      play(model, request, on_ready, sink, *stop);
      --running;
    });
    return std::make_unique<Ticket>(std::move(stop));
  }
  runtime::Generation embed(std::string model, std::vector<engine::EmbeddingInput> inputs,
                            runtime::EmbeddingDone done) override {
    const std::lock_guard lock(mutex_);
    threads_.emplace_back(
        [model = std::move(model), count = inputs.size(), done = std::move(done)] {
          if (model == "chatty") return done(invalid("model 'chatty': it makes no embeddings"));
          runtime::EmbeddingAnswer answer;
          answer.resolution = {"", "m", "gguf", "explicit", false};
          answer.embeddings = {2, {}, 3 * count};
          for (size_t i = 0; i < count; ++i)
            answer.embeddings.values.insert(answer.embeddings.values.end(), {0.6f, -0.8f});
          done(std::move(answer));
        });
    return std::make_unique<Ticket>(std::make_shared<std::atomic<bool>>(false));
  }
  void route(std::string model, runtime::GenerateRequest request,
             runtime::RouteSink sink) override {
    if (model == "missing") return sink(not_found("the model 'missing' does not exist"));
    runtime::RouteDecision decision{"general", "m", "gguf", "rules", "", {}};
    decision.reason = request.route.has_image ? "an image" : "no image";
    decision.candidates.push_back({"general", 1.5, std::nullopt, std::nullopt, "because"});
    sink(std::move(decision));
  }
  [[nodiscard]] std::vector<runtime::ModelEntry> models() const override {
    return {{"general", "domain", "gguf", "", 5, true}, {"org/m", "model", "gguf", "m.gguf", 7}};
  }
  [[nodiscard]] runtime::LoadedModels loaded() const override {
    return {{{"m", "m.gguf", "gguf", 7, 1, true, 1.5, 6, {4, 1, 1, 0}}}, 7, 100};
  }
  [[nodiscard]] std::vector<runtime::ServiceState> transformers() const override {
    runtime::CircuitBreaker::Snapshot breaker;
    breaker.state = runtime::CircuitBreaker::State::kOpen;
    breaker.successes = 4;
    breaker.failures = 3;
    breaker.refused = 2;
    breaker.opened = 1;
    return {{"http://one\"", breaker}, {"http://two", {}, true, true, 5}};
  }
  void plan(std::string model, std::function<void(Result<runtime::LoadPlan>)> sink) override {
    if (model == "missing") return sink(not_found("model 'missing': no such model"));
    runtime::LoadPlan plan;
    plan.model = std::move(model);
    plan.bytes = 9;
    plan.evict = {{"m.gguf", "m", 7, "least recently used"}};
    plan.fits = true;
    plan.eta_ms = 2.5;
    sink(std::move(plan));
  }
  void load(std::string model, std::function<void(Result<runtime::LoadedEntry>)> sink) override {
    if (model == "full") return sink(exhausted("it does not fit"));
    sink(loaded().models[0]);
  }
  void unload(std::string model, std::function<void(Result<runtime::Unloaded>)> sink) override {
    sink(runtime::Unloaded{std::move(model), 7});
  }
  std::shared_ptr<runtime::EventLog::Watch> watch_events(
      uint64_t after, runtime::EventLog::Watcher watcher) override {
    return events.watch(after, std::move(watcher));
  }
  [[nodiscard]] Json domains() const override {
    return {{"object", "list"},
            {"data", Json::array({{{"id", "general"}}})},
            {"domains", {{"general", {{"config", {{"model_path", "m.gguf"}}}}}}}};
  }
  [[nodiscard]] Result<Json> domain(const std::string& id) const override {
    if (id != "general") return not_found("the domain '" + id + "' does not exist");
    return Json{{"id", id}};
  }
  // A domain store in miniature: "general" is at version 3, "down" is a store that does not answer.
  void change_domain(runtime::DomainChange change, runtime::DomainChangeSink sink) override {
    last_change = change;
    if (change.id == "down") return sink(unavailable("domain store x: it is down"));
    if (change.id == "bad") return sink(invalid("config.temperature: 5 is not a number"));
    runtime::DomainChanged out{change.id, 3};
    if (change.kind == runtime::DomainChange::Kind::kCreate && change.id == "general")
      out.conflict = "domain 'general': exists already";
    if (change.expected && *change.expected != 3) out.conflict = "it is at version 3";
    if (!out.conflict.empty()) return sink(out);
    out.version = 4;
    out.warnings = {"a warning"};
    out.active = change.id == "general";
    sink(std::move(out));
  }
  void domain_changes(runtime::ChangeQuery query, runtime::StoredChangesSink sink) override {
    last_query = query;
    if (query.id == "down") return sink(unavailable("domain store x: it is down"));
    if (query.id == "nobody") return sink(std::vector<runtime::StoredChange>{});
    runtime::StoredChange change{9, 1.5, "general", 3, "update", "me", "r1", {}, {}, {}};
    change.config = {{"model_path", "m"}, {"api_key", "secret"}};
    sink(std::vector<runtime::StoredChange>{change});
  }
  runtime::DomainChange last_change;
  runtime::ChangeQuery last_query;

  std::atomic<int> running{0};
  runtime::EventLog events;

 private:
  struct Ticket final : engine::Ticket {
    explicit Ticket(std::shared_ptr<std::atomic<bool>> s) : stop(std::move(s)) {}
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    ~Ticket() override { *stop = true; }
    void cancel() override { *stop = true; }
    std::shared_ptr<std::atomic<bool>> stop;
  };

  static void play(const std::string& model, const runtime::GenerateRequest& request,
                   const runtime::ReadySink& on_ready, const runtime::GenerateSink& sink,
                   const std::atomic<bool>& stop) {
    if (model == "missing") return on_ready(not_found("the model 'missing' does not exist"));
    if (model == "long")
      return on_ready(context_length("prompt has 3000 tokens, the context is 2048"));
    if (model == "full") return on_ready(exhausted("512 requests wait already"));
    if (request.progress) request.progress("loading\nmodel");
    if (model == "fallback") {
      runtime::Resolution other{"general", "m", "gguf", "explicit", true};
      other.skipped = {{"first", "does_not_fit", "first needs 5 MiB"}};
      on_ready(other);
      return sink(runtime::Finished{engine::FinishReason::kStop, {3, 0, 0}, {}});
    }
    on_ready(runtime::Resolution{"general", "m\xc3\xa9", "gguf", "explicit", false});
    if (model == "early") return sink(runtime::Failed{{Code::kCorrupt, "broken weights"}});
    sink(runtime::Started{3});
    const int words = model == "slow" ? std::numeric_limits<int>::max() : 2;
    runtime::Usage usage{3, 1, 0};
    for (int i = 0; i < words && !stop; ++i) {
      runtime::TokenDelta delta;
      delta.text = delta.token_text = i == 0 ? "h\xc3\xa9" : " lo";
      if (request.logprobs) {
        delta.logprob = engine::TokenLogprob{i, -0.5f};
        delta.top_logprobs = {{"x", -std::numeric_limits<float>::infinity()}};
      }
      sink(std::move(delta));
      ++usage.completion_tokens;
      if (model == "slow") std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    if (model == "late") return sink(runtime::Failed{{Code::kInternal, "lost in the middle"}});
    sink(runtime::Finished{
        stop ? engine::FinishReason::kCancelled : engine::FinishReason::kLength, usage, {}});
  }

  std::mutex mutex_;
  std::vector<std::thread> threads_;
};

}  // namespace localai::server
