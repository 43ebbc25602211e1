#pragma once
// Character classes as the reference tokenizers library sees them (tools/gen_unicode_tables.py).
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace localai::text {

// Bits, in the generator's order.
enum CharClass : uint32_t {
  kUpper = 1 << 0,        // Lu
  kLower = 1 << 1,        // Ll
  kTitle = 1 << 2,        // Lt
  kModifier = 1 << 3,     // Lm
  kOtherLetter = 1 << 4,  // Lo
  kMark = 1 << 5,         // M
  kNumber = 1 << 6,       // N
  kPunctuation = 1 << 7,  // P
  kSymbol = 1 << 8,       // S
  kSpace = 1 << 9,        // White_Space
  kDigit = 1 << 10,       // what the Digits pre-tokenizer isolates
  kWord = 1 << 11,        // \w beside a single_word added token
  kMarkedOff = 1 << 12,   // what the Punctuation and BertPreTokenizer steps isolate
  kControl = 1 << 13,     // what BertNormalizer's clean_text removes
  kNonspacing = 1 << 14,  // what its strip_accents removes
  kCombining = 1 << 15,   // what the StripAccents step removes
  kNormalizes = 1 << 16,  // NFKD changes it, or it has a combining class
};
constexpr uint32_t kLetter = kUpper | kLower | kTitle | kModifier | kOtherLetter;

// CharClass bits of a code point; 0 for surrogates and what is past U+10FFFF.
uint32_t char_classes(char32_t code_point);

// The character at text[at] (valid UTF-8, at < text.size()), or at the end: bytes 0, classes 0.
struct TextChar {
  char32_t code = 0;
  uint32_t classes = 0;
  uint8_t bytes = 0;
  [[nodiscard]] bool is(uint32_t bits) const { return (classes & bits) != 0; }
};
TextChar char_at(std::string_view text, size_t at);
// The character that ends before text[end]; as above at 0.
TextChar char_before(std::string_view text, size_t end);

// Where the run of characters with any of `bits` that starts at `at` ends.
size_t run_end(std::string_view text, size_t at, uint32_t bits);

// Appends the lower case of one character, whatever stands beside it (Unicode's full mapping:
// U+0130 becomes two characters).
void append_lower(std::string& out, char32_t code_point);

}  // namespace localai::text
