#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "base/utf8.h"

namespace localai::text {
namespace {

std::string replaced(const std::string& text, const std::string& from, const std::string& to) {
  if (from.empty()) return text;
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  for (size_t found = text.find(from); found != std::string::npos; found = text.find(from, at)) {
    out.append(text, at, found - at).append(to);
    at = found + from.size();
  }
  return out.append(text, at);
}

int combining_class(int32_t code) { return utf8proc_get_property(code)->combining_class; }

std::vector<int32_t> decomposed(const std::string& text) {
  std::vector<int32_t> out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    std::array<int32_t, 32> parts{};
    int boundary = 0;
    const auto count =
        utf8proc_decompose_char(static_cast<int32_t>(c.code_point), parts.data(), parts.size(),
                                static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE), &boundary);
    // The longest canonical decomposition has 4 characters (Unicode 15).
    for (utf8proc_ssize_t i = 0; i < count && i < 32; ++i)
      out.push_back(parts[static_cast<size_t>(i)]);
    at += c.bytes;
  }
  return out;
}

// Canonical ordering by a real sort: utf8proc's own is quadratic in a run of combining marks.
void order_marks(std::vector<int32_t>& codes) {
  for (size_t at = 0; at < codes.size();) {
    size_t end = at;
    while (end < codes.size() && combining_class(codes[end]) != 0) ++end;
    std::stable_sort(codes.begin() + static_cast<ptrdiff_t>(at),
                     codes.begin() + static_cast<ptrdiff_t>(end),
                     [](int32_t a, int32_t b) { return combining_class(a) < combining_class(b); });
    at = end + 1;
  }
}

// Unicode normalization form C (UAX #15).
std::string nfc(const std::string& text) {
  const auto plain = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), plain)) return text;
  std::vector<int32_t> codes = decomposed(text);
  order_marks(codes);
  const utf8proc_ssize_t count =
      utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(codes.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  std::string out;
  out.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < count; ++i)
    append_utf8(out, static_cast<char32_t>(codes[static_cast<size_t>(i)]));
  return out;
}

}  // namespace

std::string normalize(std::string_view text, const std::vector<NormalizerStep>& steps) {
  std::string out(text);
  for (const NormalizerStep& step : steps) {
    switch (step.kind) {
      case NormalizerStep::Kind::kReplace:
        out = replaced(out, step.from, step.to);
        break;
      case NormalizerStep::Kind::kPrepend:
        if (!out.empty()) out.insert(0, step.to);
        break;
      case NormalizerStep::Kind::kNfc:
        out = nfc(out);
        break;
    }
  }
  return out;
}

}  // namespace localai::text
