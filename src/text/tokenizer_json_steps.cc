// Post-processors and decoders of tokenizer.json.
#include "text/tokenizer_json_steps.h"

#include <algorithm>
#include <array>

namespace localai::text {
namespace {

using simdjson::dom::array;

std::optional<TokenId> id_of(const VocabularySpec& spec, std::string_view text) {
  const auto found = std::find(spec.tokens.begin(), spec.tokens.end(), text);
  if (found == spec.tokens.end() || text.empty()) return std::nullopt;
  return static_cast<TokenId>(found - spec.tokens.begin());
}

Status set_special(VocabularySpec& spec, std::string_view text, bool before) {
  const auto id = id_of(spec, text);
  if (!id) return corrupt("'" + std::string(text) + "' is not a token");
  if (before ? spec.add_bos : spec.add_eos)
    return unsupported("more than one special token on one side is not supported");
  (before ? spec.bos : spec.eos) = id;
  (before ? spec.add_bos : spec.add_eos) = true;
  return Ok{};
}

Status read_template(const JsonObject& object, VocabularySpec& spec) {
  LAI_TRY(const array pieces, json_require<array>(object, "single"));
  bool before = true;
  for (const JsonElement piece : pieces) {
    JsonObject part, token;
    if (piece.get(part) != simdjson::SUCCESS) return corrupt("a piece is not an object");
    if (json_field(part, "Sequence")) {
      if (!before) return unsupported("a template that repeats the text is not supported");
      before = false;
      continue;
    }
    LAI_TRY(token, json_require<JsonObject>(part, "SpecialToken"));
    LAI_TRY(const auto text, json_get<std::string_view>(token, "id", ""));
    LAI_TRY_STATUS(set_special(spec, text, before));
  }
  if (before) return unsupported("a template without the text is not supported");
  return Ok{};
}

// RobertaProcessing and BertProcessing: "cls" and "sep" are [text, id].
Status read_pair(const JsonObject& object, VocabularySpec& spec) {
  for (const bool before : {true, false}) {
    LAI_TRY(const array pair, json_require<array>(object, before ? "cls" : "sep"));
    std::string_view text;
    if (pair.at(0).get(text) != simdjson::SUCCESS) return corrupt("cls or sep is not a pair");
    LAI_TRY_STATUS(set_special(spec, text, before));
  }
  return Ok{};
}

Status read_word_piece(const JsonObject& object, VocabularySpec& spec) {
  LAI_TRY(const auto prefix, json_get<std::string_view>(object, "prefix", "##"));
  if (spec.kind != TokenizerKind::kWordPiece || prefix != spec.word_continuation)
    return unsupported("WordPiece with the prefix '" + std::string(prefix) +
                       "', which is not the model's, is not supported");
  LAI_TRY(spec.clean_spaces, json_get<bool>(object, "cleanup", true));
  return Ok{};
}

}  // namespace

Result<std::string> read_prepend_scheme(const JsonObject& metaspace) {
  LAI_TRY(const auto replacement, json_get<std::string_view>(metaspace, "replacement", "\u2581"));
  if (replacement != "\u2581")
    return unsupported("Metaspace: replacement '" + std::string(replacement) +
                       "' is not supported, only U+2581 is");
  LAI_TRY(const bool prefix, json_get<bool>(metaspace, "add_prefix_space", true));
  LAI_TRY(const auto scheme,
          json_get<std::string_view>(metaspace, "prepend_scheme", prefix ? "always" : "never"));
  return std::string(scheme);
}

Status read_post_processor(const JsonElement& step, VocabularySpec& spec) {
  return each_step(step, "processors",
                   [&](const JsonObject& object, std::string_view type) -> Status {
                     if (type == "ByteLevel") return Ok{};  // offsets only
                     if (type == "TemplateProcessing") return read_template(object, spec);
                     if (type == "RobertaProcessing" || type == "BertProcessing")
                       return read_pair(object, spec);
                     return unsupported("'" + std::string(type) + "' is not supported");
                   });
}

// What decoding does follows from the kind of tokenizer; only the stripped space does not.
Status read_decoder(const JsonElement& step, VocabularySpec& spec) {
  return each_step(step, "decoders",
                   [&](const JsonObject& object, std::string_view type) -> Status {
                     if (type == "Strip") {
                       spec.strip_decoded_space = true;
                       return Ok{};
                     }
                     if (type == "Metaspace") {
                       LAI_TRY(const std::string scheme, read_prepend_scheme(object));
                       spec.strip_decoded_space = scheme != "never";
                       return Ok{};
                     }
                     if (type == "WordPiece") return read_word_piece(object, spec);
                     for (const char* known : {"ByteLevel", "Replace", "ByteFallback", "Fuse"})
                       if (type == known) return Ok{};
                     return unsupported("'" + std::string(type) + "' is not supported");
                   });
}

}  // namespace localai::text
