// localai verify MODEL: the native engine in exact precision beside transformers in float32.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>

#include "base/cpu.h"
#include "base/file.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/engine_arguments.h"
#include "cli/model_argument.h"
#include "engine/sequence_runner.h"
#include "runtime/model_catalog.h"
#include "runtime/transformers_backend.h"
#include "runtime/verification.h"

namespace localai::cli {
namespace {

constexpr uint64_t kTextBytesMax = uint64_t{16} << 20;
constexpr size_t kStepRows = 64;  // of which all logits are held at once
constexpr uint32_t kServiceSeconds = 600;
constexpr std::string_view kPrompts[] = {
    "The capital of France is",
    "Once upon a time, in a village by the sea, there lived",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "Die drei häufigsten Gründe dafür sind: 1.",
};

struct Arguments : EngineArguments {
  std::string reference;
  std::vector<std::string> prompts, files;
  uint32_t prompt_tokens = 256, max_tokens = 32;
  double max_kl = 1e-3;
  bool json = false;
};

// One prompt through both.
struct Outcome {
  std::string prompt;
  size_t tokens = 0;
  std::optional<size_t> token_difference;  // of the two tokenizers, over the whole prompt
  runtime::LogitDistance distance;
  std::vector<int32_t> native, service;  // greedy
  std::string native_text, service_text;
  [[nodiscard]] std::optional<size_t> parted() const {
    return runtime::first_difference(native, service);
  }
};

Result<std::vector<std::string>> prompts_of(const Arguments& arguments) {
  std::vector<std::string> out(std::begin(kPrompts), std::end(kPrompts));
  out.insert(out.end(), arguments.prompts.begin(), arguments.prompts.end());
  for (const std::string& file : arguments.files) {
    LAI_TRY(std::string text, read_file(file, kTextBytesMax), "--file");
    out.push_back(std::move(text));
  }
  for (const std::string& prompt : out)
    if (prompt.empty() || !is_valid_utf8(prompt)) return invalid("a prompt is empty or no UTF-8");
  return out;
}

// The folder that transformers reads.
Result<std::filesystem::path> reference_folder(const Arguments& arguments,
                                               const std::filesystem::path& model) {
  std::filesystem::path folder = model;
  if (!arguments.reference.empty()) {
    LAI_TRY(folder, find_model(arguments.reference), "--reference");
  }
  std::error_code error;
  if (std::filesystem::is_regular_file(folder / "config.json", error)) return folder;
  return invalid("'" + folder.string() +
                 "' is no folder with a config.json, which transformers needs: give one with "
                 "--reference, or make one with `localai convert`");
}

// A service of our own with all that this command asks; TRANSFORMERS_BASE_URL goes before it.
Result<runtime::TransformersOptions> service_setup() {
  runtime::TransformersOptions out;
  LAI_TRY(out.launch, runtime::read_transformers_launch(runtime::process_environment()));
  out.environment = [] {
    return std::vector<std::pair<std::string, std::string>>{
        {"TRANSFORMERS_ALLOW_PATHS", "1"}, {"TRANSFORMERS_VERIFY", "1"}, {"PYTHONUNBUFFERED", "1"}};
  };
  return out;
}

Result<runtime::ServiceModel> service_model(const std::filesystem::path& folder) {
  LAI_TRY(const runtime::Settings settings, runtime::read_settings(runtime::process_environment()));
  runtime::ServiceModel out;
  out.base_url = settings.transformers_base_url;
  out.name = out.base_url.empty() ? runtime::canonical_path(folder).string()
                                  : runtime::model_name_of(folder);
  out.dtype = "float32";
  out.timeout_seconds = kServiceSeconds;
  return out;
}

class Verifier {
 public:
  Verifier(const engine::LoadedModel& loaded, runtime::ServiceVerifier service,
           const Arguments& arguments)
      : loaded_(loaded),
        service_(service),
        arguments_(arguments),
        pool_(arguments.threads == 0 ? usable_cpu_count() : arguments.threads),
        runner_(*loaded.model, engine::kv_dtype_of(models::Precision::kExact),
                size_t{arguments.prompt_tokens} + arguments.max_tokens, pool_) {}

