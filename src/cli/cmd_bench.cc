// localai bench --model M: prefill and decode speed of this machine on this model.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <string>

#include "base/cpu.h"
#include "base/json.h"
#include "base/process_memory.h"
#include "cli/command.h"
#include "cli/engine_arguments.h"
#include "cli/speculation_option.h"

namespace localai::cli {
namespace {

using Clock = Answer::Clock;

struct Arguments : EngineArguments {
  uint32_t prompt_tokens = 512, gen_tokens = 128, parallel = 1, repeat = 3;
  engine::Speculation speculation = engine::Speculation::kOff;  // measures the model, not the text
  bool json = false;
};

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// Ordinary tokens, different for each request: what they say does not matter for the speed.
std::vector<engine::TokenId> some_prompt(const engine::Engine& engine, uint32_t count,
                                         uint64_t seed) {
  const text::VocabularySpec& spec = engine.tokenizer().spec();
  const uint64_t vocabulary =
      std::min<uint64_t>(engine.info().vocab_size, engine.tokenizer().size());
  std::vector<engine::TokenId> prompt;
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  while (prompt.size() < count) {
    state = state * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX generator
    const uint64_t id = (state >> 33) % vocabulary;
    if (id < spec.types.size() && spec.types[id] != text::TokenType::kNormal) continue;
    prompt.push_back(static_cast<engine::TokenId>(id));
  }
  return prompt;
}

struct Round {
  double prefill_tok_s = 0, decode_tok_s = 0;
  std::vector<double> ttft_ms;
};

// Prefill: all prompts until the last of them has its first token. Decode: from there until the
// first answer ends, so that every counted step had all sequences in it.
Round evaluate(const std::vector<std::unique_ptr<Answer>>& answers, Clock::time_point start,
               const Arguments& arguments) {
  Clock::time_point all_began = start, one_ended = Clock::time_point::max();
  Round round;
  for (const auto& answer : answers) {
    all_began = std::max(all_began, answer->token_times().front());
    one_ended = std::min(one_ended, answer->token_times().back());
    round.ttft_ms.push_back(seconds(answer->token_times().front() - start) * 1000);
  }
  uint64_t decoded = 0;
  for (const auto& answer : answers)
    for (const Clock::time_point time : answer->token_times())
      decoded += time > all_began && time <= one_ended;
  const double prompts = double{1} * arguments.prompt_tokens * arguments.parallel;
  round.prefill_tok_s = prompts / seconds(all_began - start);
  if (one_ended > all_began)
    round.decode_tok_s = static_cast<double>(decoded) / seconds(one_ended - all_began);
  return round;
}

Result<Round> measure(engine::Engine& engine, const Arguments& arguments, uint64_t seed) {
  std::vector<std::unique_ptr<Answer>> answers;
  std::vector<std::unique_ptr<engine::Ticket>> tickets;
  const Clock::time_point start = Clock::now();
  for (uint32_t i = 0; i < arguments.parallel; ++i) {
    engine::Request request;
    request.prompt = some_prompt(engine, arguments.prompt_tokens, seed + i);
    request.sampling.temperature = 0.f;
    request.max_tokens = arguments.gen_tokens;
    request.ignore_eos = true;
    answers.push_back(std::make_unique<Answer>());
    LAI_TRY(auto ticket, engine.submit(std::move(request), answers.back()->sink()));
    tickets.push_back(std::move(ticket));
  }
  for (const auto& answer : answers) LAI_TRY_STATUS(answer->wait());
  return evaluate(answers, start, arguments);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Json spread(const std::vector<double>& values) {
  return Json{{"median", median(values)},
              {"min", *std::min_element(values.begin(), values.end())},
              {"max", *std::max_element(values.begin(), values.end())}};
}

struct Measured {
  std::vector<double> prefill, decode, ttft;
};

Json report(const engine::Engine& engine, const Measured& measured, double load_ms,
            const Arguments& arguments) {
  const engine::EngineMemory memory = engine.memory();
  const uint64_t weights = memory.weights_mapped_bytes + memory.weights_private_bytes;
  const double steps_per_second = median(measured.decode) / arguments.parallel;
  return Json{
      {"prefill_tok_s", spread(measured.prefill)},
      {"decode_tok_s", spread(measured.decode)},
      {"load_ms", load_ms},
      {"ttft_ms", median(measured.ttft)},
      {"rss_bytes", resident_bytes()},
      {"weights_bytes", weights},
      // One decode step reads every weight once (an untied embedding table is counted and not
      // read).
      {"decode_weights_gb_s", static_cast<double>(weights) * steps_per_second / 1e9},
      {"kv_bytes", memory.kv_bytes},
      {"scratch_bytes", memory.scratch_bytes},
      {"model", engine.info().name},
      {"weight_types", engine.info().weight_types},
      {"precision", arguments.precision},
      {"threads", arguments.threads},
      {"parallel", arguments.parallel},
      {"prompt_tokens", arguments.prompt_tokens},
      {"gen_tokens", arguments.gen_tokens},
      {"repeat", arguments.repeat},
  };
}

void print(const Json& result) {
  const auto number = [](const Json& value) { return value.get<double>(); };
  const auto line = [&](const char* name, const char* key) {
    const Json& values = result[key];
    std::cout << fmt::format("{:<8} {:10.2f} tok/s  ({:.2f} to {:.2f})\n", name,
                             number(values["median"]), number(values["min"]),
                             number(values["max"]));
  };
  std::cout << fmt::format("{}: {} threads, {} at once, {} + {} tokens, {} rounds, {}\n",
                           result["model"].get<std::string>(), result["threads"].dump(),
                           result["parallel"].dump(), result["prompt_tokens"].dump(),
                           result["gen_tokens"].dump(), result["repeat"].dump(),
                           result["precision"].get<std::string>());
  line("prefill", "prefill_tok_s");
  line("decode", "decode_tok_s");
  std::cout << fmt::format(
      "load {:.0f} ms, first token {:.0f} ms, {:.0f} MiB resident, weights {:.0f} MiB read at "
      "{:.2f} GB/s\n",
      number(result["load_ms"]), number(result["ttft_ms"]), number(result["rss_bytes"]) / (1 << 20),
      number(result["weights_bytes"]) / (1 << 20), number(result["decode_weights_gb_s"]));
}

engine::EngineOptions engine_options(const models::Model& model, const Arguments& arguments) {
  engine::EngineOptions options;
  options.threads = arguments.threads;
  options.parallel = arguments.parallel;
  options.context_length = arguments.prompt_tokens + arguments.gen_tokens;
  options.prefix_cache = false;
  options.speculation = arguments.speculation;
  options.kv_dtype = arguments.precision == "exact" ? DType::kF32 : DType::kF16;
  // Room for all sequences at full length, or some would be set back and computed twice.
  const uint64_t blocks = options.context_length / models::kKvBlockTokens + 1;
  options.kv_bytes = blocks * arguments.parallel * model.state().block_bytes(*options.kv_dtype);
  options.recurrent_bytes = arguments.parallel * model.state().recurrent_bytes;
  return options;
}

Status run(Arguments arguments) {
  if (arguments.threads == 0) arguments.threads = usable_cpu_count();
  const Clock::time_point start = Clock::now();
  LAI_TRY(engine::LoadedModel loaded, load(arguments));
  const uint32_t context = loaded.model->info().context_length;
  if (arguments.prompt_tokens + arguments.gen_tokens > context)
    return invalid("--prompt-tokens and --gen-tokens: together " +
                   std::to_string(arguments.prompt_tokens + arguments.gen_tokens) +
                   ", the model's context is " + std::to_string(context));
  const engine::EngineOptions options = engine_options(*loaded.model, arguments);
  LAI_TRY(const auto engine, engine::Engine::create(std::move(loaded), options));
  const double load_ms = seconds(Clock::now() - start) * 1000;

  Arguments warm_up = arguments;  // every weight page touched, every core awake
  warm_up.prompt_tokens = std::min(arguments.prompt_tokens, 32u);
  warm_up.gen_tokens = 2;
  LAI_TRY_STATUS(measure(*engine, warm_up, ~uint64_t{0}));
  Measured measured;
  for (uint32_t i = 0; i < arguments.repeat; ++i) {
    LAI_TRY(const Round round, measure(*engine, arguments, uint64_t{i} * arguments.parallel));
    measured.prefill.push_back(round.prefill_tok_s);
    measured.decode.push_back(round.decode_tok_s);
    measured.ttft.insert(measured.ttft.end(), round.ttft_ms.begin(), round.ttft_ms.end());
  }
  const Json result = report(*engine, measured, load_ms, arguments);
  if (arguments.json)
    std::cout << dump_json(result) << std::endl;
  else
    print(result);
  return Ok{};
}

}  // namespace

void add_bench(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("bench", "Measure prefill and decode speed");
  add_engine_options(*command, *arguments);
  const auto count = [command](const char* name, uint32_t& value, uint32_t low, uint32_t high,
                               const char* help) {
    command->add_option(name, value, help)->check(CLI::Range(low, high))->capture_default_str();
  };
  count("--prompt-tokens", arguments->prompt_tokens, 1, 1u << 20, "tokens of each prompt");
  count("--gen-tokens", arguments->gen_tokens, 2, 1u << 20, "tokens of each answer");
  count("--parallel", arguments->parallel, 1, 512, "requests at once");
  count("--repeat", arguments->repeat, 1, 1000, "rounds");
  add_speculation_option(*command, arguments->speculation);
  command->add_flag("--json", arguments->json, "print one JSON object");
  command->callback(
      [arguments, &program] { program.run = [arguments]() -> Status { return run(*arguments); }; });
}

}  // namespace localai::cli
