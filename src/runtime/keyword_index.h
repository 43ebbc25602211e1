#pragma once
// Finds many keywords in a text in one pass, on word boundaries.
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/route_text.h"

namespace localai::runtime {

// A keyword is one or more words, compared case-folded; what separates them in the text does not
// matter ("double entry" finds "double-entry"). "reconcil*" finds every word that begins so.
// Built once, then immutable and thread-safe.
class KeywordIndex {
 public:
  // The number of `keyword`, the same for keywords that fold to the same words.
  // -1: there is no letter or digit in it, or a '*' inside a word.
  int add(std::string_view keyword);
  // Which keywords occur, by number.
  [[nodiscard]] std::vector<bool> find(const std::vector<Word>& words) const;
  // How many words the keyword has.
  [[nodiscard]] size_t words_of(int keyword) const {
    return keywords_[static_cast<size_t>(keyword)].size();
  }

 private:
  struct Part {
    std::string text;
    bool prefix = false;
  };
  using Keyword = std::vector<Part>;
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using ByFirstWord = std::unordered_map<std::string, std::vector<uint32_t>, Hash, std::equal_to<>>;

  void mark(const std::vector<uint32_t>& starting, const std::vector<Word>& words, size_t at,
            std::vector<bool>& found) const;

  std::vector<Keyword> keywords_;
  std::unordered_map<std::string, int> numbers_;  // by canonical spelling
  ByFirstWord exact_, prefix_;                    // keywords by their first word
  std::vector<size_t> prefix_lengths_;            // that occur in prefix_, ascending
};

}  // namespace localai::runtime
