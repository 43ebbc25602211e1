// tokenizer.json of Hugging Face `tokenizers` (0.23), for models of type BPE, Unigram and
// WordPiece. Read with simdjson: the file of a 262,144-token vocabulary has 33 MB.
#include <algorithm>
#include <utility>

#include "text/byte_token.h"
#include "text/json_field.h"
#include "text/token_index.h"
#include "text/tokenizer.h"
#include "text/tokenizer_json_steps.h"

namespace localai::text {
namespace {

using simdjson::dom::array;

// Ids are dense in real files; a larger one would only ask for memory.
constexpr int64_t kIdMax = (1 << 21) - 1;

Status place(VocabularySpec& spec, std::string_view text, const JsonElement& value) {
  int64_t id = -1;
  if (value.get(id) != simdjson::SUCCESS || id < 0 || id > kIdMax)
    return corrupt("the id of token '" + std::string(text) + "' is not within 0.." +
                   std::to_string(kIdMax));
  const auto at = static_cast<size_t>(id);
  if (at >= spec.tokens.size()) spec.tokens.resize(at + 1);
  if (!spec.tokens[at].empty() && spec.tokens[at] != text)
    return corrupt("id " + std::to_string(id) + " is of '" + spec.tokens[at] + "' and of '" +
                   std::string(text) + "'");
  spec.tokens[at] = text;
  return Ok{};
}

Status read_vocabulary(const JsonObject& model, VocabularySpec& spec) {
  LAI_TRY(const auto vocabulary, json_require<JsonObject>(model, "vocab"));
  spec.tokens.reserve(vocabulary.size());
  for (const auto [text, id] : vocabulary) {
    LAI_TRY_STATUS(place(spec, text, id));
  }
  return Ok{};
}

// ["a", "b"], or "a b" in older files.
Status read_merge(const JsonElement& merge, VocabularySpec& spec) {
  const std::string number = "merge " + std::to_string(spec.merges.size());
  std::string_view left, right;
  if (array pair; merge.get(pair) == simdjson::SUCCESS) {
    if (pair.size() != 2 || pair.at(0).get(left) != simdjson::SUCCESS ||
        pair.at(1).get(right) != simdjson::SUCCESS)
      return corrupt(number + " is not two strings");
  } else if (merge.get(left) == simdjson::SUCCESS) {
    const size_t space = left.find(' ');
    if (space == std::string_view::npos || left.find(' ', space + 1) != std::string_view::npos)
      return corrupt(number + ": '" + std::string(left) + "' is not two tokens and one space");
    right = left.substr(space + 1);
    left = left.substr(0, space);
  } else {
    return corrupt(number + " is not two strings");
  }
  spec.merges.emplace_back(left, right);
  return Ok{};
}

Status refuse_affixes(const JsonObject& model) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    LAI_TRY(const auto affix, json_get<std::string_view>(model, key, ""));
    if (!affix.empty())
      return unsupported(std::string(key) + " '" + std::string(affix) + "' is not supported");
  }
  LAI_TRY(const double dropout, json_get<double>(model, "dropout", 0.0));
  if (dropout != 0.0) return unsupported("dropout is not supported: ids would be random");
  return Ok{};
}

Status find_unknown(std::string_view text, VocabularySpec& spec) {
  const auto found = std::find(spec.tokens.begin(), spec.tokens.end(), text);
  if (found == spec.tokens.end() || text.empty())
    return corrupt("unk_token '" + std::string(text) + "' is not a token");
  spec.unknown = static_cast<TokenId>(found - spec.tokens.begin());
  return Ok{};
}

