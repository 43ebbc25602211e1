#include "text/jinja/string_literal.h"

#include <charconv>
#include <cstdint>
#include <optional>

#include "base/utf8.h"

namespace localai::text::jinja {

std::string normalize_newlines(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      out.push_back(text[i]);
      continue;
    }
    out.push_back('\n');
    if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
  }
  return out;
}

namespace {

char simple_escape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    case '\\':
    case '\'':
    case '"':
      return c;
    default:
      return '\0';
  }
}

// Exactly `count` hexadecimal digits at the start of `text`.
std::optional<uint32_t> parse_hex(std::string_view text, size_t count) {
  if (text.size() < count) return std::nullopt;
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + count, value, 16);
  if (error != std::errc() || end != text.data() + count) return std::nullopt;
  return value;
}

// Python decodes a literal after its characters beyond ASCII have become escapes, so that a
// backslash before one of them escapes the backslash of that escape.
void append_escaped_character(std::string& out, char32_t c) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const int digits = c < 0x100 ? 2 : c < 0x10000 ? 4 : 8;
  out += digits == 2 ? "\\x" : digits == 4 ? "\\u" : "\\U";
  for (int i = digits - 1; i >= 0; --i) out.push_back(kDigits[c >> (4 * i) & 15]);
}

}  // namespace

Result<std::string> decode_string_literal(std::string_view literal) {
  const std::string raw = normalize_newlines(literal);
  std::string out;
  for (size_t at = 0; at < raw.size();) {
    if (raw[at] != '\\' || at + 1 >= raw.size()) {
      out.push_back(raw[at++]);
      continue;
    }
    const char c = raw[at + 1];
    at += 2;
    if (const char simple = simple_escape(c)) {
      out.push_back(simple);
    } else if (c == '\n') {
      continue;
    } else if (c >= '0' && c <= '7') {
      uint32_t value = 0;
      for (--at; at < raw.size() && raw[at] >= '0' && raw[at] <= '7' && value < 0100; ++at)
        value = value * 8 + static_cast<uint32_t>(raw[at] - '0');
      append_utf8(out, value);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      const auto value = parse_hex(std::string_view(raw).substr(at), digits);
      if (!value || *value > 0x10FFFF)
        return invalid(std::string("the escape \\") + c + " in a string is not complete or valid");
      if (*value >= 0xD800 && *value < 0xE000)
        return invalid("an escape in a string names a surrogate, which is no character");
      append_utf8(out, *value);
      at += digits;
    } else if (c == 'N') {
      return invalid("escapes of the form \\N{name} are not supported");
    } else if (static_cast<uint8_t>(c) >= 0x80) {
      const Utf8Char character = decode_utf8(raw, at - 1);
      append_escaped_character(out, character.code_point);
      at += character.bytes - 1u;
    } else {
      out.push_back('\\');
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace localai::text::jinja
