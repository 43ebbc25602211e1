#include "text/unigram.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/utf8.h"
#include "text/byte_token.h"

namespace localai::text {
namespace {

// What an unknown character costs more than the worst token. Source: SentencePiece, unigram_model.
constexpr double kUnknownPenalty = 10;

}  // namespace

Result<UnigramModel> UnigramModel::create(const VocabularySpec& spec, const TokenIndex& index) {
  UnigramModel out;
  if (!spec.unknown) return corrupt("a Unigram vocabulary has no unknown token");
  if (spec.scores.size() < spec.tokens.size())
    return corrupt("the vocabulary has " + std::to_string(spec.tokens.size()) + " tokens and " +
                   std::to_string(spec.scores.size()) + " scores");
  out.unknown_ = *spec.unknown;
  out.scores_ = spec.scores;
  out.byte_fallback_ = spec.byte_fallback;
  out.float_sums_ = spec.float_sums;
  out.byte_ids_ = byte_token_ids(index);
  const std::vector<bool> usable = tokens_of_words(spec);
  std::vector<TokenTrie::Entry> entries;
  double lowest = INFINITY;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (!std::isfinite(spec.scores[id]))
      return corrupt("token " + std::to_string(id) + " has a score that is not a number");
    const bool normal = spec.types.empty() || spec.types[id] == TokenType::kNormal;
    if (normal) lowest = std::min(lowest, spec.scores[id]);
    if (usable[id]) entries.push_back({spec.tokens[id], static_cast<int32_t>(id)});
  }
  out.unknown_score_ = (std::isfinite(lowest) ? lowest : 0) - kUnknownPenalty;
  LAI_TRY(out.trie_, TokenTrie::build(std::move(entries)));
  return out;
}

// best[i]: how the first i bytes are cut best. Of equal sums the first found stays, which is the
// one whose last token is the longest.
void UnigramModel::find_best(std::string_view word, std::vector<ModelScratch::Best>& best) const {
  best.assign(word.size() + 1, {});
  for (size_t at = 0, character = 0; at < word.size(); at += character) {
    character = decode_utf8(word, at).bytes;
    const double here = best[at].score;
    const auto offer = [&](TokenId id, double score, size_t bytes) {
      double sum = here + score;
      if (float_sums_) sum = static_cast<float>(sum);
      ModelScratch::Best& end = best[at + bytes];
      if (end.begin >= 0 && sum <= end.score) return;
      end = {sum, static_cast<int32_t>(at), id};
    };
    bool covered = false;
    trie_.prefixes(word.substr(at), [&](int32_t id, size_t bytes) {
      offer(id, scores_[static_cast<size_t>(id)], bytes);
      covered = covered || bytes == character;
    });
    if (!covered) offer(unknown_, unknown_score_, character);
  }
}

// Unknown characters side by side are one unknown token, or the bytes of all of them.
void UnigramModel::emit_unknown(std::string_view text, std::vector<TokenId>& out) const {
  const auto id_of = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (byte_fallback_ &&
      std::all_of(text.begin(), text.end(), [&](char c) { return id_of(c) >= 0; })) {
    for (const char c : text) out.push_back(id_of(c));
  } else {
    out.push_back(unknown_);
  }
}

void UnigramModel::encode(std::string_view word, ModelScratch& scratch,
                          std::vector<TokenId>& out) const {
  std::vector<ModelScratch::Best>& best = scratch.best;
  find_best(word, best);
  // Back along the best cuts, turning each to point forward.
  scratch.cuts.clear();
  for (size_t end = word.size(); end > 0; end = static_cast<size_t>(best[end].begin))
    scratch.cuts.push_back(static_cast<int32_t>(end));
  size_t begin = 0, unknown_begin = 0;
  bool unknown = false;
  for (auto cut = scratch.cuts.rbegin(); cut != scratch.cuts.rend(); ++cut) {
    const auto end = static_cast<size_t>(*cut);
    const TokenId id = best[end].id;
    if (unknown && id != unknown_)
      emit_unknown(word.substr(unknown_begin, begin - unknown_begin), out);
    if (!unknown && id == unknown_) unknown_begin = begin;
    unknown = id == unknown_;
    if (!unknown) out.push_back(id);
    begin = end;
  }
  if (unknown) emit_unknown(word.substr(unknown_begin), out);
}

}  // namespace localai::text
