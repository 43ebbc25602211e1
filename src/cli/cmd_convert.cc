// localai convert IN OUT: safetensors directory -> GGUF file, GGUF file -> safetensors directory.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/json.h"
#include "cli/command.h"
#include "cli/convert_progress.h"
#include "cli/model_argument.h"
#include "engine/convert/convert.h"

namespace localai::cli {
namespace {

struct Arguments {
  std::string in, out, type;
  uint64_t shard_bytes = uint64_t{5} << 30;
  bool json = false;
};

std::optional<DType> dtype_of(const std::string& type) {
  if (type == "f32") return DType::kF32;
  if (type == "f16") return DType::kF16;
  if (type == "bf16") return DType::kBF16;
  return std::nullopt;
}

Status run(const Arguments& arguments) {
  LAI_TRY(const std::filesystem::path in, find_model(arguments.in));
  engine::ConvertOptions options;
  options.dtype = dtype_of(arguments.type);
  options.shard_bytes_max = arguments.shard_bytes;
  options.progress = convert_progress();
  LAI_TRY(const engine::ConvertReport report, engine::convert_model(in, arguments.out, options));
  if (arguments.json) {
    std::cout << dump_json({{"architecture", report.architecture},
                            {"from", report.from},
                            {"to", report.to},
                            {"tensors", report.tensors},
                            {"bytes", report.bytes},
                            {"tokenizer", report.tokenizer}})
              << std::endl;
  } else {
    fmt::print("{}: {} tensors, {:.1f} MiB, {} -> {}{}\n", arguments.out, report.tensors,
               static_cast<double>(report.bytes) / (1 << 20), report.from, report.to,
               report.tokenizer ? "" : ", without a tokenizer");
  }
  return Ok{};
}

}  // namespace

void add_convert(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("convert", "Convert a model between safetensors and GGUF");
  command->add_option("in", arguments->in, "safetensors directory or GGUF file (or a model's name)")
      ->required();
  command->add_option("out", arguments->out, "GGUF file or directory to write; must not exist")
      ->required();
  command
      ->add_option("--type", arguments->type,
                   "f32, f16 or bf16 for the matrices (default: as they are; needed to write "
                   "quantized weights as safetensors)")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}));
  command
      ->add_option("--shard-size", arguments->shard_bytes,
                   "largest safetensors file, in bytes or as 500MB, 5GB")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("5GB");
  command->add_flag("--json", arguments->json, "print one JSON object");
  command->callback(
      [arguments, &program] { program.run = [arguments]() -> Status { return run(*arguments); }; });
}

}  // namespace localai::cli
