#include "engine/convert/hf_tokenizer.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "engine/convert/unigram.h"
#include "engine/convert/word_piece.h"

namespace localai::engine {
namespace {

using text::TokenId;
using text::TokenizerKind;
using text::TokenType;
using text::VocabularySpec;

constexpr const char* kSpace = "\u2581";

TokenType type_of(const VocabularySpec& spec, size_t id) {
  return id < spec.types.size() ? spec.types[id] : TokenType::kNormal;
}

// Special ids that the file may only seem to have: readers assume some where the keys are missing.
std::optional<TokenId> special(const VocabularySpec& spec, std::optional<TokenId> id) {
  if (!id) return id;
  const TokenType type = type_of(spec, static_cast<size_t>(*id));
  const bool is_special =
      type == TokenType::kControl || type == TokenType::kUserDefined || type == TokenType::kUnknown;
  return is_special ? id : std::nullopt;
}

std::string text_of(const VocabularySpec& spec, std::optional<TokenId> id) {
  const auto found = special(spec, id);
  return found ? spec.tokens[static_cast<size_t>(*found)] : "";
}

// A quoted JSON string.
std::string quoted(const std::string& text) { return dump_json(Json(text)); }

Json added_tokens(const VocabularySpec& spec) {
  Json out = Json::array();
  for (const text::AddedToken& token : spec.added)
    out.push_back({{"id", token.id},
                   {"content", token.text},
                   {"single_word", token.single_word},
                   {"lstrip", token.lstrip},
                   {"rstrip", token.rstrip},
                   {"normalized", false},
                   {"special", token.special}});
  return out;
}

Json replace(const std::string& from, const std::string& to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

Json normalizer(const VocabularySpec& spec) {
  if (spec.kind == TokenizerKind::kByteLevelBpe) return nullptr;
  if (const auto bert = bert_normalizer(spec); spec.kind == TokenizerKind::kWordPiece && bert)
    return {{"type", "BertNormalizer"},
            {"clean_text", bert->clean_text},
            {"handle_chinese_chars", bert->ideographs_apart},
            {"strip_accents", bert->strip_accents},
            {"lowercase", bert->lowercase}};
  if (spec.kind == TokenizerKind::kUnigram) return unigram_normalizer(spec);
  Json steps = Json::array();
  if (spec.add_space_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", kSpace}});
  steps.push_back(replace(" ", kSpace));
  return {{"type", "Sequence"}, {"normalizers", std::move(steps)}};
}

Json byte_level() {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", false}};
}

Json pre_tokenizer(const VocabularySpec& spec) {
  if (spec.kind == TokenizerKind::kSentencePieceBpe || spec.kind == TokenizerKind::kUnigram)
    return nullptr;
  if (spec.kind == TokenizerKind::kWordPiece) return {{"type", "BertPreTokenizer"}};
  Json steps = Json::array();
  for (const text::PreTokenizerStep& step : spec.pre_tokenizer)
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", step.pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  steps.push_back(byte_level());
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

Json decoder(const VocabularySpec& spec) {
  if (spec.kind == TokenizerKind::kByteLevelBpe) return byte_level();
  if (spec.kind == TokenizerKind::kWordPiece)
    return {{"type", "WordPiece"}, {"prefix", spec.word_continuation}, {"cleanup", true}};
  Json steps = {replace(kSpace, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (spec.strip_decoded_space)
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", std::move(steps)}};
}

Json post_processor(const VocabularySpec& spec) {
  const std::string bos = spec.add_bos ? text_of(spec, spec.bos) : "";
  const std::string eos = spec.add_eos ? text_of(spec, spec.eos) : "";
  if (bos.empty() && eos.empty()) return nullptr;
  Json specials = Json::object();
  const auto piece = [&](const std::string& text, TokenId id, int segment) -> Json {
    specials[text] = {{"id", text}, {"ids", Json::array({id})}, {"tokens", Json::array({text})}};
    return {{"SpecialToken", {{"id", text}, {"type_id", segment}}}};
  };
  Json single = Json::array(), pair = Json::array();
  for (const int segment : {0, 1}) {
    Json part = Json::array();
    const bool again = segment == 1 && spec.kind == TokenizerKind::kWordPiece;  // [CLS] A [SEP] B
    if (!bos.empty() && !again) part.push_back(piece(bos, *spec.bos, segment));
    part.push_back({{"Sequence", {{"id", segment == 0 ? "A" : "B"}, {"type_id", segment}}}});
    if (!eos.empty()) part.push_back(piece(eos, *spec.eos, segment));
    if (segment == 0) single = part;
    for (Json& step : part) pair.push_back(std::move(step));
  }
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(specials)}};
}

// The members of the model but its vocabulary and merges.
Json model_head(const VocabularySpec& spec) {
  if (spec.kind == TokenizerKind::kWordPiece)
    return {{"type", "WordPiece"},
            {"unk_token", text_of(spec, spec.unknown)},
            {"continuing_subword_prefix", spec.word_continuation},
            {"max_input_chars_per_word", spec.word_characters_max}};
  const bool sentencepiece = spec.kind == TokenizerKind::kSentencePieceBpe;
  const std::string unknown = sentencepiece ? text_of(spec, spec.unknown) : "";
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unknown.empty() ? Json(nullptr) : Json(unknown)},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", sentencepiece},
          {"byte_fallback", sentencepiece},
          {"ignore_merges", spec.ignore_merges}};
}

// "vocab" of Unigram is a list of [text, score], by id. Ids without a text get one that no text
// has: two with one text would be one to the library.
std::string unigram_model(const VocabularySpec& spec) {
  std::string out = R"({"type":"Unigram","unk_id":)" + std::to_string(*spec.unknown) +
                    R"(,"byte_fallback":false,"vocab":[)";
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string& token = spec.tokens[id];
    out += (id == 0 ? "[" : ",[") +
           quoted(token.empty() ? "[PAD" + std::to_string(id) + "]" : token) + "," +
           dump_json(Json(spec.scores[id])) + "]";
  }
  return out + "]}";
}

// By hand: the ordered JSON type is slow for a quarter of a million members.
std::string model(const VocabularySpec& spec) {
  if (spec.kind == TokenizerKind::kUnigram) return unigram_model(spec);
  std::string out = dump_json(model_head(spec));
  out.pop_back();  // the object goes on
  out += ",\"vocab\":{";
  bool first = true;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (spec.tokens[id].empty()) continue;
    out += (first ? "" : ",") + quoted(spec.tokens[id]) + ":" + std::to_string(id);
    first = false;
  }
  if (spec.kind == TokenizerKind::kWordPiece) return out + "}}";
  out += "},\"merges\":[";
  first = true;
  for (const auto& [left, right] : spec.merges.empty() ? merges_of_scores(spec) : spec.merges) {
    out += (first ? "[" : ",[") + quoted(left) + "," + quoted(right) + "]";
    first = false;
  }
  return out + "]}";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> merges_of_scores(const VocabularySpec& spec) {
  std::unordered_map<std::string_view, size_t> ids;
  std::vector<size_t> order;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenType type = type_of(spec, id);
    if (type != TokenType::kNormal && type != TokenType::kUserDefined) continue;
    ids.emplace(spec.tokens[id], id);
    order.push_back(id);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return spec.scores[a] > spec.scores[b]; });
  std::vector<std::pair<std::string, std::string>> merges;
  for (const size_t id : order) {
    const std::string_view token = spec.tokens[id];
    for (size_t at = 1; at < token.size(); ++at)
      if (ids.contains(token.substr(0, at)) && ids.contains(token.substr(at)))
        merges.emplace_back(token.substr(0, at), token.substr(at));
  }
  return merges;
}

