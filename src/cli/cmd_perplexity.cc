// localai perplexity --model M --file T [--reference M2]: how well a model predicts a text, and how
// far it is from another model, or from itself in exact precision.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/cpu.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/engine_arguments.h"
#include "cli/model_argument.h"
#include "engine/perplexity.h"

namespace localai::cli {
namespace {

constexpr uint64_t kTextBytesMax = uint64_t{1} << 30;

struct Arguments : EngineArguments {
  std::string file, reference;
  uint32_t context = 512;
  bool json = false;
};

// The text as plain text: what looks like a control token stays text.
std::vector<int32_t> encode(const text::Tokenizer& tokenizer, const std::string& text) {
  const text::VocabularySpec& spec = tokenizer.spec();
  std::vector<int32_t> ids = tokenizer.encode(text, {.add_special = false, .parse_special = false});
  if (spec.add_bos && spec.bos) ids.insert(ids.begin(), *spec.bos);
  return ids;
}

// Always exact: what `--precision fast` costs is measured against it.
Result<std::unique_ptr<models::Model>> load_reference(const std::string& name) {
  LAI_TRY(const std::filesystem::path path, find_model(name));
  LAI_TRY(formats::Checkpoint opened, formats::Checkpoint::open(path));
  models::ModelOptions options;
  options.precision = models::Precision::kExact;
  return models::Model::load(std::make_shared<const formats::Checkpoint>(std::move(opened)),
                             options);
}

std::string describe(const engine::Perplexity& result) {
  std::string out = fmt::format("perplexity {:.4f}", result.perplexity);
  if (result.mean_kl)
    out += fmt::format(", mean KL {:.3e}, same first choice {:.2f} %", *result.mean_kl,
                       100.0 * *result.top1_agreement);
  return out;
}

engine::PerplexityProgress progress_on_terminal() {
  if (::isatty(STDERR_FILENO) == 0) return nullptr;
  return [](const engine::Perplexity& so_far, uint64_t done, uint64_t windows) {
    std::cerr << "\rwindow " << done << "/" << windows << ": " << describe(so_far)
              << (done == windows ? "\n" : "") << std::flush;
  };
}

void print(const Arguments& arguments, const engine::Perplexity& result) {
  if (!arguments.json) {
    std::cout << describe(result) << " over " << result.tokens << " tokens (" << result.windows
              << " windows of at most " << arguments.context << ")" << std::endl;
    return;
  }
  Json out = {{"perplexity", result.perplexity},
              {"tokens", result.tokens},
              {"windows", result.windows},
              {"context", arguments.context},
              {"precision", arguments.precision}};
  if (result.mean_kl) out["mean_kl"] = *result.mean_kl;
  if (result.top1_agreement) out["top1_agreement"] = *result.top1_agreement;
  std::cout << dump_json(out) << std::endl;
}

Status run(const Arguments& arguments) {
  LAI_TRY(const std::string text, read_file(arguments.file, kTextBytesMax));
  LAI_TRY(const engine::LoadedModel loaded, load(arguments));
  std::unique_ptr<models::Model> reference;
  if (!arguments.reference.empty()) {
    LAI_TRY(reference, load_reference(arguments.reference), "--reference");
  }
  const std::vector<int32_t> tokens = encode(*loaded.tokenizer, text);
  const text::VocabularySpec& spec = loaded.tokenizer->spec();
  engine::PerplexityOptions options;
  options.context = arguments.context;
  if (spec.add_bos) options.bos = spec.bos;
  ThreadPool pool(arguments.threads == 0 ? usable_cpu_count() : arguments.threads);
  LAI_TRY(const engine::Perplexity result,
          engine::measure_perplexity({loaded.model.get(), loaded.precision},
                                     {reference.get(), models::Precision::kExact}, tokens, options,
                                     pool, progress_on_terminal()));
  print(arguments, result);
  return Ok{};
}

}  // namespace

void add_perplexity(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<Arguments>();
  arguments->precision = "exact";
  CLI::App* command = app.add_subcommand(
      "perplexity", "Measure how well a model predicts a text, and its distance to another model");
  add_engine_options(*command, *arguments);
  command->add_option("--file", arguments->file, "the text, UTF-8")->required();
  command->add_option("--reference", arguments->reference,
                      "model of the same vocabulary, computed in exact precision; adds mean KL and "
                      "agreement");
  command->add_option("--context", arguments->context, "tokens of a window")->capture_default_str();
  command->add_flag("--json", arguments->json, "print one JSON object");
  command->callback(
      [arguments, &program] { program.run = [arguments]() -> Status { return run(*arguments); }; });
}

}  // namespace localai::cli
