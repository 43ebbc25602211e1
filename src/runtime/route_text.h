#pragma once
// A prompt as the router reads it: case folded, cut into words.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace localai::runtime {

// Of a longer prompt the router reads this much of its beginning and of its end.
inline constexpr size_t kRouteHeadBytes = 12u << 10;
inline constexpr size_t kRouteTailBytes = 4u << 10;

struct Word {
  std::string_view text;
  bool starred = false;  // a '*' follows directly: in a keyword, any ending
};

// Runs of letters, marks and digits; '_' and every other sign separates. Han, kana and Thai
// characters, which are written without spaces, are words of their own. `folded` is valid UTF-8
// and outlives the result.
std::vector<Word> split_words(std::string_view folded);

struct RouteText {
  std::string text;    // valid UTF-8, shortened to what is read
  std::string folded;  // casefold(text)
  std::vector<Word> words;
  size_t characters = 0;  // of the whole prompt
  std::string language;   // ISO 639-1, "" when undecided
};

// `prompt` may hold any bytes and be of any length.
RouteText read_route_text(std::string_view prompt);

}  // namespace localai::runtime
