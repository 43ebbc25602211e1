#pragma once
// Token text -> id: an open-addressing hash over views into the vocabulary.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/vocabulary.h"

namespace localai::text {

class TokenIndex {
 public:
  // Views `tokens`, which must outlive the index and not move. Empty texts are not entered.
  // Errors: kCorrupt (two tokens with one text, named with both ids).
  static Result<TokenIndex> build(const std::vector<std::string>& tokens);
  [[nodiscard]] std::optional<TokenId> find(std::string_view text) const;
  // Of the longest token; longer texts need not be asked for.
  [[nodiscard]] size_t bytes_max() const { return bytes_max_; }

 private:
  struct Slot {
    uint32_t hash = 0;
    TokenId id = -1;
  };
  const std::vector<std::string>* tokens_ = nullptr;
  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t bytes_max_ = 0;
};

}  // namespace localai::text
