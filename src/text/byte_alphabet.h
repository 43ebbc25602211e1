#pragma once
// The printable alphabet of byte-level BPE: 256 characters, one a byte. Bytes 33..126, 161..172 and
// 174..255 stand for themselves; the other 68, in order, are U+0100, U+0101, ... Source: GPT-2's
// bytes_to_unicode().
#include <optional>
#include <string>
#include <string_view>

namespace localai::text {

// The character (UTF-8, 1 or 2 bytes) that stands for a byte.
std::string_view alphabet_character(unsigned char byte);
// The bytes that `token` spells, or nothing when a character is not of the alphabet.
std::optional<std::string> alphabet_bytes(std::string_view token);

}  // namespace localai::text
