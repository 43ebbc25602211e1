#pragma once
// Drafts without a model: what followed the last tokens where they stood before, in the prompt or
// in the answer ("prompt lookup", Saxena 2023). Pays where answers repeat their context: code
// edits, quotes, tables, loops.
#include <cstdint>
#include <span>
#include <vector>

#include "text/vocabulary.h"

namespace localai::engine {

inline constexpr uint32_t kLookupShortest = 2;  // tokens that have to match at least
inline constexpr uint32_t kLookupLongest = 16;  // more of them count as equally good

// Finds the longest earlier occurrence of the last tokens (of equally long ones the latest),
// appends up to `most` of the tokens after it to `draft`, and returns how many tokens matched, 0
// for none. Where what follows runs into the end, it is taken to repeat. Looks at every position
// once.
uint32_t look_up(std::span<const text::TokenId> tokens, uint32_t most,
                 std::vector<text::TokenId>& draft);

}  // namespace localai::engine
