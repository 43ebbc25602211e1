#include "text/tokenizer.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/token_text.h"
#include "text/unigram.h"
#include "text/word_piece.h"

namespace localai::text {
namespace {

// A longer text is encoded in pieces of this size: positions have 32 bits.
constexpr size_t kPieceBytes = size_t{1} << 28;

Status check_ids(const VocabularySpec& spec) {
  const auto check = [&](std::optional<TokenId> id, const std::string& what) -> Status {
    if (id && (*id < 0 || static_cast<size_t>(*id) >= spec.tokens.size()))
      return corrupt(what + " is token " + std::to_string(*id) + ", the vocabulary has " +
                     std::to_string(spec.tokens.size()));
    return Ok{};
  };
  LAI_TRY_STATUS(check(spec.bos, "bos"));
  LAI_TRY_STATUS(check(spec.eos, "eos"));
  LAI_TRY_STATUS(check(spec.unknown, "unknown"));
  LAI_TRY_STATUS(check(spec.pad, "pad"));
  for (const TokenId id : spec.end_of_generation) LAI_TRY_STATUS(check(id, "an end of generation"));
  for (const AddedToken& token : spec.added)
    LAI_TRY_STATUS(check(token.id, "added token '" + token.text + "'"));
  if (!spec.types.empty() && spec.types.size() != spec.tokens.size())
    return corrupt("the vocabulary has " + std::to_string(spec.tokens.size()) + " tokens and " +
                   std::to_string(spec.types.size()) + " types");
  if (spec.tokens.size() > INT32_MAX / 4)
    return corrupt("a vocabulary of " + std::to_string(spec.tokens.size()) + " tokens");
  return Ok{};
}

Result<std::unique_ptr<WordModel>> make_model(const VocabularySpec& spec, const TokenIndex& index) {
  const auto owned = [](auto model) {
    return std::unique_ptr<WordModel>(std::make_unique<decltype(model)>(std::move(model)));
  };
  if (spec.kind == TokenizerKind::kWordPiece) {
    LAI_TRY(WordPieceModel model, WordPieceModel::create(spec));
    return owned(std::move(model));
  }
  if (spec.kind == TokenizerKind::kUnigram) {
    LAI_TRY(UnigramModel model, UnigramModel::create(spec, index));
    return owned(std::move(model));
  }
  LAI_TRY(BpeModel model, BpeModel::create(spec, index));
  return owned(std::move(model));
}

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(VocabularySpec spec)
      : Tokenizer(std::move(spec)), raw_({}, false), normalized_({}, false) {}

  Status build() {
    LAI_TRY_STATUS(check_ids(spec_));
    LAI_TRY(index_, TokenIndex::build(spec_.tokens));
    LAI_TRY(model_, make_model(spec_, index_));
    LAI_TRY(normalizer_, Normalizer::create(spec_.normalizer));
    LAI_TRY(pre_tokenizer_, PreTokenizer::create(spec_.pre_tokenizer));
    std::vector<AddedToken> raw, normalized;
    for (AddedToken token : spec_.added) {
      if (token.normalized) token.text = normalizer_.run(token.text);
      (token.normalized ? normalized : raw).push_back(std::move(token));
    }
    raw_ = AddedTokens(std::move(raw), spec_.longest_added_first);
    normalized_ = AddedTokens(std::move(normalized), spec_.longest_added_first);
    spec_.merges = {};  // the model has them; they are most of the memory
    return Ok{};
  }

  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<TokenId> out;
    if (options.add_special && spec_.add_bos && spec_.bos) out.push_back(*spec_.bos);
    Encoding state{options.parse_special, true, true, {}, &out};
    for (size_t at = 0; at < text.size();) {
      size_t bytes = std::min(kPieceBytes, text.size() - at);
      if (at + bytes < text.size()) bytes -= incomplete_utf8_tail(text.substr(at, bytes));
      encode_raw(text.substr(at, bytes), state);
      at += bytes;
    }
    if (options.add_special && spec_.add_eos && spec_.eos) out.push_back(*spec_.eos);
    return out;
  }

  std::string decode(std::span<const TokenId> ids, bool with_special) const override {
    return decoded_text(spec_, ids, with_special);
  }

  std::string piece(TokenId id, bool with_special) const override {
    return token_text(spec_, id, with_special);
  }

 private:
  struct Encoding {
    bool parse_special;
    bool at_start;       // nothing of the text has been passed yet
    bool after_special;  // for add_space_prefix: at the start, or an added token came last
    ModelScratch scratch;
    std::vector<TokenId>* out;
  };

  void encode_raw(std::string_view bytes, Encoding& state) const {
    const std::string clean = is_valid_utf8(bytes) ? std::string() : sanitize_utf8(bytes);
    const std::string_view text = clean.empty() ? bytes : clean;
    for (const Fragment& fragment : raw_.split(text, state.parse_special)) {
      if (fragment.id >= 0) {
        add_token(fragment.id, state);
      } else {
        const Span span = fragment.span;
        encode_segment(text.substr(span.begin, span.end - span.begin), state);
      }
    }
  }

  void encode_segment(std::string_view raw, Encoding& state) const {
    std::string text = normalizer_.run(raw);
    if (spec_.add_space_prefix && state.after_special && !text.empty()) text.insert(0, "\u2581");
    for (const Fragment& fragment : normalized_.split(text, state.parse_special)) {
      if (fragment.id >= 0) {
        add_token(fragment.id, state);
        continue;
      }
      const Span span = fragment.span;
      const Words words = pre_tokenizer_.split(
          std::string_view(text).substr(span.begin, span.end - span.begin), state.at_start);
      for (const std::string_view word : words.words)
        model_->encode(word, state.scratch, *state.out);
      state.at_start = false;
      state.after_special = false;
    }
  }

  static void add_token(TokenId id, Encoding& state) {
    state.out->push_back(id);
    state.at_start = false;
    state.after_special = true;
  }

  TokenIndex index_;
  std::unique_ptr<WordModel> model_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  AddedTokens raw_, normalized_;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::create(VocabularySpec spec) {
  auto made = std::make_unique<PipelineTokenizer>(std::move(spec));
  LAI_TRY_STATUS(made->build());
  return std::unique_ptr<Tokenizer>(std::move(made));
}

bool Tokenizer::ends_generation(TokenId id) const {
  const auto& ends = spec_.end_of_generation;
  return std::find(ends.begin(), ends.end(), id) != ends.end();
}

std::string StreamDecoder::push(TokenId id) {
  pending_ += tokenizer_.piece(id);
  const size_t certain = pending_.size() - incomplete_utf8_tail(pending_);
  std::string out = sanitize_utf8(std::string_view(pending_).substr(0, certain));
  pending_.erase(0, certain);
  return out;
}

std::string StreamDecoder::finish() {
  std::string out = sanitize_utf8(pending_);
  pending_.clear();
  return out;
}

}  // namespace localai::text
