#include "text/merge_table.h"

#include <bit>

namespace localai::text {
namespace {

uint64_t key_of(TokenId left, TokenId right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

}  // namespace

size_t MergeTable::slot_of(uint64_t key) const {
  const size_t mask = slots_.size() - 1;
  // Fibonacci hashing (Knuth, TAOCP 6.4): the high bits of a product with 2^64 / phi.
  size_t at = (key * 0x9E3779B97F4A7C15u) >> 32 & mask;
  while (slots_[at].key != key && slots_[at].key != kFree) at = (at + 1) & mask;
  return at;
}

Result<MergeTable> MergeTable::build(const std::vector<std::pair<std::string, std::string>>& merges,
                                     const TokenIndex& index) {
  MergeTable out;
  out.slots_.resize(std::bit_ceil(merges.size() * 2 + 2));
  std::string merged;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    merged.assign(left).append(right);
    const auto l = index.find(left), r = index.find(right), m = index.find(merged);
    if (!l || !r || !m)
      return corrupt("merge " + std::to_string(rank) + ", '" + left + "' and '" + right + "': '" +
                     (!l   ? left
                      : !r ? right
                           : merged) +
                     "' is not a token");
    const uint64_t key = key_of(*l, *r);
    out.slots_[out.slot_of(key)] = {key, {static_cast<uint32_t>(rank), *m}};
  }
  return out;
}

Merge MergeTable::find(TokenId left, TokenId right) const {
  if (left < 0 || right < 0) return {};
  return slots_[slot_of(key_of(left, right))].merge;
}

}  // namespace localai::text
