#include "text/tokenizer.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/byte_alphabet.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"

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

std::string spaces_from_metaspace(std::string_view text) {
  constexpr std::string_view kMetaspace = "\u2581";
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (text.substr(at).starts_with(kMetaspace)) {
      out.push_back(' ');
      at += kMetaspace.size();
    } else {
      out.push_back(text[at++]);
    }
  }
  return out;
}

// The byte of "<0xAB>", or nothing.
std::optional<char> byte_of(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const size_t digit = std::string_view("0123456789ABCDEF").find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    value = value * 16 + static_cast<int>(digit);
  }
  return static_cast<char>(value);
}

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(VocabularySpec spec)
      : Tokenizer(std::move(spec)), raw_({}, false), normalized_({}, false) {}

  Status build() {
    LAI_TRY_STATUS(check_ids(spec_));
    LAI_TRY(index_, TokenIndex::build(spec_.tokens));
    LAI_TRY(model_, BpeModel::create(spec_, index_));
    LAI_TRY(pre_tokenizer_, PreTokenizer::create(spec_.pre_tokenizer));
    std::vector<AddedToken> raw, normalized;
    for (AddedToken token : spec_.added) {
      if (token.normalized) token.text = normalize(token.text, spec_.normalizer);
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
    std::string out;
    for (const TokenId id : ids) out += piece(id, with_special);
    if (spec_.strip_decoded_space && out.starts_with(' ')) out.erase(0, 1);
    return out;
  }

  std::string piece(TokenId id, bool with_special) const override {
    if (id < 0 || static_cast<size_t>(id) >= spec_.tokens.size()) return {};
    const std::string& text = spec_.tokens[static_cast<size_t>(id)];
    const TokenType type =
        spec_.types.empty() ? TokenType::kNormal : spec_.types[static_cast<size_t>(id)];
    if (type == TokenType::kControl || type == TokenType::kUnknown)
      return with_special ? text : std::string();
    if (spec_.kind == TokenizerKind::kByteLevelBpe) {
      if (type == TokenType::kUserDefined) return text;
      return alphabet_bytes(text).value_or(text);
    }
    if (type == TokenType::kByte || (spec_.types.empty() && spec_.byte_fallback))
      if (const auto byte = byte_of(text)) return std::string(1, *byte);
    return spaces_from_metaspace(text);
  }

 private:
  struct Encoding {
    bool parse_special;
    bool at_start;       // nothing of the text has been passed yet
    bool after_special;  // for add_space_prefix: at the start, or an added token came last
    BpeScratch scratch;
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
    std::string prefixed;
    if (spec_.add_space_prefix && state.after_special) raw = prefixed = " " + std::string(raw);
    const std::string text = normalize(raw, spec_.normalizer);
    for (const Fragment& fragment : normalized_.split(text, state.parse_special)) {
      if (fragment.id >= 0) {
        add_token(fragment.id, state);
        continue;
      }
      const Span span = fragment.span;
      const Words words = pre_tokenizer_.split(
          std::string_view(text).substr(span.begin, span.end - span.begin), state.at_start);
      for (const std::string_view word : words.words)
        model_.encode(word, state.scratch, *state.out);
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
  BpeModel model_;
  PreTokenizer pre_tokenizer_;
  AddedTokens raw_, normalized_;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::create(VocabularySpec spec) {
  auto made = std::make_unique<BpeTokenizer>(std::move(spec));
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
