#include "text/unicode_forms.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <vector>

#include "base/utf8.h"
#include "text/unicode.h"

namespace localai::text {
namespace {

// The longest decomposition has 18 characters (U+FDFA, Unicode 15).
using Parts = std::array<int32_t, 32>;

size_t decompose(char32_t code, bool compatibility, Parts& parts) {
  parts[0] = static_cast<int32_t>(code);
  if ((char_classes(code) & kNormalizes) == 0) return 1;
  const int options = UTF8PROC_DECOMPOSE | (compatibility ? UTF8PROC_COMPAT : 0);
  int boundary = 0;
  const auto count = utf8proc_decompose_char(static_cast<int32_t>(code), parts.data(),
                                             static_cast<utf8proc_ssize_t>(parts.size()),
                                             static_cast<utf8proc_option_t>(options), &boundary);
  if (count > 0 && static_cast<size_t>(count) <= parts.size()) return static_cast<size_t>(count);
  parts[0] = static_cast<int32_t>(code);
  return 1;
}

int combining_class(char32_t code) {
  if ((char_classes(code) & kNormalizes) == 0) return 0;
  return utf8proc_get_property(static_cast<int32_t>(code))->combining_class;
}

std::u32string decomposed(std::string_view text, bool compatibility) {
  std::u32string out;
  out.reserve(text.size());
  Parts parts{};
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    const size_t count = decompose(c.code_point, compatibility, parts);
    for (size_t i = 0; i < count; ++i) out.push_back(static_cast<char32_t>(parts[i]));
    at += c.bytes;
  }
  return out;
}

// Canonical ordering by a real sort: utf8proc's own is quadratic in a run of combining marks.
void order_marks(std::u32string& codes) {
  for (size_t at = 0; at < codes.size();) {
    size_t end = at;
    while (end < codes.size() && combining_class(codes[end]) != 0) ++end;
    std::stable_sort(
        codes.begin() + static_cast<ptrdiff_t>(at), codes.begin() + static_cast<ptrdiff_t>(end),
        [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    at = end + 1;
  }
}

using Composites = std::unordered_map<uint64_t, char32_t>;

uint64_t pair_key(char32_t first, char32_t second) { return uint64_t{first} << 32 | second; }

// Primary composites by their two halves. A half of a longer decomposition is the composite of all
// but its last character.
Composites make_composites() {
  constexpr char32_t kEnd = 0x30000;  // nothing decomposes past plane 2
  std::map<std::u32string, char32_t> whole;
  for (char32_t code = 0xC0; code < kEnd; ++code) {
    if ((char_classes(code) & kNormalizes) == 0) continue;
    Parts parts{};
    const size_t count = decompose(code, false, parts);
    const auto* property = utf8proc_get_property(static_cast<int32_t>(code));
    if (count < 2 || property->comp_exclusion != 0) continue;
    const std::u32string key(parts.begin(), parts.begin() + count);
    if (combining_class(key.front()) == 0) whole.emplace(key, code);
  }
  Composites out;
  for (const auto& [parts, code] : whole) {
    const std::u32string first = parts.substr(0, parts.size() - 1);
    if (first.size() == 1) {
      out.emplace(pair_key(first.front(), parts.back()), code);
    } else if (const auto found = whole.find(first); found != whole.end()) {
      out.emplace(pair_key(found->second, parts.back()), code);
    }
  }
  return out;
}

// Each character joins the last starter when nothing of its class or a higher one is between them.
std::u32string composed(const std::u32string& codes) {
  static const Composites composites = make_composites();
  std::u32string out;
  out.reserve(codes.size());
  size_t starter = std::u32string::npos;
  int last_class = 0;
  for (const char32_t code : codes) {
    const int own = combining_class(code);
    const bool beside = starter != std::u32string::npos && starter + 1 == out.size();
    if (starter != std::u32string::npos && (beside || (last_class < own && last_class != 0))) {
      const auto found = composites.find(pair_key(out[starter], code));
      if (found != composites.end()) {
        out[starter] = found->second;
        continue;
      }
    }
    if (own == 0) starter = out.size();
    last_class = own;
    out.push_back(code);
  }
  return out;
}

}  // namespace

std::string normal_form(std::string_view text, UnicodeForm form) {
  const auto plain = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), plain)) return std::string(text);
  std::u32string codes = decomposed(text, form.compatibility);
  order_marks(codes);
  if (form.compose) codes = composed(codes);
  std::string out;
  out.reserve(text.size());
  for (const char32_t code : codes) append_utf8(out, code);
  return out;
}

}  // namespace localai::text
