#pragma once
// UTF-8: decoding, validation, and how many bytes of a text end inside a character.
// Source: Unicode 15, table 3-7 (well-formed byte sequences); no overlong forms, no surrogates.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace localai {

struct Utf8Char {
  char32_t code_point;  // U+FFFD when !valid
  uint8_t bytes;        // consumed, >= 1
  bool valid;
};

// The character at text[at]; at < text.size(). A malformed byte is one invalid character of 1 byte.
Utf8Char decode_utf8(std::string_view text, size_t at);
void append_utf8(std::string& out, char32_t code_point);
bool is_valid_utf8(std::string_view text);
// Bytes (0..3) at the end of `text` that begin a well-formed character but do not finish it.
size_t incomplete_utf8_tail(std::string_view text);
// Each malformed byte becomes U+FFFD.
std::string sanitize_utf8(std::string_view text);

}  // namespace localai
