#pragma once
// Tokens to a compiled template. Source: jinja2 3.1, "Template Designer Documentation", and the
// grammar that its parser accepts; the loop controls and transformers' generation tag are in.
#include <string_view>

#include "base/result.h"
#include "text/jinja/ast.h"

namespace localai::text::jinja {

// `depth_max` bounds the nesting of blocks and expressions together.
// Errors: kInvalidArgument (syntax), kUnsupported (a tag, filter, test or function that is not
// there), kExhausted (nesting), all with line and column.
Result<Program> parse_template(std::string_view source, uint32_t depth_max);

}  // namespace localai::text::jinja
