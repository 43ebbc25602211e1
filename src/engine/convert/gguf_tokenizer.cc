#include "engine/convert/gguf_tokenizer.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/log.h"
#include "engine/convert/unigram.h"
#include "engine/convert/word_piece.h"
#include "engine/gguf_pre_tokenizers.h"
#include "engine/gguf_vocabulary.h"

namespace localai::engine {
namespace {

using formats::GgufHeader;
using text::NormalizerStep;
using text::PreTokenizerStep;
using text::TokenId;
using text::TokenType;
using text::VocabularySpec;

constexpr std::string_view kSpace = "\u2581";

// Does a text get U+2581 before its first word? Errors: any step but SentencePiece's own.
Result<bool> space_prefix(const VocabularySpec& spec) {
  bool prefix = spec.add_space_prefix, replaced = false;
  for (const NormalizerStep& step : spec.normalizer) {
    const bool replace =
        step.kind == NormalizerStep::Kind::kReplace && step.from == " " && step.to == kSpace;
    const bool prepend = step.kind == NormalizerStep::Kind::kPrepend && step.to == kSpace;
    if (!replace && !prepend)
      return unsupported("the tokenizer's normalizer is not one of SentencePiece's");
    replaced = replaced || replace;
    prefix = prefix || prepend;
  }
  for (const PreTokenizerStep& step : spec.pre_tokenizer) {
    const bool metaspace = step.kind == PreTokenizerStep::Kind::kMetaspace;
    const bool split = step.kind == PreTokenizerStep::Kind::kSplitLiteral && step.pattern == " ";
    if (!metaspace && !split)
      return unsupported("the tokenizer's pre-tokenizer is not one of SentencePiece's");
    replaced = replaced || metaspace;
    prefix = prefix || (metaspace && step.prepend_scheme != "never");
  }
  if (!replaced) return unsupported("the tokenizer does not turn spaces into U+2581");
  return prefix;
}

Status add_sentencepiece(const VocabularySpec& spec, size_t count, GgufHeader& header) {
  LAI_TRY(const bool prefix, space_prefix(spec));
  std::vector<float> scores(spec.scores.begin(), spec.scores.end());
  if (scores.empty()) {
    LAI_TRY(scores, scores_of_merges(spec));
  }
  scores.resize(count);
  header.add("tokenizer.ggml.model", "llama");
  header.add("tokenizer.ggml.pre", "default");
  header.add("tokenizer.ggml.scores", scores);
  header.add("tokenizer.ggml.add_space_prefix", prefix);
  return Ok{};
}

Status add_unigram(const VocabularySpec& spec, size_t count, GgufHeader& header) {
  LAI_TRY(const UnigramSteps steps, unigram_steps(spec));
  std::vector<float> scores(spec.scores.begin(), spec.scores.end());
  scores.resize(count);
  header.add("tokenizer.ggml.model", "t5");
  header.add("tokenizer.ggml.pre", "default");
  header.add("tokenizer.ggml.scores", scores);
  header.add("tokenizer.ggml.add_space_prefix", steps.space_prefix);
  header.add("tokenizer.ggml.remove_extra_whitespaces", steps.squeeze_spaces);
  if (!steps.charsmap.empty())
    header.add("tokenizer.ggml.precompiled_charsmap",
               std::vector<uint8_t>(steps.charsmap.begin(), steps.charsmap.end()));
  return Ok{};
}

Result<VocabularySpec> add_word_piece(const VocabularySpec& spec, GgufHeader& header) {
  LAI_TRY(VocabularySpec out, spelled_for_gguf(spec));
  const auto normalizer = bert_normalizer(spec);
  header.add("tokenizer.ggml.model", "bert");
  header.add("tokenizer.ggml.pre", "default");
  header.add("tokenizer.ggml.normalizer.lowercase", normalizer->lowercase);
  header.add("tokenizer.ggml.normalizer.strip_accents", normalizer->strip_accents);
  return out;
}

Status add_byte_level(const VocabularySpec& spec, GgufHeader& header) {
  for (const NormalizerStep& step : spec.normalizer)
    if (step.kind != NormalizerStep::Kind::kNfc)  // which GGUF readers do without
      return unsupported("GGUF has no key for the tokenizer's normalizer");
  const std::string pre = gguf_pre_tokenizer_name(spec);
  if (pre.empty())
    return unsupported("the tokenizer's pre-tokenizer is none that GGUF files have a name for");
  std::vector<std::string> merges;
  merges.reserve(spec.merges.size());
  for (const auto& [left, right] : spec.merges) merges.emplace_back(left).append(" ").append(right);
  header.add("tokenizer.ggml.model", "gpt2");
  header.add("tokenizer.ggml.pre", pre);
  header.add("tokenizer.ggml.merges", merges);
  return Ok{};
}

void add_tokens(const VocabularySpec& spec, size_t count, GgufHeader& header) {
  std::vector<std::string> tokens(
      spec.tokens.begin(),
      spec.tokens.begin() + static_cast<ptrdiff_t>(std::min(count, spec.tokens.size())));
  tokens.resize(count);
  std::vector<int32_t> types(count, static_cast<int32_t>(TokenType::kNormal));
  for (size_t id = 0; id < count; ++id) {
    if (id < spec.types.size()) types[id] = static_cast<int32_t>(spec.types[id]);
    if (!tokens[id].empty()) continue;
    tokens[id] = "[PAD" + std::to_string(id) + "]";
    types[id] = static_cast<int32_t>(TokenType::kUnused);
  }
  const bool word_piece = spec.kind == text::TokenizerKind::kWordPiece;  // [UNK] is control
  if (!word_piece && spec.unknown && static_cast<size_t>(*spec.unknown) < count)
    types[static_cast<size_t>(*spec.unknown)] = static_cast<int32_t>(TokenType::kUnknown);
  header.add("tokenizer.ggml.tokens", tokens);
  header.add("tokenizer.ggml.token_type", types);
}

// Where no tokenizer file names it, the first of what ends an answer: for a missing key, readers
// take an id that may be any token's.
std::optional<TokenId> eos_of(const VocabularySpec& spec) {
  if (spec.eos || spec.end_of_generation.empty()) return spec.eos;
  return spec.end_of_generation.front();
}

// Ends of an answer beside eos: readers know many by their text, two more by a key.
void add_ends(const VocabularySpec& spec, size_t count, GgufHeader& header) {
  std::vector<std::string_view> keys = {"tokenizer.ggml.eom_token_id",
                                        "tokenizer.ggml.eot_token_id"};
  for (const TokenId end : spec.end_of_generation) {
    const auto id = static_cast<size_t>(end);
    if (end == eos_of(spec) || id >= count || text_ends_generation(spec.tokens[id])) continue;
    if (keys.empty()) {
      log::warn("token {} ('{}') also ends an answer; GGUF has no key left to say so", id,
                spec.tokens[id]);
      continue;
    }
    header.add(keys.back(), static_cast<uint32_t>(id));
    keys.pop_back();
  }
}

void add_special_ids(const VocabularySpec& spec, size_t count, GgufHeader& header) {
  const auto add = [&](const char* key, std::optional<TokenId> id) {
    if (id && static_cast<size_t>(*id) < count) header.add(key, static_cast<uint32_t>(*id));
  };
  add("tokenizer.ggml.bos_token_id", spec.bos);
  add("tokenizer.ggml.unknown_token_id", spec.unknown);
  add("tokenizer.ggml.padding_token_id", spec.pad);
  if (spec.kind == text::TokenizerKind::kWordPiece) {  // readers put them around a text always
    add("tokenizer.ggml.cls_token_id", spec.bos);
    add("tokenizer.ggml.seperator_token_id", spec.eos);  // spelled so
    add("tokenizer.ggml.mask_token_id", mask_token(spec));
    return;
  }
  add("tokenizer.ggml.eos_token_id", eos_of(spec));
  add_ends(spec, count, header);
  header.add("tokenizer.ggml.add_bos_token", spec.add_bos);
  header.add("tokenizer.ggml.add_eos_token", spec.add_eos);
}

void warn_of_stripping(const VocabularySpec& spec) {
  const auto strips = [](const text::AddedToken& token) { return token.lstrip || token.rstrip; };
  const auto count = std::count_if(spec.added.begin(), spec.added.end(), strips);
  if (count > 0)
    log::warn("{} special tokens swallow the space beside them; GGUF has no field for that", count);
}

struct Ranks {
  size_t first = 0, last = 0;
};

}  // namespace

Result<std::vector<float>> scores_of_merges(const VocabularySpec& spec) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenType type = id < spec.types.size() ? spec.types[id] : TokenType::kNormal;
    const bool mergeable = type == TokenType::kNormal || type == TokenType::kUserDefined;
    if (mergeable && !spec.tokens[id].empty()) ids.emplace(spec.tokens[id], id);
  }
  std::unordered_map<size_t, Ranks> made;
  std::set<std::pair<std::string_view, std::string_view>> pairs;
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto& [left, right] = spec.merges[rank];
    const auto id = ids.find(left + right);
    if (id == ids.end()) return corrupt("merge " + std::to_string(rank) + " makes no token");
    made.try_emplace(id->second, Ranks{rank, rank}).first->second.last = rank;
    pairs.emplace(left, right);
  }
  std::vector<std::pair<Ranks, size_t>> order;
  order.reserve(made.size());
  for (const auto& [id, ranks] : made) order.emplace_back(ranks, id);
  std::sort(order.begin(), order.end(),
            [](const auto& a, const auto& b) { return a.first.first < b.first.first; });
  std::vector<float> scores(spec.tokens.size(), 0.f);
  for (size_t i = 0; i < order.size(); ++i) {
    const auto& [ranks, id] = order[i];
    const std::string& token = spec.tokens[id];
    if (i > 0 && order[i - 1].first.last > ranks.first)
      return unsupported("the merges that make '" + token + "' and '" +
                         spec.tokens[order[i - 1].second] +
                         "' interleave, so no scores can stand for them");
    for (size_t at = 1; at < token.size(); ++at) {
      if ((static_cast<unsigned char>(token[at]) & 0xC0u) == 0x80u) continue;  // inside a character
      const std::string_view left = std::string_view(token).substr(0, at);
      const std::string_view right = std::string_view(token).substr(at);
      if (ids.contains(left) && ids.contains(right) && !pairs.contains({left, right}))
        return unsupported(
            "'" + std::string(left) + "' and '" + std::string(right) +
            "' make a token but are no merge, so no scores can stand for the merges");
    }
    scores[id] = -static_cast<float>(i + 1);
  }
  return scores;
}

Status add_tokenizer(const VocabularySpec& spec, uint32_t vocab, GgufHeader& header) {
  if (spec.tokens.size() > vocab)
    log::warn("{} tokens have no row in the embedding and are left out",
              spec.tokens.size() - vocab);
  switch (spec.kind) {
    case text::TokenizerKind::kByteLevelBpe:
      LAI_TRY_STATUS(add_byte_level(spec, header));
      add_tokens(spec, vocab, header);
      break;
    case text::TokenizerKind::kSentencePieceBpe:
      LAI_TRY_STATUS(add_sentencepiece(spec, vocab, header));
      add_tokens(spec, vocab, header);
      break;
    case text::TokenizerKind::kWordPiece: {
      LAI_TRY(const VocabularySpec spelled, add_word_piece(spec, header));
      add_tokens(spelled, vocab, header);
      break;
    }
    case text::TokenizerKind::kUnigram:
      LAI_TRY_STATUS(add_unigram(spec, vocab, header));
      add_tokens(spec, vocab, header);
      break;
  }
  add_special_ids(spec, vocab, header);
  warn_of_stripping(spec);
  return Ok{};
}

}  // namespace localai::engine
