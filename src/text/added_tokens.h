#pragma once
// Finds added (special and user-defined) tokens in text.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/pattern.h"
#include "text/token_trie.h"
#include "text/vocabulary.h"

namespace localai::text {

// A piece of a text: an added token, or what stands between two of them (id -1).
struct Fragment {
  TokenId id = -1;
  Span span;
};

// Immutable, thread-safe. Time: length of the text times length of the longest added token, and a
// logarithm more for `longest_first`.
class AddedTokens {
 public:
  // `longest_first`: see VocabularySpec::longest_added_first. Empty texts are never found.
  // Errors: kUnsupported (texts too long together).
  static Result<AddedTokens> build(std::vector<AddedToken> tokens, bool longest_first);
  // Without `special`, tokens that are special stay text. No fragment of text is empty.
  [[nodiscard]] std::vector<Fragment> split(std::string_view text, bool special) const;
  [[nodiscard]] bool empty() const { return tokens_.empty(); }

 private:
  struct Found {
    size_t at = 0, bytes = 0;
    int32_t token = -1;
  };
  // The longest token that starts at `at`, ends by `end`, and is not special unless `special`.
  [[nodiscard]] Found longest_at(std::string_view text, size_t at, size_t end, bool special) const;
  [[nodiscard]] std::vector<Found> leftmost(std::string_view text, bool special) const;
  [[nodiscard]] std::vector<Found> longest(std::string_view text, bool special) const;
  // Whether a single_word token may stand there.
  [[nodiscard]] bool stands_alone(std::string_view text, const Found& found) const;

  std::vector<AddedToken> tokens_;
  bool longest_first_ = false;
  TokenTrie trie_;  // of indexes into tokens_
};

}  // namespace localai::text
