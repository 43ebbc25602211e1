#pragma once
// The inside of a string literal in a template.
#include <string>
#include <string_view>

#include "base/result.h"

namespace localai::text::jinja {

// \r\n and \r become \n.
std::string normalize_newlines(std::string_view text);

// Escapes as in Python ("\n", "\x41", "\u00e9", "\101", ...); an unknown one stays as it is.
// Errors: kInvalidArgument for a cut escape, a surrogate, \N{...}.
Result<std::string> decode_string_literal(std::string_view raw);

}  // namespace localai::text::jinja
