#include "text/casefold.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "text/unicode_forms.h"

namespace localai::text {
namespace {

void append_folded(std::string& out, char32_t code) {
  std::array<int32_t, 32> parts{};
  int boundary = 0;
  const auto count =
      utf8proc_decompose_char(static_cast<int32_t>(code), parts.data(), parts.size(),
                              static_cast<utf8proc_option_t>(UTF8PROC_CASEFOLD), &boundary);
  if (count <= 0 || count > static_cast<utf8proc_ssize_t>(parts.size()))
    return append_utf8(out, code);
  // A character folds to at most three (Unicode 15, CaseFolding.txt).
  for (size_t i = 0; i < static_cast<size_t>(count); ++i)
    append_utf8(out, static_cast<char32_t>(parts[i]));
}

}  // namespace

std::string casefold(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const auto plain = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), plain)) {
    for (const char c : text)
      out.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
    return out;
  }
  const std::string composed = normal_form(sanitize_utf8(text), {.compose = true});
  for (size_t at = 0; at < composed.size();) {
    const Utf8Char c = decode_utf8(composed, at);
    append_folded(out, c.code_point);
    at += c.bytes;
  }
  return out;
}

}  // namespace localai::text
