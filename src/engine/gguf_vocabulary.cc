#include "engine/gguf_vocabulary.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "engine/gguf_pre_tokenizers.h"
#include "text/bert_steps.h"

namespace localai::engine {
namespace {

using formats::GgufFile;
using text::AddedToken;
using text::NormalizerStep;
using text::TokenId;
using text::TokenizerKind;
using text::TokenType;
using text::VocabularySpec;

Status read_tokens(const GgufFile& file, VocabularySpec& spec) {
  LAI_TRY(const auto tokens, file.array("tokenizer.ggml.tokens"));
  if (!tokens || tokens->type() != formats::GgufType::kString || tokens->size() == 0)
    return corrupt("tokenizer.ggml.tokens is not an array of strings");
  spec.tokens.reserve(tokens->size());
  for (const std::string_view token : tokens->strings()) spec.tokens.emplace_back(token);
  const size_t count = spec.tokens.size();

  LAI_TRY(const auto types, file.array("tokenizer.ggml.token_type"));
  spec.types.assign(count, TokenType::kNormal);
  if (types && types->size() < count)
    return corrupt("tokenizer.ggml.token_type has " + std::to_string(types->size()) +
                   " elements, there are " + std::to_string(count) + " tokens");
  for (size_t id = 0; types && id < count; ++id) {
    const auto type = types->integer(id);
    if (!type || *type < 0 || *type > 6)
      return corrupt("tokenizer.ggml.token_type[" + std::to_string(id) + "] is not within 0..6");
    if (*type > 0) spec.types[id] = static_cast<TokenType>(*type);
  }

  LAI_TRY(const auto scores, file.array("tokenizer.ggml.scores"));
  if (!scores) return Ok{};
  if (scores->size() < count)
    return corrupt("tokenizer.ggml.scores has " + std::to_string(scores->size()) +
                   " elements, there are " + std::to_string(count) + " tokens");
  spec.scores.reserve(count);
  for (size_t id = 0; id < count; ++id) {
    const auto score = scores->number(id);
    if (!score) return corrupt("tokenizer.ggml.scores is not an array of numbers");
    spec.scores.push_back(static_cast<float>(*score));
  }
  return Ok{};
}

// "left right": split at the first space that is not the first byte.
Status read_merges(const GgufFile& file, VocabularySpec& spec) {
  LAI_TRY(const auto merges, file.array("tokenizer.ggml.merges"));
  if (!merges || merges->type() != formats::GgufType::kString)
    return corrupt("tokenizer.ggml.merges is not an array of strings");
  spec.merges.reserve(merges->size());
  for (const std::string_view merge : merges->strings()) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos)
      return corrupt("tokenizer.ggml.merges[" + std::to_string(spec.merges.size()) + "]: '" +
                     std::string(merge) + "' has no space between two tokens");
    spec.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  return Ok{};
}

// An id that is not in the vocabulary is as if it were absent, as llama.cpp has it.
Result<std::optional<TokenId>> read_id(const GgufFile& file, const VocabularySpec& spec,
                                       const std::string& key, std::optional<TokenId> absent) {
  LAI_TRY(const auto id, file.unsigned_integer("tokenizer.ggml." + key));
  if (id && *id < spec.tokens.size()) return std::optional<TokenId>(static_cast<TokenId>(*id));
  if (absent && static_cast<size_t>(*absent) >= spec.tokens.size()) return std::optional<TokenId>();
  return absent;
}

Status read_flag(const GgufFile& file, const std::string& key, bool& flag) {
  LAI_TRY(const auto value, file.boolean("tokenizer.ggml." + key));
  if (value) flag = *value;
  return Ok{};
}

void add_end(VocabularySpec& spec, TokenId id) {
  auto& ends = spec.end_of_generation;
  if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
}

// Ids of a kind of tokenizer where the file does not say.
struct DefaultIds {
  std::optional<TokenId> bos, eos, unknown, pad;
};

DefaultIds default_ids(TokenizerKind kind) {
  switch (kind) {
    case TokenizerKind::kSentencePieceBpe:
      return {1, 2, 0, {}};
    case TokenizerKind::kByteLevelBpe:
      return {11, 11, {}, {}};
    case TokenizerKind::kWordPiece:
      return {101, 102, 100, 0};
    case TokenizerKind::kUnigram:
      return {{}, 1, 2, 0};
  }
  return {};
}

Status read_special_ids(const GgufFile& file, VocabularySpec& spec) {
  const DefaultIds absent = default_ids(spec.kind);
  const bool bert = spec.kind == TokenizerKind::kWordPiece;
  LAI_TRY(spec.bos, read_id(file, spec, bert ? "cls_token_id" : "bos_token_id", absent.bos));
  if (bert) {
    LAI_TRY(spec.bos, read_id(file, spec, "bos_token_id", spec.bos));
  }
  // What stands at the end of BERT's text separates two texts as well; the key is spelled so.
  LAI_TRY(spec.eos, read_id(file, spec, bert ? "seperator_token_id" : "eos_token_id", absent.eos));
  LAI_TRY(spec.unknown, read_id(file, spec, "unknown_token_id", absent.unknown));
  LAI_TRY(spec.pad, read_id(file, spec, "padding_token_id", absent.pad));
  if (spec.eos) add_end(spec, *spec.eos);
  for (const char* key : {"eot_token_id", "eom_token_id", "fim_pad_token_id", "fim_rep_token_id",
                          "fim_sep_token_id"}) {
    LAI_TRY(const auto id, read_id(file, spec, key, {}));
    if (id) add_end(spec, *id);
  }
  for (size_t id = 0; id < spec.tokens.size(); ++id)
    if ((spec.types[id] == TokenType::kControl || spec.types[id] == TokenType::kUserDefined) &&
        text_ends_generation(spec.tokens[id]))
      add_end(spec, static_cast<TokenId>(id));
  if (bert) return Ok{};  // [CLS] and [SEP] always stand around its text
  LAI_TRY_STATUS(read_flag(file, "add_bos_token", spec.add_bos));
  LAI_TRY_STATUS(read_flag(file, "add_eos_token", spec.add_eos));
  LAI_TRY_STATUS(read_flag(file, "add_space_prefix", spec.add_space_prefix));
  return Ok{};
}

// Phi-3's role tokens swallow the whitespace after them; GGUF has no field for that, so llama.cpp
// goes by the model's name.
Result<bool> special_tokens_strip_right(const GgufFile& file) {
  LAI_TRY(auto name, file.string("general.name"));
  std::string lower = name.value_or("");
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower.find("phi-3") != std::string::npos || lower.find("phi3") != std::string::npos;
}

Status add_special_tokens(const GgufFile& file, VocabularySpec& spec) {
  LAI_TRY(const bool strip_right, special_tokens_strip_right(file));
  spec.longest_added_first = true;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenType type = spec.types[id];
    const bool control = type == TokenType::kControl || type == TokenType::kUnknown;
    if (!control && type != TokenType::kUserDefined) continue;
    AddedToken token;
    token.id = static_cast<TokenId>(id);
    token.text = spec.tokens[id];
    token.special = control;
    token.rstrip = strip_right && control && token.text != "<unk>" && token.text != "<s>" &&
                   token.text != "<|endoftext|>";
    spec.added.push_back(std::move(token));
  }
  return Ok{};
}

