#include "text/byte_alphabet.h"

#include <array>

#include "base/utf8.h"

namespace localai::text {
namespace {

struct Alphabet {
  std::array<std::string, 256> character;
  std::array<int16_t, 512> byte;  // by code point; -1: not of the alphabet
};

bool stands_for_itself(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

Alphabet make_alphabet() {
  Alphabet out;
  out.byte.fill(-1);
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t code = stands_for_itself(byte) ? static_cast<char32_t>(byte) : next++;
    append_utf8(out.character[static_cast<size_t>(byte)], code);
    out.byte[code] = static_cast<int16_t>(byte);
  }
  return out;
}

const Alphabet& alphabet() {
  static const Alphabet table = make_alphabet();
  return table;
}

}  // namespace

std::string_view alphabet_character(unsigned char byte) { return alphabet().character[byte]; }

std::optional<std::string> alphabet_bytes(std::string_view token) {
  std::string out;
  for (size_t at = 0; at < token.size();) {
    const Utf8Char c = decode_utf8(token, at);
    if (!c.valid || c.code_point >= 512 || alphabet().byte[c.code_point] < 0) return std::nullopt;
    out.push_back(static_cast<char>(alphabet().byte[c.code_point]));
    at += c.bytes;
  }
  return out;
}

}  // namespace localai::text
