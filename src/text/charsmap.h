#pragma once
// The compiled normalization rules of SentencePiece (precompiled_charsmap): a double-array trie
// (Aoe 1989, in the layout of the Darts-clone library) over the beginnings that are replaced, then
// the replacements. Source: sentencepiece, normalizer.cc.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace localai::text {

// Immutable, thread-safe.
class Charsmap {
 public:
  // u32 bytes of the trie, the trie as u32 units, replacements that end with NUL; all little
  // endian. Errors: kCorrupt.
  static Result<Charsmap> parse(std::string_view blob);

  // At each place the longest beginning that has a rule is replaced, as SentencePiece does it.
  [[nodiscard]] std::string replace_longest(std::string_view text) const;
  // What the tokenizers library makes of the same rules: a grapheme cluster of under 6 bytes, else
  // each of its characters, is replaced as a whole when any beginning of it has a rule: by the rule
  // of the shortest one.
  [[nodiscard]] std::string replace_clusters(std::string_view text) const;

 private:
  struct Rule {
    std::string_view to;
    size_t bytes;  // of the beginning that it replaces
  };
  // Calls found(rule) for the beginnings of `text` that have one, the shortest first, until it
  // returns false.
  template <class Found>
  void rules(std::string_view text, const Found& found) const;
  [[nodiscard]] std::optional<std::string_view> shortest(std::string_view text) const;
  [[nodiscard]] std::string_view replacement(size_t at) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace localai::text