Status read_bpe(const JsonObject& model, VocabularySpec& spec) {
  spec.kind = TokenizerKind::kSentencePieceBpe;  // until a ByteLevel step says otherwise
  LAI_TRY_STATUS(refuse_affixes(model));
  LAI_TRY_STATUS(read_vocabulary(model, spec));
  LAI_TRY(const array merges, json_require<array>(model, "merges"));
  spec.merges.reserve(merges.size());
  for (const JsonElement merge : merges) {
    LAI_TRY_STATUS(read_merge(merge, spec));
  }
  LAI_TRY(spec.ignore_merges, json_get<bool>(model, "ignore_merges", false));
  LAI_TRY(spec.byte_fallback, json_get<bool>(model, "byte_fallback", false));
  LAI_TRY(spec.fuse_unknown, json_get<bool>(model, "fuse_unk", false));
  LAI_TRY(const auto unknown, json_get<std::string_view>(model, "unk_token", ""));
  return unknown.empty() ? Status(Ok{}) : find_unknown(unknown, spec);
}

Status read_word_piece(const JsonObject& model, VocabularySpec& spec) {
  spec.kind = TokenizerKind::kWordPiece;
  LAI_TRY_STATUS(read_vocabulary(model, spec));
  LAI_TRY(const auto prefix, json_get<std::string_view>(model, "continuing_subword_prefix", "##"));
  if (prefix.empty()) return unsupported("an empty continuing_subword_prefix is not supported");
  spec.word_continuation = prefix;
  LAI_TRY(const int64_t most, json_get<int64_t>(model, "max_input_chars_per_word", 100));
  if (most < 1) return unsupported("max_input_chars_per_word " + std::to_string(most));
  spec.word_characters_max = static_cast<size_t>(most);
  LAI_TRY(const auto unknown, json_get<std::string_view>(model, "unk_token", "[UNK]"));
  return find_unknown(unknown, spec);
}

// "vocab" is a list of [text, score].
Status read_unigram(const JsonObject& model, VocabularySpec& spec) {
  spec.kind = TokenizerKind::kUnigram;
  spec.bytes_in_text = true;
  LAI_TRY(const array vocabulary, json_require<array>(model, "vocab"));
  for (const JsonElement element : vocabulary) {
    array pair;
    std::string_view text;
    double score = 0;
    if (element.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
        pair.at(0).get(text) != simdjson::SUCCESS || pair.at(1).get(score) != simdjson::SUCCESS)
      return corrupt("piece " + std::to_string(spec.tokens.size()) + " is not a text and a score");
    spec.tokens.emplace_back(text);
    spec.scores.push_back(score);
  }
  LAI_TRY(spec.byte_fallback, json_get<bool>(model, "byte_fallback", false));
  LAI_TRY(const int64_t unknown, json_get<int64_t>(model, "unk_id", -1));
  if (unknown < 0 || static_cast<size_t>(unknown) >= spec.tokens.size())
    return corrupt("unk_id " + std::to_string(unknown) + " is not within the vocabulary of " +
                   std::to_string(spec.tokens.size()));
  spec.unknown = static_cast<TokenId>(unknown);
  return Ok{};
}

Status read_model(const JsonObject& model, VocabularySpec& spec) {
  LAI_TRY(const auto type, json_get<std::string_view>(model, "type", "BPE"));
  if (type == "BPE") return read_bpe(model, spec);
  if (type == "WordPiece") return read_word_piece(model, spec);
  if (type == "Unigram") return read_unigram(model, spec);
  return unsupported("'" + std::string(type) +
                     "' is not supported (BPE, Unigram and WordPiece are)");
}

Result<AddedToken> read_added_token(const JsonObject& object) {
  AddedToken token;
  LAI_TRY(const auto content, json_get<std::string_view>(object, "content", ""));
  token.text = content;
  LAI_TRY(token.special, json_get<bool>(object, "special", false));
  LAI_TRY(token.lstrip, json_get<bool>(object, "lstrip", false));
  LAI_TRY(token.rstrip, json_get<bool>(object, "rstrip", false));
  LAI_TRY(token.single_word, json_get<bool>(object, "single_word", false));
  LAI_TRY(token.normalized, json_get<bool>(object, "normalized", !token.special));
  return token;
}

