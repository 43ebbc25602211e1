#include "base/utf8.h"

namespace localai {
namespace {

// Expected length by lead byte and the range of the second byte; 0: never a lead byte.
struct Lead {
  uint8_t bytes;
  uint8_t second_min, second_max;
};

Lead lead_of(uint8_t b) {
  if (b < 0x80) return {1, 0, 0};
  if (b < 0xC2) return {0, 0, 0};
  if (b < 0xE0) return {2, 0x80, 0xBF};
  if (b < 0xF0)
    return {3, static_cast<uint8_t>(b == 0xE0 ? 0xA0 : 0x80),
            static_cast<uint8_t>(b == 0xED ? 0x9F : 0xBF)};
  if (b < 0xF5)
    return {4, static_cast<uint8_t>(b == 0xF0 ? 0x90 : 0x80),
            static_cast<uint8_t>(b == 0xF4 ? 0x8F : 0xBF)};
  return {0, 0, 0};
}

bool is_continuation(uint8_t b, size_t index, const Lead& lead) {
  return index == 1 ? b >= lead.second_min && b <= lead.second_max : (b & 0xC0) == 0x80;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text, size_t at) {
  const auto first = static_cast<uint8_t>(text[at]);
  const Lead lead = lead_of(first);
  if (lead.bytes == 0) return {0xFFFD, 1, false};
  if (lead.bytes == 1) return {first, 1, true};
  auto code = static_cast<char32_t>(first & (0x7F >> lead.bytes));
  for (uint8_t i = 1; i < lead.bytes; ++i) {
    if (at + i >= text.size()) return {0xFFFD, i, false};
    const auto b = static_cast<uint8_t>(text[at + i]);
    if (!is_continuation(b, i, lead)) return {0xFFFD, i, false};
    code = code << 6 | (b & 0x3F);
  }
  return {code, lead.bytes, true};
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t b) { out.push_back(static_cast<char>(b)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

bool is_valid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    if (!c.valid) return false;
    at += c.bytes;
  }
  return true;
}

size_t incomplete_utf8_tail(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const size_t at = text.size() - back;
    const auto b = static_cast<uint8_t>(text[at]);
    if ((b & 0xC0) == 0x80) continue;
    const Lead lead = lead_of(b);
    if (lead.bytes <= back) return 0;
    for (size_t i = 1; i < back; ++i)
      if (!is_continuation(static_cast<uint8_t>(text[at + i]), i, lead)) return 0;
    return back;
  }
  return 0;
}

std::string sanitize_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    append_utf8(out, c.code_point);
    at += c.bytes;
  }
  return out;
}

}  // namespace localai
