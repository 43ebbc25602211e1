// Matchers for the pre-tokenizer regexes that models really use. Each function tries the regex's
// alternatives in their order at one position, as a backtracking engine would.
#include "text/pattern.h"
#include "text/unicode.h"

namespace localai::text {

#define LAI_SPACES R"(|\s+(?!\S)|\s+)"
#define LAI_ANY_CASE R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
#define LAI_LINES R"(|\s*[\r\n]+)" LAI_SPACES
#define LAI_UPPERS R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LAI_LOWERS R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define LAI_BEFORE R"([^\r\n\p{L}\p{N}]?)"
const char* const kPatternGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+)" LAI_SPACES;
const char* const kPatternLlama3 =
    LAI_ANY_CASE "|" LAI_BEFORE R"(\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)" LAI_LINES;
const char* const kPatternQwen2 =
    LAI_ANY_CASE "|" LAI_BEFORE R"(\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)" LAI_LINES;
const char* const kPatternQwen35 =
    LAI_ANY_CASE "|" LAI_BEFORE R"([\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" LAI_LINES;
const char* const kPatternTekken =
    LAI_BEFORE LAI_UPPERS "*" LAI_LOWERS "+|" LAI_BEFORE LAI_UPPERS "+" LAI_LOWERS
                          "*"
                          R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" LAI_LINES;
const char* const kPatternGpt4o = LAI_BEFORE LAI_UPPERS
    "*" LAI_LOWERS "+" LAI_ANY_CASE "?|" LAI_BEFORE LAI_UPPERS "+" LAI_LOWERS "*" LAI_ANY_CASE
    "?"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" LAI_LINES;
const char* const kPatternNumber = R"(\p{N})";
const char* const kPatternNumbers = R"(\p{N}+)";
const char* const kPatternNumbersOf3 = R"(\p{N}{1,3})";
const char* const kPatternAsciiDigits3 = "[0-9][0-9][0-9]";
const char* const kPatternPunctuation = R"([\p{P}\$\+<=>\^~\|]+)";
const char* const kPatternDeepseekCjk = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
const char* const kPatternDeepseekWords =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*)" LAI_LINES;
#undef LAI_SPACES
#undef LAI_ANY_CASE
#undef LAI_LINES
#undef LAI_UPPERS
#undef LAI_LOWERS
#undef LAI_BEFORE

