#pragma once
// WordPiece (Devlin et al., arXiv:1810.04805): the longest token that begins the word, then the
// longest that goes on from there. A word that does not come out even is unknown as a whole.
#include "base/result.h"
#include "text/token_trie.h"
#include "text/word_model.h"

namespace localai::text {

class WordPieceModel : public WordModel {
 public:
  // Errors: kCorrupt (no unknown token), kUnsupported (the vocabulary's texts are too long).
  static Result<WordPieceModel> create(const VocabularySpec& spec);
  // Length of the word times length of the longest token.
  void encode(std::string_view word, ModelScratch& scratch,
              std::vector<TokenId>& out) const override;

 private:
  TokenTrie starts_, continuations_;
  size_t characters_max_ = 0;
  TokenId unknown_ = -1;
};

}  // namespace localai::text
