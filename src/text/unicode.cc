#include "text/unicode.h"

#include <algorithm>
#include <vector>

#include "base/utf8.h"
#include "text/unicode_tables.h"

namespace localai::text {
namespace {

constexpr char32_t kFlat = 0x20000;  // planes 0 and 1 are looked up, the rest is searched

uint32_t searched(char32_t code) {
  const CharRange* end = kCharRanges + kCharRangeCount;
  const CharRange* after =
      std::upper_bound(kCharRanges, end, code,
                       [](char32_t value, const CharRange& range) { return value < range.first; });
  return (after - 1)->classes;  // the first range starts at 0
}

std::vector<uint32_t> flat_table() {
  std::vector<uint32_t> table(kFlat);
  for (size_t i = 0; i < kCharRangeCount && kCharRanges[i].first < kFlat; ++i) {
    const size_t end = i + 1 < kCharRangeCount ? kCharRanges[i + 1].first : kFlat;
    std::fill(table.begin() + kCharRanges[i].first,
              table.begin() + static_cast<ptrdiff_t>(std::min<size_t>(end, kFlat)),
              kCharRanges[i].classes);
  }
  return table;
}

}  // namespace

uint32_t char_classes(char32_t code) {
  static const std::vector<uint32_t> table = flat_table();
  return code < kFlat ? table[code] : searched(code);
}

TextChar char_at(std::string_view text, size_t at) {
  if (at >= text.size()) return {};
  const Utf8Char c = decode_utf8(text, at);
  return {c.code_point, char_classes(c.code_point), c.bytes};
}

TextChar char_before(std::string_view text, size_t end) {
  if (end == 0) return {};
  size_t at = end - 1;
  while (at > 0 && end - at < 4 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return char_at(text, at);
}

size_t run_end(std::string_view text, size_t at, uint32_t bits) {
  for (TextChar c = char_at(text, at); c.is(bits); c = char_at(text, at)) at += c.bytes;
  return at;
}

void append_lower(std::string& out, char32_t code) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code >= 'A' && code <= 'Z' ? code + 32 : code));
    return;
  }
  const LowerRange* end = kLowerRanges + kLowerRangeCount;
  const LowerRange* found =
      std::lower_bound(kLowerRanges, end, code,
                       [](const LowerRange& range, char32_t value) { return range.last < value; });
  const bool mapped =
      found != end && code >= found->first && (code - found->first) % found->step == 0;
  append_utf8(out, mapped ? static_cast<char32_t>(static_cast<int32_t>(code) + found->distance)
                          : (code == 0x130 ? U'i' : code));
  if (code == 0x130) append_utf8(out, 0x307);
}

}  // namespace localai::text