namespace {

char byte_at(std::string_view text, size_t at) { return at < text.size() ? text[at] : '\0'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool is_line_end(char32_t code) { return code == '\r' || code == '\n'; }

// 's 't 're 've 'm 'll 'd, in any case when `fold` (U+017F, the long s, folds to s).
size_t contraction(std::string_view text, size_t at, bool fold) {
  if (byte_at(text, at) != '\'') return at;
  const auto letter = [&](size_t i) {
    const char c = byte_at(text, i);
    return fold ? lower(c) : c;
  };
  const char first = letter(at + 1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  const char second = letter(at + 2);
  const bool pair = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
                    (first == 'l' && second == 'l');
  if (pair) return at + 3;
  return fold && text.substr(at + 1, 2) == "\u017f" ? at + 3 : at;
}

size_t run_of_others(std::string_view text, size_t at, uint32_t excluded) {
  for (TextChar c = char_at(text, at); c.bytes > 0 && !c.is(excluded); c = char_at(text, at))
    at += c.bytes;
  return at;
}

size_t run_of_bytes(std::string_view text, size_t at, std::string_view bytes) {
  while (at < text.size() && bytes.find(text[at]) != std::string_view::npos) ++at;
  return at;
}

size_t run_up_to(std::string_view text, size_t at, uint32_t bits, int count) {
  for (TextChar c = char_at(text, at); count > 0 && c.is(bits); c = char_at(text, at)) {
    at += c.bytes;
    --count;
  }
  return at;
}

// \s+(?!\S)|\s+ : the run without its last character when something else follows.
size_t spaces(std::string_view text, size_t at) {
  const size_t end = run_end(text, at, kSpace);
  if (end == at || end == text.size()) return end;
  const size_t shorter = end - char_before(text, end).bytes;
  return shorter > at ? shorter : end;
}

// \s*[\r\n]+ : the run of spaces through its last line end; then as spaces().
size_t lines(std::string_view text, size_t at) {
  const size_t end = run_end(text, at, kSpace);
  for (size_t i = end; i > at; --i)
    if (is_line_end(static_cast<unsigned char>(text[i - 1]))) return i;
  return spaces(text, at);
}

size_t gpt2(std::string_view text, size_t at) {
  if (const size_t end = contraction(text, at, false); end > at) return end;
  const size_t start = at + (text[at] == ' ' ? 1 : 0);
  const TextChar c = char_at(text, start);
  if (c.is(kLetter)) return run_end(text, start, kLetter);
  if (c.is(kNumber)) return run_end(text, start, kNumber);
  if (c.bytes > 0 && !c.is(kSpace)) return run_of_others(text, start, kSpace | kLetter | kNumber);
  return spaces(text, at);
}

//  ?[^\s\p{L}\p{N}]+ and what of `tail` follows directly; `at` when that does not match.
size_t others(std::string_view text, size_t at, uint32_t word, std::string_view tail) {
  const size_t start = at + (text[at] == ' ' ? 1 : 0);
  const size_t end = run_of_others(text, start, kSpace | word | kNumber);
  return end > start ? run_of_bytes(text, end, tail) : at;
}

template <int kDigits, uint32_t kWordBits>
size_t llama3(std::string_view text, size_t at) {
  if (const size_t end = contraction(text, at, true); end > at) return end;
  const TextChar c = char_at(text, at);
  if (c.is(kWordBits)) return run_end(text, at, kWordBits);
  if (!c.is(kNumber) && !is_line_end(c.code))
    if (const size_t end = run_end(text, at + c.bytes, kWordBits); end > at + c.bytes) return end;
  if (c.is(kNumber)) return run_up_to(text, at, kNumber, kDigits);
  if (const size_t end = others(text, at, kWordBits, "\r\n"); end > at) return end;
  return lines(text, at);
}

constexpr uint32_t kUppers = kUpper | kTitle | kModifier | kOtherLetter | kMark;
constexpr uint32_t kLowers = kLower | kModifier | kOtherLetter | kMark;

// UPPERS*LOWERS+ from `at`: all uppers, then lowers; without any of those, back to the last of the
// uppers that is a lower too.
size_t uppers_then_lowers(std::string_view text, size_t at) {
  const size_t middle = run_end(text, at, kUppers);
  if (const size_t end = run_end(text, middle, kLowers); end > middle) return end;
  for (size_t end = middle; end > at;) {
    const TextChar last = char_before(text, end);
    if (last.is(kLowers)) return end;
    end -= last.bytes;
  }
  return at;
}

size_t cased_word(std::string_view text, size_t at) {
  const TextChar c = char_at(text, at);
  const bool prefix = !c.is(kLetter | kNumber) && !is_line_end(c.code);
  const size_t after = at + c.bytes;
  if (prefix)
    if (const size_t end = uppers_then_lowers(text, after); end > after) return end;
  if (const size_t end = uppers_then_lowers(text, at); end > at) return end;
  if (prefix)
    if (const size_t end = run_end(text, after, kUppers); end > after)
      return run_end(text, end, kLowers);
  if (const size_t end = run_end(text, at, kUppers); end > at) return run_end(text, end, kLowers);
  return at;
}

template <int kDigits, bool kContractions>
size_t tekken(std::string_view text, size_t at) {
  if (const size_t end = cased_word(text, at); end > at)
    return kContractions ? contraction(text, end, true) : end;
  if (char_at(text, at).is(kNumber)) return run_up_to(text, at, kNumber, kDigits);
  if (const size_t end = others(text, at, kLetter, "\r\n/"); end > at) return end;
  return lines(text, at);
}

size_t deepseek_words(std::string_view text, size_t at) {
  const TextChar c = char_at(text, at);
  if (c.code < 128 && c.is(kPunctuation | kSymbol)) {
    size_t end = at + 1;
    while (lower(byte_at(text, end)) >= 'a' && lower(byte_at(text, end)) <= 'z') ++end;
    if (end > at + 1) return end;
  }
  constexpr uint32_t kWords = kLetter | kMark;
  if (!c.is(kLetter | kPunctuation | kSymbol) && !is_line_end(c.code))
    if (const size_t end = run_end(text, at + c.bytes, kWords); end > at + c.bytes) return end;
  if (c.is(kWords)) return run_end(text, at, kWords);
  const size_t start = at + (c.code == ' ' ? 1 : 0);
  if (const size_t end = run_end(text, start, kPunctuation | kSymbol); end > start)
    return run_of_bytes(text, end, "\r\n");
  return lines(text, at);
}

size_t deepseek_cjk(std::string_view text, size_t at) {
  const auto inside = [](char32_t c) {
    return (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF);
  };
  for (TextChar c = char_at(text, at); inside(c.code); c = char_at(text, at)) at += c.bytes;
  return at;
}

template <int kCount>
size_t numbers(std::string_view text, size_t at) {
  return kCount == 0 ? run_end(text, at, kNumber) : run_up_to(text, at, kNumber, kCount);
}

size_t ascii_digits_3(std::string_view text, size_t at) {
  for (size_t i = at; i < at + 3; ++i)
    if (byte_at(text, i) < '0' || byte_at(text, i) > '9') return at;
  return at + 3;
}

size_t punctuation(std::string_view text, size_t at) {
  constexpr std::string_view kMore = "$+<=>^~|";
  for (TextChar c = char_at(text, at);
       c.is(kPunctuation) || (c.bytes == 1 && kMore.find(text[at]) != std::string_view::npos);
       c = char_at(text, at))
    at += c.bytes;
  return at;
}

}  // namespace

MatchEnd known_pattern(std::string_view regex) {
  struct Known {
    std::string_view regex;
    MatchEnd match;
  };
  const Known table[] = {
      {kPatternGpt2, gpt2},
      {kPatternLlama3, llama3<3, kLetter>},
      {kPatternQwen2, llama3<1, kLetter>},
      {kPatternQwen35, llama3<1, kLetter | kMark>},
      {kPatternTekken, tekken<1, false>},
      {kPatternGpt4o, tekken<3, true>},
      {kPatternNumber, numbers<1>},
      {kPatternNumbers, numbers<0>},
      {kPatternNumbersOf3, numbers<3>},
      {kPatternAsciiDigits3, ascii_digits_3},
      {kPatternPunctuation, punctuation},
      {kPatternDeepseekCjk, deepseek_cjk},
      {kPatternDeepseekWords, deepseek_words},
  };
  for (const Known& known : table)
    if (known.regex == regex) return known.match;
  return nullptr;
}

}  // namespace localai::text