  Result<Outcome> verify(const std::string& prompt) {
    Outcome out;
    out.prompt = prompt;
    const text::VocabularySpec& spec = loaded_.tokenizer->spec();
    std::vector<int32_t> ids = loaded_.tokenizer->encode(prompt, {.add_special = true});
    const std::vector<int32_t> whole = ids;
    if (ids.empty() && spec.bos) ids.push_back(*spec.bos);
    if (ids.size() > arguments_.prompt_tokens) ids.resize(arguments_.prompt_tokens);
    out.tokens = ids.size();
    LAI_TRY(runtime::ServiceVerifier::Greedy said,
            service_.greedy(prompt, ids, arguments_.max_tokens));
    out.token_difference = runtime::first_difference(whole, said.prompt);
    out.service = std::move(said.tokens);
    out.service_text = std::move(said.answer);
    LAI_TRY_STATUS(run(ids, out));
    return out;
  }

 private:
  // The prompt's logits beside the service's, then the greedy answer.
  Status run(const std::vector<int32_t>& ids, Outcome& out) {
    const size_t vocab = loaded_.model->info().vocab_size;
    runner_.begin(ids.size() + arguments_.max_tokens);
    std::vector<float> last;
    for (size_t begin = 0; begin < ids.size(); begin += kStepRows) {
      const size_t rows = std::min(kStepRows, ids.size() - begin);
      const std::span<const int32_t> all(ids);
      LAI_TRY(const std::vector<float> theirs,
              service_.logits(all.first(begin + rows), begin, vocab));
      const std::span<const float> ours = runner_.advance(all.subspan(begin, rows), rows);
      out.distance.add(theirs, ours, vocab);
      last.assign(ours.end() - static_cast<ptrdiff_t>(vocab), ours.end());
    }
    std::span<const float> logits = last;
    text::StreamDecoder decoder(*loaded_.tokenizer);
    while (true) {
      const auto best =
          static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      out.native.push_back(best);
      out.native_text += decoder.push(best);
      if (loaded_.tokenizer->ends_generation(best) || out.native.size() == arguments_.max_tokens)
        break;
      logits = runner_.advance(std::span(&best, 1), 1);
    }
    out.native_text += decoder.finish();
    return Ok{};
  }

