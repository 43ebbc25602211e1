#pragma once
// Values as text: Python's str() and repr(), and json.dumps.
#include <optional>
#include <string>

#include "text/jinja/runtime.h"

namespace localai::text::jinja {

// str(value). Undefined is "".
Result<std::string> to_text(Runtime& runtime, const Value& value);
Result<std::string> to_repr(Runtime& runtime, const Value& value);
std::string repr_of_real(double value);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // what one level adds; none: one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
// json.dumps(value). Errors: kInvalidArgument for what JSON has no form for.
Result<std::string> to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

// Text by replacement of & < > ' ", as markupsafe does.
std::string escape_html(std::string_view text);

}  // namespace localai::text::jinja
