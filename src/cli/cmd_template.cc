// localai template [--file T.jinja] < request.json: the prompt that a chat template makes.
#include <CLI/CLI.hpp>
#include <iostream>
#include <iterator>
#include <memory>

#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"
#include "text/chat_template.h"

namespace localai::cli {
namespace {

Result<Json> read_request() {
  const std::string text(std::istreambuf_iterator<char>(std::cin), {});
  LAI_TRY(Json request, parse_json(text), "the request on stdin");
  if (!request.is_object()) return invalid("the request on stdin is to be a JSON object");
  return request;
}

Status render(const std::string& file) {
  constexpr uint64_t kTemplateBytesMax = 4u << 20;
  if (file.empty()) return invalid("name a template: --file T.jinja");
  LAI_TRY(const std::string source, read_file(file, kTemplateBytesMax));
  LAI_TRY(const text::ChatTemplate chat_template, text::ChatTemplate::compile(source), file);
  LAI_TRY(const Json request, read_request());
  LAI_TRY(const std::string prompt, chat_template.render(request));
  std::cout << prompt << std::flush;
  if (!std::cout) return unavailable("stdout: the prompt could not be written");
  return Ok{};
}

}  // namespace

void add_template(CLI::App& app, Program& program) {
  auto file = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "template", "Render a chat template with the JSON request on stdin, byte for byte");
  command->add_option("--file", *file, "the template")->type_name("T.jinja");
  command->callback([file, &program] { program.run = [file] { return render(*file); }; });
}

}  // namespace localai::cli
