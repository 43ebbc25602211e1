#pragma once
// Text operations that filters and string methods share.
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"

namespace localai::text::jinja {

// str.replace. `count` < 0: all.
Result<std::string> replace_all(Runtime& runtime, const std::string& text, const std::string& from,
                                const std::string& to, int64_t count);
// str.splitlines. Views into `text`.
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);
// str.center with one fill character.
Result<Value> center_text(Runtime& runtime, const std::string& text, int64_t width,
                          const std::string& fill);
// str.format with {} {0} {name}, attributes and items, !r and !s.
// Errors: kUnsupported for format specifications.
Result<Value> format_braces(Runtime& runtime, const std::string& format, Arguments& arguments);

}  // namespace localai::text::jinja