void use_sentencepiece(VocabularySpec& spec) {
  spec.kind = TokenizerKind::kSentencePieceBpe;
  spec.byte_fallback = true;
  spec.add_bos = true;
  spec.add_space_prefix = true;
  spec.normalizer.push_back({NormalizerStep::Kind::kReplace, " ", "\u2581"});
}

Status use_byte_level(const GgufFile& file, VocabularySpec& spec) {
  spec.kind = TokenizerKind::kByteLevelBpe;
  LAI_TRY(const auto pre, file.string("tokenizer.ggml.pre"));
  LAI_TRY_STATUS(use_gguf_pre_tokenizer(std::string(pre.value_or("")), spec));
  return read_merges(file, spec);
}

// The vocabulary is spelled with U+2581 before what begins a word, and bare where a word goes on.
Status use_word_piece(const GgufFile& file, VocabularySpec& spec) {
  spec.kind = TokenizerKind::kWordPiece;
  spec.word_start = "\u2581";
  spec.clean_spaces = true;
  spec.add_bos = spec.add_eos = true;
  text::BertNormalizer normalizer;
  LAI_TRY_STATUS(read_flag(file, "normalizer.lowercase", normalizer.lowercase));
  normalizer.strip_accents = normalizer.lowercase;
  LAI_TRY_STATUS(read_flag(file, "normalizer.strip_accents", normalizer.strip_accents));
  text::add_bert_normalizer(spec, normalizer);
  text::add_bert_pre_tokenizer(spec);
  return Ok{};
}

