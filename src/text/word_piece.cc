#include "text/word_piece.h"

#include <algorithm>
#include <string>
#include <utility>

namespace localai::text {
namespace {

size_t characters_in(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace

Result<WordPieceModel> WordPieceModel::create(const VocabularySpec& spec) {
  WordPieceModel out;
  if (!spec.unknown) return corrupt("a WordPiece vocabulary has no unknown token");
  out.unknown_ = *spec.unknown;
  out.characters_max_ = spec.word_characters_max;
  const std::vector<bool> usable = tokens_of_words(spec);
  std::vector<TokenTrie::Entry> starts, continuations;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string_view text = spec.tokens[id];
    if (!usable[id]) continue;
    const auto value = static_cast<int32_t>(id);
    if (text.starts_with(spec.word_start))
      starts.push_back({text.substr(spec.word_start.size()), value});
    if (text.starts_with(spec.word_continuation))
      continuations.push_back({text.substr(spec.word_continuation.size()), value});
  }
  LAI_TRY(out.starts_, TokenTrie::build(std::move(starts)));
  LAI_TRY(out.continuations_, TokenTrie::build(std::move(continuations)));
  return out;
}

void WordPieceModel::encode(std::string_view word, ModelScratch& /*scratch*/,
                            std::vector<TokenId>& out) const {
  const size_t before = out.size();
  const bool too_long = characters_max_ > 0 && characters_in(word) > characters_max_;
  for (size_t at = 0; at < word.size();) {
    TokenId best = -1;
    size_t bytes = 0;
    const auto longer = [&](int32_t id, size_t end) {
      best = id;
      bytes = end;
    };
    if (!too_long) (at == 0 ? starts_ : continuations_).prefixes(word.substr(at), longer);
    if (best < 0) {
      out.resize(before);
      out.push_back(unknown_);
      return;
    }
    out.push_back(best);
    at += bytes;
  }
}

}  // namespace localai::text
