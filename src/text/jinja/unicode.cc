#include "text/jinja/unicode.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/special_casing.h"

namespace localai::text::jinja {
namespace {

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<int32_t>(c)); }
bool is_cased(char32_t c) { return is_upper(c) || is_lower(c) || is_title(c); }
// Word_Break of Mid* and the marks: skipped when looking around a sigma.
bool is_case_ignorable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x387 || c == 0x55F ||
             c == 0x5F4 || c == 0x2018 || c == 0x2019 || c == 0x2024 || c == 0x2027 ||
             c == 0xFE13 || c == 0xFE52 || c == 0xFE55 || c == 0xFF07 || c == 0xFF0E || c == 0xFF1A;
  }
}

enum class Case { kUpper, kLower, kTitle };

void append_case(std::string& out, char32_t c, Case to) {
  const auto code = static_cast<int32_t>(c);
  if (to == Case::kLower) {
    if (c == 0x130) {
      out += "i\xCC\x87";
      return;
    }
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(code)));
    return;
  }
  if (c >= 0x80) {
    const std::string_view special = to == Case::kUpper ? special_upper(c) : special_title(c);
    if (!special.empty()) {
      out += special;
      return;
    }
  }
  append_utf8(out, static_cast<char32_t>(to == Case::kUpper ? utf8proc_toupper(code)
                                                            : utf8proc_totitle(code)));
}

// A sigma ends a word: a cased letter before it and none after it.
bool is_final_sigma(const std::vector<char32_t>& points, size_t at) {
  size_t i = at;
  while (i > 0 && is_case_ignorable(points[i - 1])) --i;
  if (i == 0 || !is_cased(points[i - 1])) return false;
  i = at + 1;
  while (i < points.size() && is_case_ignorable(points[i])) ++i;
  return i == points.size() || !is_cased(points[i]);
}

void append_lower(std::string& out, const std::vector<char32_t>& points, size_t at) {
  constexpr char32_t kSigma = 0x3A3, kFinalSigma = 0x3C2;
  if (points[at] == kSigma && is_final_sigma(points, at)) {
    append_utf8(out, kFinalSigma);
  } else {
    append_case(out, points[at], Case::kLower);
  }
}

}  // namespace

std::vector<char32_t> to_code_points(std::string_view text) {
  std::vector<char32_t> points;
  points.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    points.push_back(c.code_point);
    at += c.bytes;
  }
  return points;
}

std::string from_code_points(const std::vector<char32_t>& points, size_t begin, size_t end) {
  std::string out;
  for (size_t i = begin; i < end; ++i) append_utf8(out, points[i]);
  return out;
}

size_t count_code_points(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<uint8_t>(c) & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if ((static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) continue;
    if (index == 0) return at;
    --index;
  }
  return at;
}

bool is_python_space(char32_t c) {
  if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_line_boundary(char32_t c) {
  return (c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool is_alphabetic(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_digit(char32_t c) {
  if (is_decimal(c)) return true;
  return c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079) ||
         (c >= 0x2080 && c <= 0x2089) || (c >= 0x2460 && c <= 0x2468) ||
         (c >= 0x2474 && c <= 0x247C) || (c >= 0x2488 && c <= 0x2490) || c == 0x24EA ||
         (c >= 0x24F5 && c <= 0x24FD) || c == 0x24FF || (c >= 0x2776 && c <= 0x277E) ||
         (c >= 0x2780 && c <= 0x2788) || (c >= 0x278A && c <= 0x2792);
}

bool is_numeric(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return is_digit(c) || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO;
}

bool is_identifier_start(char32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  return is_alphabetic(c) || category(c) == UTF8PROC_CATEGORY_NL;
}

bool is_identifier_part(char32_t c) {
  if (c < 0x80) return is_identifier_start(c) || (c >= '0' && c <= '9');
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return is_identifier_start(c);
  }
}

bool is_upper(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_LU || (c >= 0x2160 && c <= 0x216F) ||
         (c >= 0x24B6 && c <= 0x24CF) || (c >= 0x1F130 && c <= 0x1F149) ||
         (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}
bool is_lower(char32_t c) {
  if (category(c) == UTF8PROC_CATEGORY_LL) return true;
  return c >= 0x80 && is_other_lowercase(c);
}
bool is_title(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    append_case(out, c.code_point, Case::kUpper);
    at += c.bytes;
  }
  return out;
}

std::string to_lower(std::string_view text) {
  const std::vector<char32_t> points = to_code_points(text);
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < points.size(); ++i) append_lower(out, points, i);
  return out;
}

std::string to_title(std::string_view text) {
  const std::vector<char32_t> points = to_code_points(text);
  std::string out;
  bool after_cased = false;
  for (size_t i = 0; i < points.size(); ++i) {
    if (after_cased) {
      append_lower(out, points, i);
    } else {
      append_case(out, points[i], Case::kTitle);
    }
    after_cased = is_cased(points[i]);
  }
  return out;
}

std::string to_capitalized(std::string_view text) {
  const std::vector<char32_t> points = to_code_points(text);
  std::string out;
  for (size_t i = 0; i < points.size(); ++i) {
    if (i == 0) {
      append_case(out, points[i], Case::kTitle);
    } else {
      append_lower(out, points, i);
    }
  }
  return out;
}

namespace {

template <class Predicate>
std::string_view strip_if(std::string_view text, bool left, bool right, const Predicate& drop) {
  while (left && !text.empty()) {
    const Utf8Char c = decode_utf8(text, 0);
    if (!drop(c.code_point)) break;
    text.remove_prefix(c.bytes);
  }
  while (right && !text.empty()) {
    size_t at = text.size() - 1;
    while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
    if (!drop(decode_utf8(text, at).code_point)) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

}  // namespace

std::string_view strip_space(std::string_view text, bool left, bool right) {
  return strip_if(text, left, right, is_python_space);
}

std::string_view strip_any(std::string_view text, std::string_view chars, bool left, bool right) {
  std::vector<char32_t> set = to_code_points(chars);
  std::sort(set.begin(), set.end());
  return strip_if(text, left, right,
                  [&](char32_t c) { return std::binary_search(set.begin(), set.end(), c); });
}

}  // namespace localai::text::jinja
