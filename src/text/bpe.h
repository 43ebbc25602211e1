#pragma once
// Byte-pair encoding of one word: adjacent symbols merge, best first, until none can. The best pair
// is the one of the lowest rank; of equals the leftmost. Ranks come from a list of merges
// (Sennrich et al., arXiv:1508.07909) or from the scores of the tokens (SentencePiece).
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/merge_table.h"
#include "text/token_index.h"
#include "text/vocabulary.h"
#include "text/word_model.h"

namespace localai::text {

class BpeModel : public WordModel {
 public:
  // `index` is of spec.tokens and outlives the model. Errors: kCorrupt (merges, scores).
  static Result<BpeModel> create(const VocabularySpec& spec, const TokenIndex& index);
  // In n log n.
  void encode(std::string_view word, ModelScratch& scratch,
              std::vector<TokenId>& out) const override;

 private:
  [[nodiscard]] TokenId usable(std::string_view text) const;
  [[nodiscard]] Merge merge_of(std::string_view word, const ModelScratch::Symbol& left,
                               const ModelScratch::Symbol& right) const;
  Status rank_scores(const VocabularySpec& spec);
  void start_bytes(std::string_view word, ModelScratch& scratch) const;
  void start_characters(std::string_view word, ModelScratch& scratch) const;
  void start_scored(std::string_view word, ModelScratch& scratch) const;
  void merge_few(std::string_view word, ModelScratch& scratch) const;
  void merge_many(std::string_view word, ModelScratch& scratch) const;
  void push_candidate(std::string_view word, ModelScratch& scratch, int32_t left) const;
  void emit(std::string_view word, const ModelScratch& scratch, std::vector<TokenId>& out) const;

  const TokenIndex* index_ = nullptr;
  MergeTable merges_;
  std::vector<uint32_t> score_rank_;  // by id; empty: merges by rank
  std::vector<bool> unusable_;        // by id
  std::array<TokenId, 256> byte_ids_{};
  TokenId unknown_ = -1;
  bool bytes_ = false;  // symbols are bytes (byte-level) or characters
  bool ignore_merges_ = false, byte_fallback_ = false, fuse_unknown_ = false;
};

}  // namespace localai::text
