#include "text/word_model.h"

namespace localai::text {

std::vector<bool> tokens_of_words(const VocabularySpec& spec) {
  std::vector<bool> out(spec.tokens.size(), true);
  for (size_t id = 0; id < spec.types.size(); ++id)
    out[id] = spec.types[id] == TokenType::kNormal ||
              (spec.types[id] == TokenType::kByte && spec.bytes_in_text);
  for (const AddedToken& token : spec.added)
    if (token.in_model && !token.special) out[static_cast<size_t>(token.id)] = true;
  return out;
}

}  // namespace localai::text
