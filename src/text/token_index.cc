#include "text/token_index.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>

namespace localai::text {

Result<TokenIndex> TokenIndex::build(const std::vector<std::string>& tokens) {
  TokenIndex out;
  out.tokens_ = &tokens;
  out.slots_.resize(std::bit_ceil(tokens.size() * 2 + 2));
  const size_t mask = out.slots_.size() - 1;
  // Each insertion waits for memory; a few ahead, they wait together.
  constexpr size_t kAhead = 16;
  std::array<size_t, kAhead> hashes = {};
  const auto look_ahead = [&](size_t id) {
    if (id >= tokens.size()) return;
    hashes[id % kAhead] = std::hash<std::string_view>()(tokens[id]);
    __builtin_prefetch(&out.slots_[hashes[id % kAhead] & mask], 1);
  };
  for (size_t id = 0; id < kAhead; ++id) look_ahead(id);
  for (size_t id = 0; id < tokens.size(); ++id) {
    const std::string& text = tokens[id];
    const size_t hash = hashes[id % kAhead];
    look_ahead(id + kAhead);
    if (text.empty()) continue;
    size_t at = hash & mask;
    for (; out.slots_[at].id >= 0; at = (at + 1) & mask) {
      const auto other = static_cast<size_t>(out.slots_[at].id);
      if (out.slots_[at].hash == static_cast<uint32_t>(hash >> 32) && tokens[other] == text)
        return corrupt("tokens " + std::to_string(other) + " and " + std::to_string(id) +
                       " have the same text '" + text + "'");
    }
    out.slots_[at] = {static_cast<uint32_t>(hash >> 32), static_cast<TokenId>(id)};
    out.bytes_max_ = std::max(out.bytes_max_, text.size());
  }
  return out;
}

std::optional<TokenId> TokenIndex::find(std::string_view text) const {
  if (text.empty() || text.size() > bytes_max_) return std::nullopt;
  const size_t hash = std::hash<std::string_view>()(text);
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask; slots_[at].id >= 0; at = (at + 1) & mask)
    if (slots_[at].hash == static_cast<uint32_t>(hash >> 32) &&
        (*tokens_)[static_cast<size_t>(slots_[at].id)] == text)
      return slots_[at].id;
  return std::nullopt;
}

}  // namespace localai::text