  const engine::LoadedModel& loaded_;
  runtime::ServiceVerifier service_;
  const Arguments& arguments_;
  ThreadPool pool_;
  engine::SequenceRunner runner_;
};

double agreement(const runtime::LogitDistance& distance) {
  return distance.positions == 0
             ? 0
             : static_cast<double>(distance.same_first) / static_cast<double>(distance.positions);
}

// No number of JSON is infinite.
Json kl_json(double kl) { return std::isfinite(kl) ? Json(kl) : Json("infinite"); }

Json distance_json(const runtime::LogitDistance& distance) {
  return {{"positions", distance.positions},
          {"mean_kl", kl_json(distance.mean_kl())},
          {"max_kl", kl_json(distance.max_kl)},
          {"top1_agreement", agreement(distance)}};
}

Json outcome_json(const Outcome& outcome) {
  Json out = distance_json(outcome.distance);
  const auto at = [](const std::optional<size_t>& place) { return place ? Json(*place) : Json(); };
  out["prompt"] = outcome.prompt;
  out["prompt_tokens"] = outcome.tokens;
  out["first_prompt_token_difference"] = at(outcome.token_difference);
  out["greedy_tokens"] = outcome.native.size();
  out["first_greedy_difference"] = at(outcome.parted());
  out["native_text"] = outcome.native_text;
  out["service_text"] = outcome.service_text;
  return out;
}

std::string shown(const std::string& prompt) {
  constexpr size_t kShown = 32;
  std::string out = prompt.substr(0, kShown);
  if (prompt.size() > kShown) out.resize(out.size() - incomplete_utf8_tail(out));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return out;
}

void print_outcome(const Outcome& outcome) {
  const auto parted = outcome.parted();
  std::string greedy = fmt::format("{} tokens the same", outcome.native.size());
  if (parted) greedy = fmt::format("differs at token {}", *parted);
  if (outcome.token_difference)
    greedy += fmt::format("; prompt tokens differ at {}", *outcome.token_difference);
  fmt::print("{:34} {:6} {:10.2e} {:10.2e} {:7.2f} %  {}\n", shown(outcome.prompt), outcome.tokens,
             outcome.distance.mean_kl(), outcome.distance.max_kl, 100 * agreement(outcome.distance),
             greedy);
}

// The reference has another answer than the native engine: what decides the exit status.
Status verdict(const Arguments& arguments, const std::vector<Outcome>& outcomes,
               const runtime::LogitDistance& all) {
  for (const Outcome& outcome : outcomes)
    if (outcome.token_difference)
      return Error{Code::kInternal, "prompt '" + shown(outcome.prompt) +
                                        "': the two tokenizers differ from token " +
                                        std::to_string(*outcome.token_difference)};
  if (!(all.max_kl <= arguments.max_kl))
    return Error{Code::kInternal, fmt::format("max KL {:.3e} is over --max-kl {:.3e}", all.max_kl,
                                              arguments.max_kl)};
  for (const Outcome& outcome : outcomes)
    if (const auto parted = outcome.parted())
      return Error{Code::kInternal, "prompt '" + shown(outcome.prompt) +
                                        "': the greedy answers part at token " +
                                        std::to_string(*parted)};
  return Ok{};
}

Status run(const Arguments& arguments) {
  LAI_TRY(const std::vector<std::string> prompts, prompts_of(arguments));
  LAI_TRY(const std::filesystem::path path, find_model(arguments.model));
  LAI_TRY(const std::filesystem::path folder, reference_folder(arguments, path));
  LAI_TRY(const runtime::ServiceModel model, service_model(folder));
  LAI_TRY(const engine::LoadedModel loaded, load(arguments));
  if (uint64_t{arguments.prompt_tokens} + arguments.max_tokens >
      loaded.model->info().context_length)
    return invalid(fmt::format(
        "--prompt-tokens {} and --max-tokens {} are more than the model's "
        "context of {}",
        arguments.prompt_tokens, arguments.max_tokens, loaded.model->info().context_length));
  LAI_TRY(runtime::TransformersOptions setup, service_setup());
  runtime::TransformersServices services(std::move(setup));
  LAI_TRY(runtime::TransformersService * service, services.find(model, {}));
  LAI_TRY_STATUS(service->load(model, {}));
  Verifier verifier(loaded, {*service, model}, arguments);
  std::vector<Outcome> outcomes;
  runtime::LogitDistance all;
  if (!arguments.json)
    fmt::print("{:34} {:>6} {:>10} {:>10} {:>9}  {}\n", "prompt", "tokens", "mean KL", "max KL",
               "top-1", "greedy");
  for (const std::string& prompt : prompts) {
    LAI_TRY(Outcome outcome, verifier.verify(prompt));
    if (!arguments.json) print_outcome(outcome);
    all.add(outcome.distance);
    outcomes.push_back(std::move(outcome));
  }
  service->unload(model);
  if (arguments.json) {
    Json out = distance_json(all);
    out["model"] = path.string();
    out["reference"] = folder.string();
    out["prompts"] = Json::array();
    for (const Outcome& outcome : outcomes) out["prompts"].push_back(outcome_json(outcome));
    std::cout << dump_json(out, 1) << std::endl;
  } else {
    fmt::print("{:34} {:6} {:10.2e} {:10.2e} {:7.2f} %\n", "all", all.positions, all.mean_kl(),
               all.max_kl, 100 * agreement(all));
  }
  return verdict(arguments, outcomes, all);
}

}  // namespace

void add_verify(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<Arguments>();
  arguments->precision = "exact";
  CLI::App* command = app.add_subcommand(
      "verify", "Compare the native engine with transformers: logits and greedy text");
  command->add_option("model", arguments->model, "domain, alias, model name or path")->required();
  command->add_option("--reference", arguments->reference,
                      "folder that transformers reads (default: MODEL itself)");
  command->add_option("--prompt", arguments->prompts, "a further prompt; may be repeated");
  command->add_option("--file", arguments->files, "a text as further prompt; may be repeated");
  command
      ->add_option("--prompt-tokens", arguments->prompt_tokens, "longer prompts are cut to so many")
      ->check(CLI::Range(1u, 4096u))
      ->capture_default_str();
  command->add_option("--max-tokens", arguments->max_tokens, "tokens of the greedy text")
      ->check(CLI::Range(1u, 4096u))
      ->capture_default_str();
  command->add_option("--max-kl", arguments->max_kl, "a position further off fails the command")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--threads", arguments->threads, "threads of the native engine")
      ->check(CLI::Range(1u, 256u));
  command->add_flag("--json", arguments->json, "print one JSON object");
  command->callback(
      [arguments, &program] { program.run = [arguments]() -> Status { return run(*arguments); }; });
}

}  // namespace localai::cli
