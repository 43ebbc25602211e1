#pragma once
// Ids back to text.
#include <span>
#include <string>

#include "text/vocabulary.h"

namespace localai::text {

// What one id contributes in the middle of a text. Control and unknown tokens add nothing unless
// `with_special`; ids outside the vocabulary never do.
std::string token_text(const VocabularySpec& spec, TokenId id, bool with_special);
// The text of all ids: without the space at its start that the tokenizer put there itself.
std::string decoded_text(const VocabularySpec& spec, std::span<const TokenId> ids,
                         bool with_special);

}  // namespace localai::text
