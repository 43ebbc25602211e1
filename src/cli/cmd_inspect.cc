// localai inspect FILE_OR_DIR [--json]: what a model file says of itself.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <type_traits>

#include "base/json.h"
#include "cli/command.h"
#include "formats/checkpoint.h"
#include "formats/quote.h"

namespace localai::cli {
namespace {

using formats::Checkpoint;
using formats::GgufArray;
using formats::GgufEntry;
using formats::GgufValue;
using formats::printable;

Json json_of(const formats::GgufScalar& value) {
  return std::visit([](auto v) { return Json(v); }, value);
}

Json json_of(const GgufValue& value) {
  return std::visit(
      [](const auto& v) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, GgufArray>) {
          Json out = Json::array();
          for (const std::string_view text : v.strings()) out.push_back(text);
          if (out.empty())
            for (size_t i = 0; i < v.size(); ++i) out.push_back(json_of(*v.scalar(i)));
          return out;
        } else {
          return Json(v);
        }
      },
      value);
}

Json json_of(const Shape& shape) {
  Json out = Json::array();
  for (uint32_t i = 0; i < shape.rank; ++i) out.push_back(shape[i]);
  return out;
}

// GGUF: its key-value pairs. safetensors: config.json, and the header's own "__metadata__" if any.
Json metadata_of(const Checkpoint& checkpoint) {
  if (const auto* gguf = checkpoint.gguf()) {
    Json out = Json::object();
    // Appended, not looked up: the keys are distinct, and there may be very many.
    auto& pairs = out.get_ref<Json::object_t&>();
    for (const GgufEntry& entry : gguf->metadata())
      pairs.push_back({std::string(entry.key), json_of(entry.value)});
    return out;
  }
  Json out = checkpoint.safetensors()->config();
  if (const auto& metadata = checkpoint.safetensors()->metadata(); !metadata.empty())
    out["__metadata__"] = metadata;
  return out;
}

Json json_of(const Checkpoint& checkpoint) {
  Json tensors = Json::array();
  for (const auto& [name, view] : checkpoint.tensors())
    tensors.push_back({{"name", name},
                       {"type", dtype_name(view.dtype)},
                       {"shape", json_of(view.shape)},
                       {"bytes", view.bytes}});
  return {{"format", checkpoint.format()},
          {"architecture", checkpoint.architecture()},
          {"metadata", metadata_of(checkpoint)},
          {"tensors", std::move(tensors)}};
}

// One line of at most about 80 characters: strings and arrays are cut, with what they are cut from.
std::string short_text(const Json& value) {
  constexpr size_t kTextMax = 60;
  constexpr size_t kElementsMax = 6;
  if (value.is_string()) return formats::quote(value.get_ref<const std::string&>());
  if (!value.is_array()) {
    const std::string text = printable(dump_json(value));
    return text.size() <= kTextMax ? text : text.substr(0, kTextMax) + "...";
  }
  std::string out = "[";
  for (size_t i = 0; i < std::min(value.size(), kElementsMax) && out.size() < kTextMax; ++i)
    out += (i == 0 ? "" : ", ") + short_text(value[i]);
  if (value.size() > kElementsMax || out.size() >= kTextMax) out += ", ...";
  return out + "] (" + std::to_string(value.size()) + ")";
}

std::string left(std::string text, size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}
std::string right(const std::string& text, size_t width) {
  return std::string(width > text.size() ? width - text.size() : 0, ' ') + text;
}

void print_metadata(const Json& metadata) {
  size_t width = 0;
  for (const auto& [key, value] : metadata.items()) width = std::max(width, printable(key).size());
  width = std::min<size_t>(width, 48);
  std::cout << "\nmetadata: " << metadata.size() << " keys\n";
  for (const auto& [key, value] : metadata.items())
    std::cout << "  " << left(printable(key), width) << "  " << short_text(value) << '\n';
}

void print_tensors(const Checkpoint& checkpoint) {
  size_t width = 0, shape_width = 0;
  uint64_t bytes = 0, elements = 0;
  for (const auto& [name, view] : checkpoint.tensors()) {
    width = std::max(width, printable(name).size());
    shape_width = std::max(shape_width, view.shape.text().size());
    bytes += view.bytes;
    elements += view.shape.elements();
  }
  std::cout << "\ntensors: " << checkpoint.tensors().size() << ", " << elements << " weights, "
            << bytes << " bytes\n";
  for (const auto& [name, view] : checkpoint.tensors())
    std::cout << "  " << left(printable(name), width) << "  "
              << left(std::string(dtype_name(view.dtype)), 4) << "  "
              << left(view.shape.text(), shape_width) << "  "
              << right(std::to_string(view.bytes), 12) << '\n';
}

void print_table(const Checkpoint& checkpoint) {
  std::cout << "file:         " << checkpoint.path().string() << '\n'
            << "format:       " << checkpoint.format();
  if (const auto* gguf = checkpoint.gguf()) std::cout << " version " << gguf->version();
  std::cout << "\narchitecture: " << printable(checkpoint.architecture()) << '\n';
  print_metadata(metadata_of(checkpoint));
  print_tensors(checkpoint);
}

}  // namespace

void add_inspect(CLI::App& app, Program& program) {
  struct Arguments {
    std::string path;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("inspect", "Show the metadata and tensors of a model file");
  command->add_option("path", arguments->path, "GGUF file or safetensors directory")->required();
  command->add_flag("--json", arguments->json, "print one JSON object");
  command->callback([arguments, &program] {
    program.run = [arguments]() -> Status {
      LAI_TRY(const Checkpoint checkpoint, Checkpoint::open(arguments->path));
      if (arguments->json) {
        std::cout << dump_json(json_of(checkpoint)) << '\n';
      } else {
        print_table(checkpoint);
      }
      return Ok{};
    };
  });
}

}  // namespace localai::cli
