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

// The character at text[at]; at < text.size(). Malformed bytes are invalid characters, each as long
// as the beginning of a well-formed one that it could be ("maximal subpart", Unicode 15 section
// 3.9): what Python's errors="replace" and Rust's from_utf8_lossy do.
Utf8Char decode_utf8(std::string_view text, size_t at);
void append_utf8(std::string& out, char32_t code_point);
bool is_valid_utf8(std::string_view text);
// Bytes (0..3) at the end of `text` that begin a well-formed character but do not finish it.
size_t incomplete_utf8_tail(std::string_view text);
// Each invalid character (see decode_utf8) becomes U+FFFD.
std::string sanitize_utf8(std::string_view text);

}  // namespace localai
