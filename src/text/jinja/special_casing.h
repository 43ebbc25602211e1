#pragma once
// What utf8proc's one-to-one case mappings leave out. Generated from Unicode 14's
// SpecialCasing.txt and PropList.txt.
#include <string_view>

namespace localai::text::jinja {

// The mapping of one character to several, or empty when it is one to one.
std::string_view special_upper(char32_t code);
std::string_view special_title(char32_t code);
bool is_other_lowercase(char32_t code);

}  // namespace localai::text::jinja
