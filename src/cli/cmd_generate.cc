// localai generate --model M --prompt P: completes a text; no chat template, no server.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>

#include "base/json.h"
#include "cli/command.h"
#include "cli/engine_arguments.h"
#include "cli/speculation_option.h"

namespace localai::cli {
namespace {

struct Arguments : EngineArguments {
  std::string prompt;
  uint32_t max_tokens = 128;
  engine::SamplingParams sampling;
  std::vector<std::string> stop;
  engine::Speculation speculation = engine::Speculation::kAuto;
  bool json = false;
};

double per_second(double count, double milliseconds) {
  return milliseconds > 0 ? count * 1000.0 / milliseconds : 0.0;
}

Json report(const Answer& answer, const engine::FinishedEvent& finished, double load_ms) {
  const engine::Timings& timings = finished.timings;
  const double computed = double{1} * timings.prompt_tokens - timings.cached_tokens;
  const double decoded = timings.completion_tokens - 1.0;
  return Json{
      {"text", answer.text()},
      {"tokens", answer.tokens()},
      {"prompt_tokens", timings.prompt_tokens},
      {"finish_reason", engine::finish_reason_name(finished.reason)},
      {"timings",
       {{"load_ms", load_ms},
        {"drafted_tokens", timings.drafted_tokens},
        {"accepted_tokens", timings.accepted_tokens},
        {"prefill_ms", timings.prefill_ms},
        {"decode_ms", timings.decode_ms},
        {"prefill_tok_s", per_second(computed, timings.prefill_ms)},
        {"decode_tok_s", per_second(decoded, timings.decode_ms)}}},
  };
}

Status run(const Arguments& arguments) {
  const auto start = Answer::Clock::now();
  LAI_TRY(engine::LoadedModel loaded, load(arguments));
  engine::Request request;
  request.prompt = loaded.tokenizer->encode(arguments.prompt, {});
  request.sampling = arguments.sampling;
  request.max_tokens = arguments.max_tokens;
  request.stop = arguments.stop;
  engine::EngineOptions options;
  options.threads = arguments.threads;
  options.parallel = 1;
  options.speculation = arguments.speculation;
  // One request, known in length: no more KV than it needs (create() bounds it by the model's).
  options.context_length = static_cast<uint32_t>(
      std::min<uint64_t>(request.prompt.size() + uint64_t{arguments.max_tokens}, 1u << 30));
  LAI_TRY(const auto engine, engine::Engine::create(std::move(loaded), options));
  const std::chrono::duration<double, std::milli> load_ms = Answer::Clock::now() - start;

  Answer answer;
  LAI_TRY(const auto ticket, engine->submit(std::move(request), answer.sink()));
  if (!arguments.json)
    while (const auto text = answer.next_text()) std::cout << *text << std::flush;
  LAI_TRY(const engine::FinishedEvent finished, answer.wait());
  if (arguments.json) std::cout << dump_json(report(answer, finished, load_ms.count()));
  std::cout << std::endl;
  return Ok{};
}

}  // namespace

void add_generate(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<Arguments>();
  arguments->pack_later = true;  // the first token does not wait for it
  CLI::App* command = app.add_subcommand("generate", "Complete a text (no chat template)");
  add_engine_options(*command, *arguments);
  engine::SamplingParams& sampling = arguments->sampling;
  command->add_option("--prompt", arguments->prompt, "the text to go on from")->required();
  command->add_option("--max-tokens", arguments->max_tokens, "tokens to add at most")
      ->check(CLI::Range(1u, 1u << 24))
      ->capture_default_str();
  command->add_option("--temperature", sampling.temperature, "0: greedy")->capture_default_str();
  command->add_option("--top-k", sampling.top_k, "0: off")->capture_default_str();
  command->add_option("--top-p", sampling.top_p, "1: off")->capture_default_str();
  command->add_option("--min-p", sampling.min_p, "0: off")->capture_default_str();
  command->add_option("--seed", sampling.seed, "same seed, same answer")->capture_default_str();
  command->add_option("--stop", arguments->stop, "end before this text; may be given repeatedly")
      ->expected(1)
      ->take_all();
  add_speculation_option(*command, arguments->speculation);
  command->add_flag("--json", arguments->json, "print one JSON object at the end");
  command->callback(
      [arguments, &program] { program.run = [arguments]() -> Status { return run(*arguments); }; });
}

}  // namespace localai::cli
