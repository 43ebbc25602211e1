#include "runtime/route_text.h"

#include "base/utf8.h"
#include "runtime/language.h"
#include "text/casefold.h"
#include "text/unicode.h"

namespace localai::runtime {
namespace {

constexpr int kWordClasses = text::kLetter | text::kMark | text::kNumber;

bool stands_alone(char32_t code) {
  return (code >= 0x0E00 && code < 0x0E80) ||  // Thai
         (code >= 0x3040 && code < 0x3100) ||  // kana
         (code >= 0x3400 && code < 0xA000) ||  // Han
         (code >= 0xF900 && code < 0xFB00) ||  // Han, compatibility
         (code >= 0x20000 && code < 0x34000);  // Han, extensions
}

// Where a word that starts at `at` ends.
size_t word_end(std::string_view text, size_t at) {
  const text::TextChar first = text::char_at(text, at);
  size_t end = at + first.bytes;
  if (stands_alone(first.code)) return end;
  while (end < text.size()) {
    const text::TextChar c = text::char_at(text, end);
    if (!c.is(kWordClasses) || stands_alone(c.code)) break;
    end += c.bytes;
  }
  return end;
}

size_t count_valid_characters(std::string_view text) {
  size_t count = 0;
  for (const char c : text)
    if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) ++count;
  return count;
}

std::string shortened(std::string_view prompt) {
  if (prompt.size() <= kRouteHeadBytes + kRouteTailBytes) return std::string(prompt);
  std::string out(prompt.substr(0, kRouteHeadBytes));
  out += '\n';
  return out.append(prompt.substr(prompt.size() - kRouteTailBytes));
}

}  // namespace

std::vector<Word> split_words(std::string_view folded) {
  std::vector<Word> words;
  for (size_t at = 0; at < folded.size();) {
    const text::TextChar c = text::char_at(folded, at);
    if (!c.is(kWordClasses)) {
      at += c.bytes;
      continue;
    }
    const size_t end = word_end(folded, at);
    words.push_back({folded.substr(at, end - at), end < folded.size() && folded[end] == '*'});
    at = end;
  }
  return words;
}

RouteText read_route_text(std::string_view prompt) {
  RouteText out;
  out.characters = count_valid_characters(prompt);
  out.text = sanitize_utf8(shortened(prompt));
  out.folded = text::casefold(out.text);
  out.words = split_words(out.folded);
  out.language = detect_language(out.folded, out.words);
  return out;
}

}  // namespace localai::runtime
