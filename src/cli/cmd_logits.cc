// localai logits --model M --tokens 1,2,3 --out F.npy: what the model says after each token.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/number.h"
#include "cli/command.h"
#include "cli/model_argument.h"
#include "engine/sequence_runner.h"
#include "formats/npy.h"
#include "models/model.h"

namespace localai::cli {
namespace {

constexpr uint32_t kThreadsMax = 1024;
constexpr size_t kStepRows = 64;  // of which all logits are held at once

struct Arguments {
  std::string model, tokens, out;
  std::string precision = "exact", device = "cpu", quantize;
  uint32_t threads = 0;
};

// "1,2,3", each within the vocabulary, as many as the context holds.
Result<std::vector<int32_t>> parse_tokens(std::string_view text, const models::ModelInfo& info) {
  std::vector<int32_t> out;
  while (true) {
    const std::string_view item = text.substr(0, text.find(','));
    const auto id = parse_number<int32_t>(item);
    if (!id || *id < 0 || static_cast<uint32_t>(*id) >= info.vocab_size)
      return invalid("--tokens: '" + std::string(item) + "' is not a token id within 0.." +
                     std::to_string(info.vocab_size - 1));
    out.push_back(*id);
    if (item.size() == text.size()) break;
    text.remove_prefix(item.size() + 1);
  }
  if (out.size() > info.context_length)
    return invalid("--tokens: " + std::to_string(out.size()) +
                   " tokens, but the model's context is " + std::to_string(info.context_length));
  return out;
}

// Runs all tokens as one sequence from position 0 and writes the logits of every position.
Status write_logits(engine::SequenceRunner& runner, std::span<const int32_t> tokens,
                    formats::NpyWriter& writer) {
  runner.begin(tokens.size());
  for (size_t begin = 0; begin < tokens.size(); begin += kStepRows) {
    const auto rows = tokens.subspan(begin, std::min(kStepRows, tokens.size() - begin));
    LAI_TRY_STATUS(writer.append(runner.advance(rows, rows.size())));
  }
  return Ok{};
}

Status run(const Arguments& arguments) {
  if (arguments.device == "cuda")
    return unsupported("--device cuda: this build has no GPU support; use --device cpu");
  LAI_TRY(const std::filesystem::path path, find_model(arguments.model));
  LAI_TRY(formats::Checkpoint opened, formats::Checkpoint::open(path));
  models::ModelOptions options;
  options.precision =
      arguments.precision == "exact" ? models::Precision::kExact : models::Precision::kFast;
  options.threads = arguments.threads;
  LAI_TRY(options.quantize, parse_quantize(arguments.quantize));
  LAI_TRY(
      const auto model,
      models::Model::load(std::make_shared<const formats::Checkpoint>(std::move(opened)), options));
  LAI_TRY(const std::vector<int32_t> tokens, parse_tokens(arguments.tokens, model->info()));
  ThreadPool pool(arguments.threads == 0 ? usable_cpu_count() : arguments.threads);
  LAI_TRY(auto writer,
          formats::NpyWriter::create(arguments.out, tokens.size(), model->info().vocab_size));
  engine::SequenceRunner runner(*model, engine::kv_dtype_of(options.precision), tokens.size(),
                                pool);
  LAI_TRY_STATUS(write_logits(runner, tokens, writer));
  return writer.finish();
}

}  // namespace

void add_logits(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("logits", "Write the logits after each token to a .npy file");
  command->add_option("--model", arguments->model, "GGUF file or safetensors directory")
      ->required();
  command->add_option("--tokens", arguments->tokens, "token ids: 1,2,3")->required();
  command->add_option("--out", arguments->out, "float32 [n_tokens, vocab] in .npy format")
      ->required();
  command
      ->add_option("--precision", arguments->precision,
                   "exact (f32 activations) or fast (int8 where weights are quantized)")
      ->check(CLI::IsMember({"exact", "fast"}))
      ->capture_default_str();
  command->add_option("--device", arguments->device, "cpu or cuda")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  add_quantize_option(*command, arguments->quantize);
  command->add_option("--threads", arguments->threads, "0: as many as this machine has cores")
      ->check(CLI::Range(0u, kThreadsMax));
  command->callback(
      [arguments, &program] { program.run = [arguments]() -> Status { return run(*arguments); }; });
}

}  // namespace localai::cli
