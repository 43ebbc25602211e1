#include "cli/engine_arguments.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "cli/model_argument.h"

namespace localai::cli {

void add_engine_options(CLI::App& command, EngineArguments& arguments) {
  command.add_option("--model", arguments.model, "GGUF file or safetensors directory")->required();
  command
      .add_option("--threads", arguments.threads,
                  "threads of the engine (default: the cores this process may use)")
      ->check(CLI::Range(1u, 256u));
  command
      .add_option("--precision", arguments.precision,
                  "exact (f32 activations) or fast (int8 where weights are quantized)")
      ->check(CLI::IsMember({"exact", "fast"}))
      ->capture_default_str();
  command.add_option("--device", arguments.device, "cpu or cuda")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  add_quantize_option(command, arguments.quantize);
  command.add_flag(
      "!--no-repack", arguments.pack,
      "use quantized weights where the file is mapped: quicker to load, slower to run");
}

Result<models::ModelOptions> model_options(const EngineArguments& arguments) {
  if (arguments.device == "cuda")
    return unsupported("--device cuda: this build has no GPU support; use --device cpu");
  models::ModelOptions options;
  options.precision =
      arguments.precision == "exact" ? models::Precision::kExact : models::Precision::kFast;
  options.threads = arguments.threads;
  options.pack = arguments.pack;
  options.pack_later = arguments.pack_later;
  LAI_TRY(options.quantize, parse_quantize(arguments.quantize));
  return options;
}

Result<engine::LoadedModel> load(const EngineArguments& arguments) {
  LAI_TRY(const models::ModelOptions options, model_options(arguments));
  LAI_TRY(const std::filesystem::path path, find_model(arguments.model));
  return engine::load_model(path, options);
}

engine::EventSink Answer::sink() {
  return [state = state_](engine::Event event) { state->receive(std::move(event)); };
}

void Answer::State::receive(engine::Event event) {
  const std::lock_guard lock(mutex);
  if (auto* token = std::get_if<engine::TextEvent>(&event)) {
    tokens.push_back(token->token);
    times.push_back(Clock::now());
    text += token->text;
  } else if (auto* finished = std::get_if<engine::FinishedEvent>(&event)) {
    text += finished->text;
    end.emplace(std::move(*finished));
  } else if (auto* failed = std::get_if<engine::FailedEvent>(&event)) {
    end.emplace(std::move(failed->error));
  }
  changed.notify_all();
}

std::optional<std::string> Answer::next_text() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock,
                       [this] { return state_->text_taken < state_->text.size() || state_->end; });
  if (state_->text_taken == state_->text.size()) return std::nullopt;
  std::string text = state_->text.substr(state_->text_taken);
  state_->text_taken = state_->text.size();
  return text;
}

Result<engine::FinishedEvent> Answer::wait() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [this] { return state_->end.has_value(); });
  return *state_->end;
}

}  // namespace localai::cli
