#pragma once
// Python's view of text: code points, str.isspace, case mapping. Source: CPython str methods,
// Unicode character data through utf8proc.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace localai::text::jinja {

std::vector<char32_t> to_code_points(std::string_view text);
std::string from_code_points(const std::vector<char32_t>& points, size_t begin, size_t end);
size_t count_code_points(std::string_view text);  // of valid UTF-8
// Byte offset of code point `index`, or text.size() past the end.
size_t byte_offset(std::string_view text, size_t index);

bool is_python_space(char32_t c);   // str.isspace, and \s of re
bool is_line_boundary(char32_t c);  // where str.splitlines cuts
bool is_alphabetic(char32_t c);     // str.isalpha
bool is_digit(char32_t c);          // str.isdigit
bool is_decimal(char32_t c);        // str.isdecimal
bool is_numeric(char32_t c);        // str.isnumeric
bool is_identifier_start(char32_t c);
bool is_identifier_part(char32_t c);
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_title(char32_t c);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_title(std::string_view text);        // str.title
std::string to_capitalized(std::string_view text);  // str.capitalize

// str.strip of whitespace, from the sides asked for.
std::string_view strip_space(std::string_view text, bool left = true, bool right = true);
// str.strip(chars)
std::string_view strip_any(std::string_view text, std::string_view chars, bool left, bool right);

}  // namespace localai::text::jinja
