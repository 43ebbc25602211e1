#pragma once
// Merges by rank: (left id, right id) -> (rank, merged id), open addressing.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/token_index.h"
#include "text/vocabulary.h"

namespace localai::text {

struct Merge {
  uint32_t rank = 0;
  TokenId id = -1;  // -1: the two do not merge
};

class MergeTable {
 public:
  // Errors: kCorrupt (a merge of, or into, a token that is not there). A repeated merge takes its
  // last rank, as the reference does.
  static Result<MergeTable> build(const std::vector<std::pair<std::string, std::string>>& merges,
                                  const TokenIndex& index);
  [[nodiscard]] Merge find(TokenId left, TokenId right) const;
  // Forgets every merge into this token.
  template <class Predicate>
  void forget_if(const Predicate& unwanted) {
    for (Slot& slot : slots_)
      if (slot.merge.id >= 0 && unwanted(slot.merge.id)) slot.merge.id = -1;
  }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};
  struct Slot {
    uint64_t key = kFree;
    Merge merge;
  };
  [[nodiscard]] size_t slot_of(uint64_t key) const;
  std::vector<Slot> slots_;  // a power of two, at most half full
};

}  // namespace localai::text
