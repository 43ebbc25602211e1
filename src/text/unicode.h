#pragma once
// Character classes as the reference tokenizers library sees them (tools/gen_unicode_tables.py).
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace localai::text {

// Bits, in the generator's order.
enum CharClass : uint16_t {
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
};
constexpr uint16_t kLetter = kUpper | kLower | kTitle | kModifier | kOtherLetter;

// CharClass bits of a code point; 0 for surrogates and what is past U+10FFFF.
uint16_t char_classes(char32_t code_point);

// The character at text[at] (valid UTF-8, at < text.size()), or at the end: bytes 0, classes 0.
struct TextChar {
  char32_t code = 0;
  uint16_t classes = 0;
  uint8_t bytes = 0;
  [[nodiscard]] bool is(int bits) const { return (classes & bits) != 0; }
};
TextChar char_at(std::string_view text, size_t at);
// The character that ends before text[end]; as above at 0.
TextChar char_before(std::string_view text, size_t end);

// Where the run of characters with any of `bits` that starts at `at` ends.
size_t run_end(std::string_view text, size_t at, int bits);

}  // namespace localai::text
