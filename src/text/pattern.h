#pragma once
// Regexes of pre-tokenizers. The known ones are matched by hand over the reference's character
// classes (unicode.h); any other goes to PCRE2, whose classes are of an older Unicode.
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace localai::text {

struct Span {
  size_t begin = 0, end = 0;
};

// Immutable, thread-safe.
class Pattern {
 public:
  // Errors: kUnsupported, naming the regex and what is wrong with it.
  static Result<std::unique_ptr<Pattern>> compile(const std::string& regex);
  virtual ~Pattern() = default;
  // The first match in `text` (valid UTF-8) that starts at or after `from`; never an empty one.
  [[nodiscard]] virtual std::optional<Span> find(std::string_view text, size_t from) const = 0;
};

// The regexes of well-known tokenizers, as their files spell them.
extern const char* const kPatternGpt2;
extern const char* const kPatternLlama3;
extern const char* const kPatternQwen2;
extern const char* const kPatternQwen35;
extern const char* const kPatternTekken;
extern const char* const kPatternGpt4o;
extern const char* const kPatternNumber;
extern const char* const kPatternNumbers;
extern const char* const kPatternNumbersOf3;
extern const char* const kPatternAsciiDigits3;
extern const char* const kPatternPunctuation;
extern const char* const kPatternDeepseekCjk;
extern const char* const kPatternDeepseekWords;
extern const char* const kPatternSeedCoder;
extern const char* const kPatternUfakzeka;
extern const char* const kPatternJais2;
extern const char* const kPatternExaoneMoe;
extern const char* const kPatternYoutu;
extern const char* const kPatternPoro;
extern const char* const kPatternFalconPunctuation;
extern const char* const kPatternLineEnd;
extern const char* const kPatternLines;
extern const char* const kPatternSpacedLetters;
extern const char* const kPatternSpacedPunctuation;
extern const char* const kPatternDigitTriples;
// Those of explicit ranges alone, which PCRE2 matches as the reference does.
extern const char* const kPatternDeepseekLetters;
extern const char* const kPatternDeepseekMarks;
extern const char* const kPatternSpacesAtEnd;
extern const char* const kPatternDeepseekIdeographs;
extern const char* const kPatternYoutuBlocks;

// A matcher by hand: where the match that starts at `at` ends, or `at` when there is none.
using MatchEnd = size_t (*)(std::string_view text, size_t at);
MatchEnd known_pattern(std::string_view regex);  // null: not a known one

}  // namespace localai::text
