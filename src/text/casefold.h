#pragma once
// Text without the difference between upper and lower case, for comparing what people type.
#include <string>
#include <string_view>

namespace localai::text {

// Normal form C, then full case folding (Unicode: "ß" becomes "ss", "İ" "i̇"). Invalid bytes become
// U+FFFD first. n log n, whatever the text.
std::string casefold(std::string_view text);

}  // namespace localai::text
