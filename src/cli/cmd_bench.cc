// localai bench --model M: prefill and decode speed of this machine on this model.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include "base/cpu.h"
#include "base/json.h"
#include "base/log.h"
#include "base/process_memory.h"
#include "cli/bench_case.h"
#include "cli/bench_report.h"
#include "cli/command.h"
#include "cli/engine_arguments.h"
#include "cli/speculation_option.h"

namespace localai::cli {
namespace {

using Clock = Answer::Clock;

struct Arguments : EngineArguments {
  // Each combination is one case.
  std::vector<uint32_t> prompt_tokens = {512}, gen_tokens = {128}, parallel = {1}, depth = {0};
  uint32_t repeat = 3;
  engine::Speculation speculation = engine::Speculation::kOff;  // measures the model, not the text
  std::string baseline;
  BenchFormat format = BenchFormat::kText;
  bool json = false;
};

std::vector<BenchCase> cases_of(const Arguments& arguments) {
  std::vector<BenchCase> cases;
  for (const uint32_t depth : arguments.depth)
    for (const uint32_t prompt : arguments.prompt_tokens)
      for (const uint32_t gen : arguments.gen_tokens)
        for (const uint32_t parallel : arguments.parallel)
          cases.push_back({prompt, gen, parallel, depth});
  return cases;
}

Json report(const engine::Engine& engine, const BenchFigures& figures, const BenchCase& what,
            double load_ms, const Arguments& arguments) {
  const engine::EngineMemory memory = engine.memory();
  const uint64_t weights = memory.weights_mapped_bytes + memory.weights_private_bytes;
  const Json decode = bench_spread(figures.decode_tok_s);
  const double steps_per_second = decode["median"].get<double>() / what.parallel;
  return Json{
      {"prefill_tok_s", bench_spread(figures.prefill_tok_s)},
      {"decode_tok_s", decode},
      {"load_ms", load_ms},
      {"ttft_ms", bench_spread(figures.ttft_ms)["median"]},
      {"rss_bytes", resident_bytes()},
      {"weights_bytes", weights},
      // One decode step reads every weight once (an untied embedding table is counted and not
      // read).
      {"decode_weights_gb_s", static_cast<double>(weights) * steps_per_second / 1e9},
      {"kv_bytes", memory.kv_bytes},
      {"scratch_bytes", memory.scratch_bytes},
      {"model", engine.info().name},
      {"weight_types", engine.info().weight_types},
      {"quantize", arguments.quantize},
      {"precision", arguments.precision},
      {"threads", arguments.threads},
      {"parallel", what.parallel},
      {"depth", what.depth},
      {"cached_tokens", bench_spread(figures.cached_tokens)["median"]},
      {"prompt_tokens", what.prompt_tokens},
      {"gen_tokens", what.gen_tokens},
      {"repeat", arguments.repeat},
  };
}

Status check_context(const std::vector<BenchCase>& cases, uint32_t context) {
  for (const BenchCase& what : cases)
    if (what.context() > context)
      return invalid("--depth, --prompt-tokens and --gen-tokens: together " +
                     std::to_string(what.context()) + ", the model's context is " +
                     std::to_string(context));
  return Ok{};
}

Status run(Arguments arguments) {
  if (arguments.threads == 0) arguments.threads = usable_cpu_count();
  if (arguments.json) arguments.format = BenchFormat::kJson;
  std::vector<Json> baseline;
  if (!arguments.baseline.empty()) {
    LAI_TRY(baseline, read_bench(arguments.baseline));
  }
  const std::vector<BenchCase> cases = cases_of(arguments);
  const Clock::time_point start = Clock::now();
  LAI_TRY(engine::LoadedModel loaded, load(arguments));
  LAI_TRY_STATUS(check_context(cases, loaded.model->info().context_length));
  const engine::EngineOptions options =
      bench_engine_options(*loaded.model, cases, arguments.precision == "exact", arguments.threads,
                           arguments.speculation);
  LAI_TRY(const auto engine, engine::Engine::create(std::move(loaded), options));
  const std::chrono::duration<double, std::milli> load_ms = Clock::now() - start;

  wait_until_settled(*engine);
  std::vector<Json> rows;
  for (const BenchCase& what : cases) {
    LAI_TRY(const BenchFigures figures, run_bench(*engine, what, arguments.repeat));
    rows.push_back(report(*engine, figures, what, load_ms.count(), arguments));
  }
  if (!arguments.baseline.empty() && add_baseline(baseline, rows) < rows.size())
    log::warn("{}: not every case stands there too", arguments.baseline);
  std::cout << format_bench(rows, arguments.format) << std::flush;
  return Ok{};
}

}  // namespace

void add_bench(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("bench", "Measure prefill and decode speed");
  add_engine_options(*command, *arguments);
  const auto counts = [command](const char* name, std::vector<uint32_t>& values, uint32_t low,
                                uint32_t high, const char* help) {
    command->add_option(name, values, help)
        ->delimiter(',')
        ->check(CLI::Range(low, high))
        ->capture_default_str();
  };
  counts("--prompt-tokens", arguments->prompt_tokens, 1, 1u << 20,
         "tokens of each prompt; several, with commas, are measured one after the other");
  counts("--gen-tokens", arguments->gen_tokens, 2, 1u << 20, "tokens of each answer");
  counts("--parallel", arguments->parallel, 1, 512, "requests at once");
  counts("--depth", arguments->depth, 0, 1u << 20,
         "tokens before each prompt that are in the prefix cache already");
  command->add_option("--repeat", arguments->repeat, "rounds")
      ->check(CLI::Range(1u, 1000u))
      ->capture_default_str();
  add_speculation_option(*command, arguments->speculation);
  const std::map<std::string, BenchFormat> formats = {{"text", BenchFormat::kText},
                                                      {"json", BenchFormat::kJson},
                                                      {"csv", BenchFormat::kCsv},
                                                      {"markdown", BenchFormat::kMarkdown}};
  command->add_option("--format", arguments->format, "text, json, csv or markdown")
      ->transform(CLI::CheckedTransformer(formats));
  command->add_flag("--json", arguments->json,
                    "one JSON object; of several cases, an array in its \"runs\"");
  command->add_option("--baseline", arguments->baseline,
                      "what --json printed before: each speed's ratio to it, with the interval "
                      "that holds the true one in 95 of 100 cases");
  command->callback(
      [arguments, &program] { program.run = [arguments]() -> Status { return run(*arguments); }; });
}

}  // namespace localai::cli
