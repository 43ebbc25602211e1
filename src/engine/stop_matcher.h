#pragma once
// Finds stop strings in a text that comes in pieces, and tells which of it is safe to show.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace localai::engine {

// One Knuth-Morris-Pratt automaton per stop string, fed byte by byte. The stop string that is
// complete first wins; of two that end at the same byte the longer. So the outcome does not depend
// on how the text is cut into pieces. One thread.
class StopMatcher {
 public:
  // Stop strings are not empty, and valid UTF-8 (so that what is held back begins a character).
  explicit StopMatcher(std::vector<std::string> stops);

  struct Piece {
    std::string text;            // certain: no part of it can belong to a stop string
    std::optional<size_t> stop;  // index of the stop string that ended the text
  };
  // Adds text. After a match nothing more may be pushed.
  Piece push(std::string_view text);
  // What is still held back: the longest suffix that is a proper prefix of some stop string.
  std::string take_held();

  [[nodiscard]] const std::string& stop(size_t index) const { return automata_[index].text; }

 private:
  struct Automaton {
    std::string text;
    std::vector<uint32_t> fallback;  // [length] longest proper border of text[0..i]
    uint32_t matched = 0;            // bytes of `text` that end at the last byte pushed
    bool feed(char byte);            // true when the whole of `text` is there
  };
  std::vector<Automaton> automata_;
  std::string held_;
};

}  // namespace localai::engine