// A token whose text the model has already gets the model's id, whatever the list says.
Status read_added_tokens(const array& list, VocabularySpec& spec) {
  LAI_TRY(const TokenIndex index, TokenIndex::build(spec.tokens));
  std::vector<std::pair<AddedToken, JsonElement>> later;
  for (const JsonElement element : list) {
    JsonObject object;
    JsonElement id;
    if (element.get(object) != simdjson::SUCCESS) return corrupt("an element is not an object");
    LAI_TRY(AddedToken token, read_added_token(object));
    if (token.text.empty()) continue;
    if (const auto known = index.find(token.text)) {
      token.id = *known;
      token.in_model = true;
      spec.added.push_back(std::move(token));
    } else if (object.at_key("id").get(id) == simdjson::SUCCESS) {
      later.emplace_back(std::move(token), id);
    } else {
      return corrupt("token '" + token.text + "' has no id");
    }
  }
  for (auto& [token, id] : later) {
    LAI_TRY_STATUS(place(spec, token.text, id));
    int64_t value = 0;
    if (id.get(value) == simdjson::SUCCESS) token.id = static_cast<TokenId>(value);
    spec.added.push_back(std::move(token));
  }
  return Ok{};
}

// Added tokens past the model's own vocabulary have no score; no word is made of them.
void set_types(VocabularySpec& spec) {
  if (spec.kind == TokenizerKind::kUnigram) spec.scores.resize(spec.tokens.size());
  spec.types.assign(spec.tokens.size(), TokenType::kNormal);
  for (size_t id = 0; id < spec.tokens.size(); ++id)
    if (spec.byte_fallback && byte_of(spec.tokens[id])) spec.types[id] = TokenType::kByte;
  for (const AddedToken& token : spec.added)
    spec.types[static_cast<size_t>(token.id)] =
        token.special ? TokenType::kControl : TokenType::kUserDefined;
}

Status read_root(const JsonObject& root, VocabularySpec& spec) {
  LAI_TRY(const auto model, json_require<JsonObject>(root, "model"));
  LAI_TRY_STATUS(read_model(model, spec), "model");
  if (spec.tokens.empty()) return corrupt("model: the vocabulary is empty");
  if (json_field(root, "added_tokens")) {
    LAI_TRY(const auto added, json_require<array>(root, "added_tokens"));
    LAI_TRY_STATUS(read_added_tokens(added, spec), "added_tokens");
  }
  set_types(spec);
  if (const auto step = json_field(root, "normalizer"))
    LAI_TRY_STATUS(read_normalizer(*step, spec), "normalizer");
  if (const auto step = json_field(root, "pre_tokenizer"))
    LAI_TRY_STATUS(read_pre_tokenizer(*step, spec), "pre_tokenizer");
  if (const auto step = json_field(root, "post_processor"))
    LAI_TRY_STATUS(read_post_processor(*step, spec), "post_processor");
  if (const auto step = json_field(root, "decoder"))
    LAI_TRY_STATUS(read_decoder(*step, spec), "decoder");
  if (spec.kind == TokenizerKind::kByteLevelBpe && spec.byte_fallback)
    return unsupported("model: byte_fallback together with ByteLevel is not supported");
  return Ok{};
}

}  // namespace

Result<VocabularySpec> parse_tokenizer_json(std::string_view json) {
  simdjson::dom::parser parser;
  JsonElement document;
  if (const auto error = parser.parse(json.data(), json.size()).get(document); error)
    return corrupt(std::string("not JSON: ") + simdjson::error_message(error));
  JsonObject root;
  if (document.get(root) != simdjson::SUCCESS) return corrupt("not a JSON object");
  VocabularySpec spec;
  LAI_TRY_STATUS(read_root(root, spec));
  return spec;
}

}  // namespace localai::text
