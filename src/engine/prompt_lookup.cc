#include "engine/prompt_lookup.h"

#include <algorithm>

namespace localai::engine {
namespace {

// How many tokens before `a` and before `b` are equal, at most kLookupLongest. a < b.
uint32_t matched_before(std::span<const text::TokenId> tokens, size_t a, size_t b) {
  uint32_t count = 0;
  while (count < kLookupLongest && count < a && tokens[a - 1 - count] == tokens[b - 1 - count])
    ++count;
  return count;
}

}  // namespace

uint32_t look_up(std::span<const text::TokenId> tokens, uint32_t most,
                 std::vector<text::TokenId>& draft) {
  uint32_t best = kLookupShortest - 1;
  size_t follows = 0;
  for (size_t at = tokens.size(); at-- > 1 && best < kLookupLongest;) {
    if (tokens[at - 1] != tokens.back()) continue;
    const uint32_t matched = matched_before(tokens, at, tokens.size());
    if (matched <= best) continue;
    best = matched;
    follows = at;
  }
  if (follows == 0) return 0;
  const size_t period = tokens.size() - follows;
  for (size_t i = 0; i < most; ++i) draft.push_back(tokens[follows + i % period]);
  return best;
}

}  // namespace localai::engine
