// localai quantize IN OUT --type Q4_K_M: the same model in fewer bits.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <system_error>

#include "base/cpu.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/convert_progress.h"
#include "cli/model_argument.h"
#include "models/quantize_file.h"

namespace localai::cli {
namespace {

using models::QuantizeProgress;
using models::QuantizeReport;
using models::TensorClass;

struct Arguments {
  std::string in, out, type;
  bool allow_requantize = false, json = false;
  uint32_t threads = 0;
};

// One line on a terminal, rewritten at most ten times a second; elsewhere nothing.
class ProgressLine {
 public:
  ~ProgressLine() {
    if (drawn_) std::cerr << "\r\x1b[K" << std::flush;
  }
  void show(const QuantizeProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (!terminal_ || (drawn_ && now - last_ < std::chrono::milliseconds(100))) return;
    last_ = now;
    drawn_ = true;
    std::cerr << fmt::format("\r\x1b[K{:3.0f} %  {}/{}  {}  {} -> {}",
                             100.0 * static_cast<double>(progress.bytes) /
                                 static_cast<double>(std::max<uint64_t>(progress.bytes_total, 1)),
                             progress.tensor + 1, progress.tensors, progress.name,
                             dtype_name(progress.from), dtype_name(progress.to))
              << std::flush;
  }

 private:
  const bool terminal_ = ::isatty(STDERR_FILENO) != 0;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_;
};

double mib(uint64_t bytes) { return static_cast<double>(bytes) / (1024.0 * 1024.0); }

double bits_per_weight(uint64_t bytes, const QuantizeReport& report) {
  return report.weights == 0
             ? 0
             : 8.0 * static_cast<double>(bytes) / static_cast<double>(report.weights);
}

Json json_of(const TensorClass& tensor_class) {
  Json types = Json::object();
  for (const auto& [name, count] : tensor_class.types) types[std::string(name)] = count;
  return {{"name", tensor_class.name},
          {"tensors", tensor_class.tensors},
          {"types", std::move(types)},
          {"bytes_before", tensor_class.bytes_before},
          {"bytes_after", tensor_class.bytes_after},
          {"rmse", tensor_class.loss.rmse()},
          {"relative_rmse", tensor_class.loss.relative_rmse()}};
}

Json json_of(const Arguments& arguments, const QuantizeReport& report, double seconds) {
  Json classes = Json::array();
  for (const TensorClass& tensor_class : report.classes) classes.push_back(json_of(tensor_class));
  return {{"input", arguments.in},
          {"output", arguments.out},
          {"type", models::find_quantization(arguments.type)->name},
          {"bytes_before", report.bytes_before},
          {"bytes_after", report.bytes_after},
          {"bits_per_weight_before", bits_per_weight(report.tensor_bytes_before, report)},
          {"bits_per_weight_after", bits_per_weight(report.tensor_bytes_after, report)},
          {"seconds", seconds},
          {"classes", std::move(classes)}};
}

std::string types_text(const TensorClass& tensor_class) {
  std::string out;
  for (const auto& [name, count] : tensor_class.types)
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", name, count);
  return out;
}

void print_table(const Arguments& arguments, const QuantizeReport& report, double seconds) {
  std::cout << fmt::format("{:<18} {:>7}  {:<20} {:>10} {:>10}  {:>9} {:>9}\n", "class", "tensors",
                           "types", "MiB before", "MiB after", "rmse", "relative");
  for (const TensorClass& c : report.classes)
    std::cout << fmt::format("{:<18} {:>7}  {:<20} {:>10.2f} {:>10.2f}  {:>9.3g} {:>8.3f}%\n",
                             c.name, c.tensors, types_text(c), mib(c.bytes_before),
                             mib(c.bytes_after), c.loss.rmse(), 100 * c.loss.relative_rmse());
  std::cout << fmt::format(
      "{}: {:.1f} MiB -> {:.1f} MiB, {:.2f} -> {:.2f} bits per weight, {:.1f} s\n", arguments.out,
      mib(report.bytes_before), mib(report.bytes_after),
      bits_per_weight(report.tensor_bytes_before, report),
      bits_per_weight(report.tensor_bytes_after, report), seconds);
}

// A file that goes away with the object.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::filesystem::path path) : path_(std::move(path)) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Safetensors become a GGUF file first, beside the output.
Result<QuantizeReport> quantize(const Arguments& arguments, const models::QuantizeOptions& options,
                                ThreadPool& pool) {
  LAI_TRY(const std::filesystem::path in, find_model(arguments.in));
  std::error_code ignored;
  if (!std::filesystem::is_directory(in, ignored) && in.extension() != ".safetensors")
    return models::quantize_file(in, arguments.out, options, pool);
  const TemporaryFile whole(fmt::format("{}.{}.whole", arguments.out, ::getpid()));
  engine::ConvertOptions convert;
  convert.progress = convert_progress();
  LAI_TRY_STATUS(engine::convert_model(in, whole.path(), convert));
  return models::quantize_file(whole.path(), arguments.out, options, pool);
}

Status run(const Arguments& arguments) {
  models::QuantizeOptions options;
  options.type = models::find_quantization(arguments.type);
  if (options.type == nullptr)
    return invalid("--type: '" + arguments.type + "' is not one of " +
                   models::quantization_names());
  options.allow_requantize = arguments.allow_requantize;
  ThreadPool pool(arguments.threads == 0 ? usable_cpu_count() : arguments.threads);
  const auto start = std::chrono::steady_clock::now();
  auto line = std::make_unique<ProgressLine>();
  options.progress = [&](const QuantizeProgress& progress) { line->show(progress); };
  auto report = quantize(arguments, options, pool);
  line.reset();
  if (!report.ok()) return std::move(report.error());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (arguments.json) {
    std::cout << dump_json(json_of(arguments, *report, seconds.count())) << std::endl;
  } else {
    print_table(arguments, *report, seconds.count());
  }
  return Ok{};
}

std::string type_help() {
  std::string help = "type of most weights; some tensors get more bits:";
  for (const models::QuantizationType& type : models::quantization_types())
    help += fmt::format("\n{:<7} {}", type.name, type.about);
  return help;
}

}  // namespace

void add_quantize(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("quantize", "Write a model with fewer bits per weight");
  command
      ->add_option("input", arguments->in,
                   "GGUF file (the first shard of a split one) or safetensors directory")
      ->required();
  command->add_option("output", arguments->out, "GGUF file to write")->required();
  command->add_option("--type", arguments->type, type_help())->required();
  command->add_flag("--allow-requantize", arguments->allow_requantize,
                    "take input that is quantized already; what that lost stays lost");
  command
      ->add_option("--threads", arguments->threads, "0: as many as the cores this process may use")
      ->check(CLI::Range(0u, 256u));
  command->add_flag("--json", arguments->json, "print one JSON object at the end");
  command->callback(
      [arguments, &program] { program.run = [arguments]() -> Status { return run(*arguments); }; });
}

}  // namespace localai::cli
