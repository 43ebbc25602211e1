#pragma once
// Unigram (Kudo, arXiv:1804.10959): of all ways to cut a word into tokens the one with the highest
// sum of scores, found by the Viterbi algorithm. Characters that no token covers are unknown.
#include <array>

#include "base/result.h"
#include "text/token_index.h"
#include "text/token_trie.h"
#include "text/word_model.h"

namespace localai::text {

class UnigramModel : public WordModel {
 public:
  // Errors: kCorrupt (scores, no unknown token), kUnsupported (the vocabulary's texts are too
  // long).
  static Result<UnigramModel> create(const VocabularySpec& spec, const TokenIndex& index);
  // Length of the word times length of the longest token.
  void encode(std::string_view word, ModelScratch& scratch,
              std::vector<TokenId>& out) const override;

 private:
  void find_best(std::string_view word, std::vector<ModelScratch::Best>& best) const;
  void emit_unknown(std::string_view text, std::vector<TokenId>& out) const;

  TokenTrie trie_;
  std::vector<double> scores_;  // by id
  std::array<TokenId, 256> byte_ids_{};
  TokenId unknown_ = -1;
  double unknown_score_ = 0;
  bool byte_fallback_ = false, float_sums_ = false;
};

}  // namespace localai::text
