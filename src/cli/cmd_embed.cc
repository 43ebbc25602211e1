// localai embed --model M TEXT...: texts to vectors.
#include <CLI/CLI.hpp>
#include <charconv>
#include <iostream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/engine_arguments.h"
#include "cli/model_argument.h"
#include "engine/embedder.h"

namespace localai::cli {
namespace {

struct Arguments : EngineArguments {
  std::vector<std::string> texts;
};

// The shortest decimals that give the same floats.
void print_vector(std::span<const float> vector) {
  char text[32];
  for (size_t i = 0; i < vector.size(); ++i) {
    const auto end = std::to_chars(text, text + sizeof text, vector[i]).ptr;
    std::cout << (i == 0 ? "[" : ",") << std::string_view(text, end);
  }
  std::cout << ']';
}

Status run(const Arguments& arguments) {
  LAI_TRY(const models::ModelOptions options, model_options(arguments));
  LAI_TRY(const std::filesystem::path path, find_model(arguments.model));
  LAI_TRY(const auto embedder, engine::Embedder::load(path, options, arguments.threads));
  std::vector<engine::EmbeddingInput> inputs;
  for (const std::string& text : arguments.texts)
    inputs.emplace_back(text == "-" ? std::string(std::istreambuf_iterator<char>(std::cin), {})
                                    : text);
  LAI_TRY(const engine::Embeddings out, embedder->embed(inputs));
  for (size_t i = 0; i < inputs.size(); ++i) {
    std::cout << (i == 0 ? "[" : ",\n");
    print_vector(std::span(out.values).subspan(i * out.dimension, out.dimension));
  }
  std::cout << "]\n";
  return Ok{};
}

}  // namespace

void add_embed(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("embed", "Turn texts into vectors: a JSON array with one array a text");
  add_engine_options(*command, *arguments);
  command->add_option("text", arguments->texts, "a text, or - for stdin")->required();
  command->callback(
      [arguments, &program] { program.run = [arguments]() -> Status { return run(*arguments); }; });
}

}  // namespace localai::cli
