#include "formats/quote.h"

#include "base/utf8.h"

namespace localai::formats {

std::string printable(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    at += c.bytes;
    // C0, DEL and C1: what a terminal would obey.
    if (c.valid && (c.code_point < 0x20 || (c.code_point >= 0x7F && c.code_point < 0xA0))) {
      out += "\\x";
      out += kHex[c.code_point >> 4];
      out += kHex[c.code_point & 15];
    } else {
      append_utf8(out, c.code_point);
    }
  }
  return out;
}

std::string quote(std::string_view text) {
  constexpr size_t kBytesMax = 100;
  if (text.size() <= kBytesMax) return "'" + printable(text) + "'";
  const std::string_view head = text.substr(0, kBytesMax);
  return "'" + printable(head.substr(0, head.size() - incomplete_utf8_tail(head))) + "...'";
}

}  // namespace localai::formats
