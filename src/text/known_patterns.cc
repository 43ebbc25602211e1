// Matchers for the pre-tokenizer regexes that models really use. Each function tries the regex's
// alternatives in their order at one position, as a backtracking engine would.
#include <algorithm>

#include "text/pattern.h"
#include "text/unicode.h"

namespace localai::text {

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

// Where the pattern family of Llama 3 differs.
struct Llama3Style {
  int digits = 3;
  uint32_t word = kLetter;
  bool contractions = true;
  bool line_ends_after_others = true;
  bool spaces_by_halves = false;
};

// \s{512}(?!\S)|\s{256}(?!\S)| ... |\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}
size_t spaces_by_halves(std::string_view text, size_t at) {
  for (int count = 512; count >= 1; count /= 2) {
    size_t end = at;
    int left = count;
    for (TextChar c = char_at(text, at); left > 0 && c.is(kSpace); c = char_at(text, end)) {
      end += c.bytes;
      --left;
    }
    if (left == 0 && (end == text.size() || char_at(text, end).is(kSpace))) return end;
  }
  const TextChar c = char_at(text, at);
  return c.is(kSpace) ? at + c.bytes : at;
}

size_t llama3_styled(std::string_view text, size_t at, const Llama3Style& style) {
  if (style.contractions)
    if (const size_t end = contraction(text, at, true); end > at) return end;
  const TextChar c = char_at(text, at);
  if (c.is(style.word)) return run_end(text, at, style.word);
  if (!c.is(kNumber) && !is_line_end(c.code))
    if (const size_t end = run_end(text, at + c.bytes, style.word); end > at + c.bytes) return end;
  if (c.is(kNumber)) return run_up_to(text, at, kNumber, style.digits);
  const std::string_view tail = style.line_ends_after_others ? "\r\n" : "";
  if (const size_t end = others(text, at, style.word, tail); end > at) return end;
  if (!style.spaces_by_halves) return lines(text, at);
  const size_t end = lines(text, at);
  return end > at && is_line_end(static_cast<unsigned char>(text[end - 1]))
             ? end
             : spaces_by_halves(text, at);
}

template <int kDigits, uint32_t kWordBits>
size_t llama3(std::string_view text, size_t at) {
  return llama3_styled(text, at, {.digits = kDigits, .word = kWordBits});
}

size_t seed_coder(std::string_view text, size_t at) {
  return llama3_styled(text, at, {.digits = 1, .line_ends_after_others = false});
}

size_t ufakzeka(std::string_view text, size_t at) {
  return llama3_styled(text, at, {.digits = 1, .contractions = false});
}

size_t jais2(std::string_view text, size_t at) {
  return llama3_styled(text, at, {.spaces_by_halves = true});
}

// (?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+ : letters with their marks, single spaces between them.
size_t spaced_words(std::string_view text, size_t at) {
  size_t end = at;
  while (true) {
    const size_t letter = end + (end > at && byte_at(text, end) == ' ' ? 1 : 0);
    const TextChar c = char_at(text, letter);
    if (!c.is(kLetter)) return end;
    end = run_end(text, letter + c.bytes, kMark);
  }
}

size_t exaone_moe(std::string_view text, size_t at) {
  if (const size_t end = contraction(text, at, true); end > at) return end;
  const TextChar c = char_at(text, at);
  if (!c.is(kLetter | kNumber) && !is_line_end(c.code))
    if (const size_t end = spaced_words(text, at + c.bytes); end > at + c.bytes) return end;
  if (const size_t end = spaced_words(text, at); end > at) return end;
  if (c.is(kNumber)) return at + c.bytes;
  if (const size_t end = others(text, at, kLetter, ""); end > at)
    return run_of_bytes(text.substr(0, end + 1), end, "\r\n/");
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

template <bool kBacktick>
size_t punctuation(std::string_view text, size_t at) {
  constexpr std::string_view kMore = kBacktick ? "$+<=>^~|`" : "$+<=>^~|";
  for (TextChar c = char_at(text, at);
       c.is(kPunctuation) || (c.bytes == 1 && kMore.find(text[at]) != std::string_view::npos);
       c = char_at(text, at))
    at += c.bytes;
  return at;
}

//  ?[^(\s|.,!?...)]+ : a class, whatever its author meant the brackets to be.
size_t poro(std::string_view text, size_t at) {
  constexpr std::u32string_view kStops = U"(|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)";
  const size_t start = at + (text[at] == ' ' ? 1 : 0);
  size_t end = start;
  for (TextChar c = char_at(text, end);
       c.bytes > 0 && !c.is(kSpace) && kStops.find(c.code) == std::u32string_view::npos;
       c = char_at(text, end))
    end += c.bytes;
  return end > start ? end : at;
}

size_t line_end(std::string_view text, size_t at) {
  return at + (is_line_end(static_cast<unsigned char>(text[at])) ? 1 : 0);
}

size_t line(std::string_view text, size_t at) {
  const bool ends = text[at] == '\n';
  while (at < text.size() && (text[at] == '\n') == ends) ++at;
  return at;
}

// \s? and one or more of the class.
template <uint32_t kBits>
size_t spaced(std::string_view text, size_t at) {
  const TextChar c = char_at(text, at);
  const size_t start = at + (c.is(kSpace) ? c.bytes : 0);
  const size_t end = run_end(text, start, kBits);
  return end > start ? end : at;
}

// Skips up to `count` decimal digits.
size_t decimals(std::string_view text, size_t at, size_t count) {
  for (TextChar c = char_at(text, at); count > 0 && c.is(kDecimal); c = char_at(text, at)) {
    at += c.bytes;
    --count;
  }
  return at;
}

// (?=(\d{3})+(?!\d)) finds empty places: those with a multiple of three digits after them. The
// pieces between two such places stand here as the matches. A run of digits is counted where it
// begins; inside it the next place is three digits on.
size_t digit_triples(std::string_view text, size_t at) {
  for (size_t i = at; i < text.size();) {
    if (!char_at(text, i).is(kDecimal)) {
      i += char_at(text, i).bytes;
      continue;
    }
    size_t next = i;
    if (!char_before(text, i).is(kDecimal)) {
      size_t count = 0, end = i;
      for (; char_at(text, end).is(kDecimal); ++count) end += char_at(text, end).bytes;
      next = decimals(text, i, count % 3);
    }
    if (next == at) next = decimals(text, next, 3);
    if (next > at && char_at(text, next).is(kDecimal)) return next;
    i = next;
  }
  return text.size();
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
      {kPatternPunctuation, punctuation<false>},
      {kPatternFalconPunctuation, punctuation<true>},
      {kPatternDeepseekCjk, deepseek_cjk},
      {kPatternDeepseekWords, deepseek_words},
      {kPatternSeedCoder, seed_coder},
      {kPatternUfakzeka, ufakzeka},
      {kPatternJais2, jais2},
      {kPatternExaoneMoe, exaone_moe},
      {kPatternYoutu, tekken<1, true>},
      {kPatternPoro, poro},
      {kPatternLineEnd, line_end},
      {kPatternLines, line},
      {kPatternSpacedLetters, spaced<kLetter>},
      {kPatternSpacedPunctuation, spaced<kPunctuation>},
      {kPatternDigitTriples, digit_triples},
  };
  for (const Known& known : table)
    if (known.regex == regex) return known.match;
  return nullptr;
}

}  // namespace localai::text
