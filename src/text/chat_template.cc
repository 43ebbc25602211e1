#include "text/chat_template.h"

#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"

namespace localai::text {

struct ChatTemplate::Program {
  jinja::Program program;
  TemplateLimits limits;
};

ChatTemplate::ChatTemplate(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::compile(std::string_view source, const TemplateLimits& limits) {
  if (source.size() > limits.output_bytes_max)
    return exhausted("the template's source has " + std::to_string(source.size()) +
                     " bytes, the limit is " + std::to_string(limits.output_bytes_max));
  auto program = std::make_unique<Program>();
  LAI_TRY(program->program, jinja::parse_template(source, limits.depth_max), "template");
  program->limits = limits;
  return ChatTemplate(std::move(program));
}

Result<std::string> ChatTemplate::render(const Json& variables) const {
  if (!variables.is_object()) return invalid("the variables of a template are to be a JSON object");
  jinja::Interpreter interpreter(program_->program, program_->limits, variables);
  return interpreter.run();
}

bool ChatTemplate::mentions(std::string_view name) const {
  return program_->program.mentions.contains(name);
}

}  // namespace localai::text
