#include "cli/speculation_option.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <string>

namespace localai::cli {

void add_speculation_option(CLI::App& command, engine::Speculation& value) {
  static const std::map<std::string, engine::Speculation> names{
      {"off", engine::Speculation::kOff},
      {"auto", engine::Speculation::kAuto},
      {"always", engine::Speculation::kAlways}};
  const auto chosen = std::find_if(names.begin(), names.end(),
                                   [&](const auto& name) { return name.second == value; });
  command
      .add_option("--speculation", value,
                  "check tokens that followed the same words before, several in a step: off, auto "
                  "(where that is quicker) or always; the answer stays the same")
      ->transform(CLI::Transformer(names))
      ->option_text("off|auto|always [" + chosen->first + "]");
}

}  // namespace localai::cli
