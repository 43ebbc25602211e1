#pragma once
// Chat templates: a Jinja interpreter, equal byte for byte to Python's jinja2 in the environment
// that transformers makes (trim_blocks, lstrip_blocks, loop controls, tojson, raise_exception,
// strftime_now). It reaches nothing but its inputs, and its work, output and depth are bounded.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace localai::text {

struct TemplateLimits {
  uint64_t steps_max = 5'000'000;         // evaluated nodes
  uint64_t output_bytes_max = 16u << 20;  // and as much again for any one intermediate value
  uint64_t memory_bytes_max = 64u << 20;  // of all values alive
  uint32_t depth_max = 64;                // nesting of source, of macro calls and of values
};

class ChatTemplate {
 public:
  // Errors: kInvalidArgument with line and column; kUnsupported naming the filter, test, function
  // or tag that is not there. All at compile time where the source alone decides.
  static Result<ChatTemplate> compile(std::string_view source, const TemplateLimits& limits = {});
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // Renders with every member of `variables` (an object) as a variable: messages, tools,
  // add_generation_prompt, bos_token, ... Absent ones are undefined. Thread-safe.
  // Errors: kInvalidArgument (raise_exception's message, or a type error with its line),
  // kExhausted (a limit, named).
  [[nodiscard]] Result<std::string> render(const Json& variables) const;

  // Does the source mention this name (for example "tools")? Decides what a model can do.
  [[nodiscard]] bool mentions(std::string_view name) const;

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<const Program> program);
  std::unique_ptr<const Program> program_;
};

}  // namespace localai::text
