#pragma once
// The flags that every command with an engine shares, and what it gets from them.
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace CLI {
class App;
}

namespace localai::cli {

struct EngineArguments {
  std::string model;
  std::string precision = "fast", device = "cpu", quantize;
  uint32_t threads = 0;  // 0: as many as this process may use
  bool pack = true, pack_later = false;
};

// --model, --threads (1..256), --precision, --device, --quantize, --no-repack.
void add_engine_options(CLI::App& command, EngineArguments& arguments);
// Errors: kUnsupported (--device cuda).
Result<models::ModelOptions> model_options(const EngineArguments& arguments);
// Finds and loads the model. Errors: as find_model() and load_model(); kUnsupported (--device
// cuda).
Result<engine::LoadedModel> load(const EngineArguments& arguments);

// One request, from outside the engine's thread: its sink puts events aside, its owner takes them.
// May go before the last event has come. Thread-safe.
class Answer {
 public:
  using Clock = std::chrono::steady_clock;

  engine::EventSink sink();
  // Waits for more text; nothing once the answer has ended.
  std::optional<std::string> next_text();
  // Waits for the end. Errors: what the engine failed with.
  Result<engine::FinishedEvent> wait();

  // Read after the end.
  [[nodiscard]] const std::string& text() const { return state_->text; }
  [[nodiscard]] const std::vector<engine::TokenId>& tokens() const { return state_->tokens; }
  [[nodiscard]] const std::vector<Clock::time_point>& token_times() const { return state_->times; }

 private:
  struct State {
    void receive(engine::Event event);

    std::mutex mutex;
    std::condition_variable changed;
    std::string text;
    size_t text_taken = 0;
    std::vector<engine::TokenId> tokens;
    std::vector<Clock::time_point> times;
    std::optional<Result<engine::FinishedEvent>> end;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();  // with the sink
};

}  // namespace localai::cli
