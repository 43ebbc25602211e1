// localai template [--model M] [--file T.jinja] < request.json: the prompt of a chat template.
#include <CLI/CLI.hpp>
#include <iostream>
#include <iterator>
#include <memory>

#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/model_argument.h"
#include "engine/engine.h"
#include "text/chat_template.h"

namespace localai::cli {
namespace {

struct Arguments {
  std::string model, file, models_dir = "models";
};

Result<Json> read_request() {
  const std::string text(std::istreambuf_iterator<char>(std::cin), {});
  LAI_TRY(Json request, parse_json(text), "the request on stdin");
  if (!request.is_object()) return invalid("the request on stdin is to be a JSON object");
  return request;
}

// What the model gives the template; the request's own variables win.
Result<std::string> read_model(const Arguments& arguments, Json& variables) {
  LAI_TRY(const auto path, find_model(arguments.model, arguments.models_dir));
  LAI_TRY(const formats::Checkpoint checkpoint, formats::Checkpoint::open(path));
  LAI_TRY(const engine::TextModel model, engine::load_text_model(checkpoint));
  variables.emplace("bos_token", model.bos_text);
  variables.emplace("eos_token", model.eos_text);
  if (model.chat_template.empty() && arguments.file.empty())
    return invalid("model '" + arguments.model +
                   "' has no chat template: give one with --file T.jinja");
  return model.chat_template;
}

Status render(const Arguments& arguments) {
  constexpr uint64_t kTemplateBytesMax = 4u << 20;
  if (arguments.model.empty() && arguments.file.empty())
    return invalid("name a template: --file T.jinja, or --model M for the model's own");
  LAI_TRY(Json variables, read_request());
  std::string source;
  if (!arguments.model.empty()) {
    LAI_TRY(source, read_model(arguments, variables));
  }
  if (!arguments.file.empty()) {
    LAI_TRY(source, read_file(arguments.file, kTemplateBytesMax));
  }
  const std::string& origin = arguments.file.empty() ? arguments.model : arguments.file;
  LAI_TRY(const text::ChatTemplate chat_template, text::ChatTemplate::compile(source), origin);
  LAI_TRY(const std::string prompt, chat_template.render(variables));
  std::cout << prompt << std::flush;
  if (!std::cout) return unavailable("stdout: the prompt could not be written");
  return Ok{};
}

}  // namespace

void add_template(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "template", "Render a chat template with the JSON request on stdin, byte for byte");
  command->add_option("--model", arguments->model, "a model whose template and tokens are used");
  command->add_option("--file", arguments->file, "a template to use instead of the model's")
      ->type_name("T.jinja");
  command->add_option("--models-dir", arguments->models_dir, "where models are looked up")
      ->capture_default_str();
  command->callback(
      [arguments, &program] { program.run = [arguments] { return render(*arguments); }; });
}

}  // namespace localai::cli
