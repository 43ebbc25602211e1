#include "engine/convert/word_piece.h"

#include <algorithm>
#include <string_view>

namespace localai::engine {
namespace {

using text::BertNormalizer;
using text::TokenType;
using text::VocabularySpec;

constexpr std::string_view kStart = "\u2581", kContinuation = "##";
constexpr size_t kWordCharactersMax = 100;  // what every published tokenizer.json says

bool is_word(const VocabularySpec& spec, size_t id) {
  const TokenType type = id < spec.types.size() ? spec.types[id] : TokenType::kNormal;
  return type == TokenType::kNormal && !spec.tokens[id].empty();
}

// `token` without `prefix`, where something is left.
std::optional<std::string_view> rest_after(std::string_view token, std::string_view prefix) {
  if (token.size() <= prefix.size() || !token.starts_with(prefix)) return std::nullopt;
  return token.substr(prefix.size());
}

// What begins with `from` loses it, every other word begins with `to`.
void respell(std::string_view from, std::string_view to, VocabularySpec& spec) {
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (!is_word(spec, id)) continue;
    const auto rest = rest_after(spec.tokens[id], from);
    spec.tokens[id] = rest ? std::string(*rest) : std::string(to) + spec.tokens[id];
  }
}

bool has_bert_pre_tokenizer(const VocabularySpec& spec) {
  VocabularySpec bert;
  text::add_bert_pre_tokenizer(bert);
  return std::equal(spec.pre_tokenizer.begin(), spec.pre_tokenizer.end(),
                    bert.pre_tokenizer.begin(), bert.pre_tokenizer.end(),
                    [](const text::PreTokenizerStep& a, const text::PreTokenizerStep& b) {
                      return a.kind == b.kind && a.classes == b.classes &&
                             a.behavior == b.behavior && a.invert == b.invert;
                    });
}

}  // namespace

std::optional<BertNormalizer> bert_normalizer(const VocabularySpec& spec) {
  for (unsigned i = 0; i < 16; ++i) {
    const BertNormalizer tried{(i & 1u) != 0, (i & 2u) != 0, (i & 4u) != 0, (i & 8u) != 0};
    VocabularySpec bert;
    text::add_bert_normalizer(bert, tried);
    if (std::equal(spec.normalizer.begin(), spec.normalizer.end(), bert.normalizer.begin(),
                   bert.normalizer.end(),
                   [](const auto& a, const auto& b) { return a.kind == b.kind; }))
      return tried;
  }
  return std::nullopt;
}

std::optional<text::TokenId> mask_token(const VocabularySpec& spec) {
  for (const text::AddedToken& token : spec.added)
    if (token.text == "[MASK]") return token.id;
  return std::nullopt;
}

Result<VocabularySpec> spelled_for_gguf(const VocabularySpec& spec) {
  if (spec.word_continuation != kContinuation || !spec.word_start.empty())
    return unsupported("the prefix of WordPiece is '" + spec.word_continuation +
                       "'; GGUF readers know '##' only");
  const auto normalizer = bert_normalizer(spec);
  if (!normalizer || !normalizer->clean_text || !normalizer->ideographs_apart)
    return unsupported("GGUF has no key for the tokenizer's normalizer");
  if (!has_bert_pre_tokenizer(spec))
    return unsupported("the tokenizer's pre-tokenizer is not BERT's");
  if (!spec.add_bos || !spec.add_eos)
    return unsupported("the tokenizer does not put special tokens around a text");
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const auto rest = rest_after(spec.tokens[id], kContinuation);
    if (rest && rest->starts_with(kStart) && is_word(spec, id))
      return unsupported("token '" + spec.tokens[id] + "' would begin a word in GGUF's spelling");
  }
  VocabularySpec out = spec;
  respell(kContinuation, kStart, out);
  return out;
}

VocabularySpec spelled_for_json(const VocabularySpec& spec) {
  VocabularySpec out = spec;
  respell(kStart, kContinuation, out);
  out.word_start.clear();
  out.word_continuation = kContinuation;
  out.word_characters_max = kWordCharactersMax;
  return out;
}

}  // namespace localai::engine
