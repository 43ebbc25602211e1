// localai inspect FILE_OR_DIR [--json]: what a model file says of itself.
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.h"

namespace localai::cli {

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
      return unsupported("inspect is not in this build yet");
    };
  });
}

}  // namespace localai::cli