Status read_charsmap(const GgufFile& file, VocabularySpec& spec) {
  LAI_TRY(const auto bytes, file.array("tokenizer.ggml.precompiled_charsmap"));
  if (!bytes || bytes->size() == 0) return Ok{};
  std::string rules;
  rules.reserve(bytes->size());
  for (size_t i = 0; i < bytes->size(); ++i) {
    const auto byte = bytes->integer(i);
    if (!byte || *byte < -128 || *byte > 255)
      return corrupt("tokenizer.ggml.precompiled_charsmap is not an array of bytes");
    rules.push_back(static_cast<char>(*byte));
  }
  spec.normalizer.push_back({NormalizerStep::Kind::kCharsmap, std::move(rules)});
  return Ok{};
}

Status use_unigram(const GgufFile& file, VocabularySpec& spec) {
  spec.kind = TokenizerKind::kUnigram;
  spec.add_eos = true;
  spec.add_space_prefix = true;
  bool squeeze = false;
  LAI_TRY_STATUS(read_charsmap(file, spec));
  LAI_TRY_STATUS(read_flag(file, "remove_extra_whitespaces", squeeze));
  if (squeeze) spec.normalizer.push_back({NormalizerStep::Kind::kSqueezeSpaces});
  spec.normalizer.push_back({NormalizerStep::Kind::kReplace, " ", "\u2581"});
  return Ok{};
}

Status use_model(const GgufFile& file, const std::string& model, VocabularySpec& spec) {
  if (model == "gpt2") return use_byte_level(file, spec);
  if (model == "bert") return use_word_piece(file, spec);
  if (model == "t5") return use_unigram(file, spec);
  if (model != "llama")
    return unsupported("tokenizer.ggml.model '" + model +
                       "' is not supported (llama, gpt2, bert and t5 are)");
  use_sentencepiece(spec);
  return Ok{};
}

}  // namespace

bool text_ends_generation(std::string_view token_text) {
  constexpr std::array<std::string_view, 22> kTexts = {"<|eot_id|>",
                                                       "<|im_end|>",
                                                       "<|end|>",
                                                       "<|return|>",
                                                       "<|call|>",
                                                       "<|flush|>",
                                                       "<|calls|>",
                                                       "<end_of_turn>",
                                                       "<|endoftext|>",
                                                       "</s>",
                                                       "<|eom_id|>",
                                                       "<EOT>",
                                                       "_<EOT>",
                                                       "[EOT]",
                                                       "[EOS]",
                                                       "<|end_of_text|>",
                                                       "<end_of_utterance>",
                                                       "<eos>",
                                                       "<turn|>",
                                                       "<|tool_response>",
                                                       "<\uff5cend\u2581of\u2581sentence\uff5c>",
                                                       "[e~["};
  return std::find(kTexts.begin(), kTexts.end(), token_text) != kTexts.end();
}

Result<VocabularySpec> read_gguf_vocabulary(const GgufFile& file) {
  VocabularySpec spec;
  LAI_TRY(const auto model, file.string("tokenizer.ggml.model"));
  if (!model) return not_found(file.name() + ": has no tokenizer (no tokenizer.ggml.model)");
  if (*model == "none" || *model == "no_vocab")
    return not_found(file.name() + ": has no tokenizer (tokenizer.ggml.model is '" + *model + "')");
  LAI_TRY_STATUS(use_model(file, std::string(*model), spec), file.name());
  LAI_TRY_STATUS(read_tokens(file, spec), file.name());
  LAI_TRY_STATUS(read_special_ids(file, spec));
  // A space before the text belongs to the SentencePiece kinds.
  if (spec.kind == TokenizerKind::kByteLevelBpe) spec.add_space_prefix = false;
  spec.strip_decoded_space = spec.add_space_prefix;
  LAI_TRY_STATUS(add_special_tokens(file, spec));
  return spec;
}

}  // namespace localai::engine
