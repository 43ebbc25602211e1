#pragma once
// Models for tests: sizes, failures and answers that the test decides; nothing is read from disk.
#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <new>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "runtime/model_cache.h"

namespace localai::runtime {

// What the fakes share with the test. Thread-safe.
struct FakeWorld {
  struct Model {
    uint64_t bytes = 100;
    uint64_t surprise = 0;  // held beyond what was predicted
    std::optional<Error> predict_error, open_error, generate_error;
    bool throws = false;
    bool answers = true;    // false: generates until it is cancelled
    std::string host = {};  // the model that it lives in
  };

  std::mutex mutex;
  std::condition_variable_any changed;
  std::map<std::string, Model> models;  // by name
  bool hold_loads = false;              // open() waits until this is false
  int opens_waiting = 0;
  std::vector<std::string> log;  // "open a", "start a", "stop a", "generate a"
  uint64_t bytes_alive = 0, bytes_peak = 0;
  int generations_cancelled = 0;
  GenerateRequest last_request;

  void note(const std::string& line) {
    const std::lock_guard lock(mutex);
    log.push_back(line);
    changed.notify_all();
  }
  [[nodiscard]] int count(const std::string& line) {
    const std::lock_guard lock(mutex);
    return static_cast<int>(std::count(log.begin(), log.end(), line));
  }
  template <class Predicate>
  void wait(Predicate done) {
    std::unique_lock lock(mutex);
    changed.wait(lock, done);
  }
  void hold(bool value) {
    const std::lock_guard lock(mutex);
    hold_loads = value;
    changed.notify_all();
  }
};

class FakeBackend final : public Backend {
 public:
  FakeBackend(FakeWorld& world, std::string name, FakeWorld::Model model)
      : world_(world), name_(std::move(name)), model_(std::move(model)) {
    const std::lock_guard lock(world_.mutex);
    world_.bytes_alive += memory().total();
    world_.bytes_peak = std::max(world_.bytes_peak, world_.bytes_alive);
    world_.log.push_back("start " + name_);
    world_.changed.notify_all();
  }
  FakeBackend(const FakeBackend&) = delete;
  FakeBackend& operator=(const FakeBackend&) = delete;
  ~FakeBackend() override {
    for (auto& running : running_) running.request_stop();
    threads_.clear();  // joins
    const std::lock_guard lock(world_.mutex);
    world_.bytes_alive -= memory().total();
    world_.log.push_back("stop " + name_);
    world_.changed.notify_all();
  }

  [[nodiscard]] std::string_view kind() const override { return "gguf"; }
  // "embedder" makes vectors of one element, 1; the others are no embedding models.
  Status embed(std::vector<engine::EmbeddingInput> inputs, std::stop_token stop,
               EmbeddingSink sink) override {
    if (name_ != "embedder") return Backend::embed(std::move(inputs), stop, std::move(sink));
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([count = inputs.size(), sink = std::move(sink)] {
      sink(engine::Embeddings{1, std::vector<float>(count, 1.f), count});
    });
    return Ok{};
  }
  [[nodiscard]] engine::EngineMemory memory() const override {
    return {model_.bytes, 0, 0, model_.surprise};
  }
  [[nodiscard]] uint32_t context_length() const override { return 2048; }

  Result<Generation> generate(GenerateRequest request, GenerateSink sink) override {
    const auto* text = std::get_if<std::string>(&request.input);
    if (text != nullptr && *text == "too long")
      return Error{Code::kContextLength, "prompt has 3000 tokens, the context is 2048"};
    if (model_.generate_error) return *model_.generate_error;
    {
      const std::lock_guard lock(world_.mutex);
      world_.last_request = request;
      world_.log.push_back("generate " + name_);
      world_.changed.notify_all();
    }
    std::stop_source stop;
    const std::lock_guard lock(mutex_);
    running_.push_back(stop);
    threads_.emplace_back([this, stop, sink = std::move(sink)] { answer(stop, sink); });
    return Generation(std::make_unique<FakeTicket>(stop));
  }

 private:
  struct FakeTicket final : engine::Ticket {
    explicit FakeTicket(std::stop_source source) : stop(std::move(source)) {}
    ~FakeTicket() override { stop.request_stop(); }
    void cancel() override { stop.request_stop(); }
    std::stop_source stop;
  };

  void answer(const std::stop_source& stop, const GenerateSink& sink) {
    sink(Started{3});
    for (const char* word : {"one ", "two ", "three"}) {
      TokenDelta delta;
      delta.text = word;
      sink(std::move(delta));
    }
    Finished finished;
    if (!model_.answers) {
      std::unique_lock lock(world_.mutex);
      world_.changed.wait(lock, stop.get_token(), [] { return false; });
      ++world_.generations_cancelled;
      finished.reason = engine::FinishReason::kCancelled;
    }
    sink(std::move(finished));
  }

  FakeWorld& world_;
  std::string name_;
  FakeWorld::Model model_;
  std::mutex mutex_;
  std::vector<std::stop_source> running_;
  std::vector<std::jthread> threads_;
};

class FakeOpener final : public ModelOpener {
 public:
  explicit FakeOpener(FakeWorld& world) : world_(world) {}

  std::optional<ModelSource> host_of(const ModelSource& source) override {
    const std::lock_guard lock(world_.mutex);
    const std::string& host = world_.models[source.name].host;
    if (host.empty()) return std::nullopt;
    ModelSource out;
    out.name = host;
    out.path = source.path.parent_path() / host;
    return out;
  }

  Result<engine::EngineMemory> predict(const ModelSource& source) override {
    const std::lock_guard lock(world_.mutex);
    const FakeWorld::Model& model = world_.models[source.name];
    if (model.predict_error) return *model.predict_error;
    return engine::EngineMemory{model.bytes, 0, 0, 0};
  }

  Result<std::unique_ptr<Backend>> load(const ModelSource& source,
                                        const std::function<bool()>& wanted) override {
    FakeWorld::Model model;
    {
      std::unique_lock lock(world_.mutex);
      world_.log.push_back("open " + source.name);
      ++world_.opens_waiting;
      world_.changed.notify_all();
      world_.changed.wait(lock, [this] { return !world_.hold_loads; });
      --world_.opens_waiting;
      model = world_.models[source.name];
    }
    if (model.throws) throw std::bad_alloc();
    if (model.open_error) return *model.open_error;
    if (!wanted()) return cancelled("nobody waits for it any more");
    return std::unique_ptr<Backend>(std::make_unique<FakeBackend>(world_, source.name, model));
  }

 private:
  FakeWorld& world_;
};

}  // namespace localai::runtime