Result<std::string> make_tokenizer_json(const VocabularySpec& given) {
  if (given.kind == TokenizerKind::kUnigram &&
      (given.scores.size() < given.tokens.size() || !given.unknown))
    return corrupt("a Unigram vocabulary needs a score for each token, and an unknown one");
  const bool word_piece = given.kind == TokenizerKind::kWordPiece;
  const VocabularySpec spec = word_piece ? spelled_for_json(given) : given;
  if (word_piece && (text_of(spec, spec.bos).empty() || text_of(spec, spec.eos).empty() ||
                     text_of(spec, spec.unknown).empty()))
    return unsupported("[CLS], [SEP] or [UNK] is no special token");
  if (spec.kind == TokenizerKind::kSentencePieceBpe && spec.merges.empty() &&
      spec.scores.size() < spec.tokens.size())
    return corrupt("tokenizer.ggml.scores: missing, and there are no merges either");
  std::unordered_map<std::string_view, size_t> seen;
  for (size_t id = 0; id < spec.tokens.size(); ++id)
    if (!spec.tokens[id].empty() && !seen.emplace(spec.tokens[id], id).second)
      return corrupt("tokens " + std::to_string(seen[spec.tokens[id]]) + " and " +
                     std::to_string(id) + " have the same text");
  const Json rest = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", added_tokens(spec)},
                     {"normalizer", normalizer(spec)},
                     {"pre_tokenizer", pre_tokenizer(spec)},
                     {"post_processor", post_processor(spec)},
                     {"decoder", decoder(spec)}};
  std::string out = dump_json(rest);
  out.pop_back();
  return out + ",\"model\":" + model(spec) + "}\n";
}

Json make_tokenizer_config(const VocabularySpec& spec, const std::string& chat_template,
                           uint32_t context) {
  Json out = {{"tokenizer_class", "PreTrainedTokenizerFast"},
              {"clean_up_tokenization_spaces", false},
              {"model_max_length", context}};
  const auto add = [&](const char* key, std::optional<TokenId> id) {
    if (const std::string text = text_of(spec, id); !text.empty()) out[key] = text;
  };
  const bool word_piece = spec.kind == TokenizerKind::kWordPiece;
  add(word_piece ? "cls_token" : "bos_token", spec.bos);
  add(word_piece ? "sep_token" : "eos_token", spec.eos);
  if (word_piece) add("mask_token", mask_token(spec));
  add("pad_token", spec.pad);
  add("unk_token", spec.unknown);
  if (!chat_template.empty()) out["chat_template"] = chat_template;
  return out;
}

Json make_generation_config(const VocabularySpec& spec) {
  Json out = Json::object();
  if (const auto id = special(spec, spec.bos)) out["bos_token_id"] = *id;
  if (const auto id = special(spec, spec.pad)) out["pad_token_id"] = *id;
  std::vector<TokenId> ends = spec.end_of_generation;
  std::erase_if(ends, [&](TokenId id) { return !special(spec, id); });
  if (!ends.empty()) out["eos_token_id"] = ends;
  return out;
}

}  // namespace localai::engine
