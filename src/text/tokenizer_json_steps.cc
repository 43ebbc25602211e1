#include "text/tokenizer_json_steps.h"

#include <algorithm>
#include <array>
#include <utility>

#include "text/pattern.h"

namespace localai::text {
namespace {

using simdjson::dom::array;

// Sequences may be nested; deeper than any real file is refused.
constexpr int kDepthMax = 8;

// Calls read(object, type) for the step, or for each step of a Sequence.
template <class Read>
Status each_step(const JsonElement& step, const char* list, const Read& read, int depth = 0) {
  JsonObject object;
  if (step.get(object) != simdjson::SUCCESS) return corrupt("a step is not an object");
  LAI_TRY(const auto type, json_get<std::string_view>(object, "type", ""));
  if (type != "Sequence") return read(object, type);
  if (depth == kDepthMax) return unsupported("sequences nested too deep");
  LAI_TRY(const array steps, json_require<array>(object, list));
  for (const JsonElement inner : steps) {
    LAI_TRY_STATUS(each_step(inner, list, read, depth + 1));
  }
  return Ok{};
}

Status read_replace(const JsonObject& object, VocabularySpec& spec) {
  LAI_TRY(const auto pattern, json_require<JsonObject>(object, "pattern"));
  LAI_TRY(const auto from, json_get<std::string_view>(pattern, "String", ""));
  LAI_TRY(const auto to, json_get<std::string_view>(object, "content", ""));
  if (from.empty()) return unsupported("Replace of anything but a string is not supported");
  spec.normalizer.push_back({NormalizerStep::Kind::kReplace, std::string(from), std::string(to)});
  return Ok{};
}

Result<SplitBehavior> behavior_of(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kNames = {{
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous},
  }};
  for (const auto& [known, behavior] : kNames)
    if (known == name) return behavior;
  return corrupt("Split: behavior '" + std::string(name) + "' is not known");
}

Status read_split(const JsonObject& object, VocabularySpec& spec) {
  PreTokenizerStep step{PreTokenizerStep::Kind::kSplitRegex};
  LAI_TRY(const auto pattern, json_require<JsonObject>(object, "pattern"));
  LAI_TRY(const auto regex, json_get<std::string_view>(pattern, "Regex", ""));
  LAI_TRY(const auto literal, json_get<std::string_view>(pattern, "String", ""));
  if (regex.empty() && literal.empty()) return corrupt("Split: no pattern");
  if (regex.empty()) step.kind = PreTokenizerStep::Kind::kSplitLiteral;
  step.pattern = regex.empty() ? literal : regex;
  LAI_TRY(const auto behavior, json_get<std::string_view>(object, "behavior", ""));
  LAI_TRY(step.behavior, behavior_of(behavior));
  LAI_TRY(step.invert, json_get<bool>(object, "invert", false));
  spec.pre_tokenizer.push_back(std::move(step));
  return Ok{};
}

Status read_byte_level(const JsonObject& object, VocabularySpec& spec) {
  LAI_TRY(const bool prefix, json_get<bool>(object, "add_prefix_space", true));
  LAI_TRY(const bool regex, json_get<bool>(object, "use_regex", true));
  if (prefix) spec.pre_tokenizer.push_back({PreTokenizerStep::Kind::kPrefixSpace});
  if (regex) spec.pre_tokenizer.push_back({PreTokenizerStep::Kind::kSplitRegex, kPatternGpt2});
  spec.kind = TokenizerKind::kByteLevelBpe;
  return Ok{};
}

Status check_metaspace(const JsonObject& object) {
  LAI_TRY(const auto replacement, json_get<std::string_view>(object, "replacement", "\u2581"));
  if (replacement != "\u2581")
    return unsupported("Metaspace: replacement '" + std::string(replacement) +
                       "' is not supported, only U+2581 is");
  return Ok{};
}

// add_prefix_space is what files from before prepend_scheme have.
Result<std::string> prepend_scheme(const JsonObject& object) {
  LAI_TRY(const bool prefix, json_get<bool>(object, "add_prefix_space", true));
  LAI_TRY(const auto scheme,
          json_get<std::string_view>(object, "prepend_scheme", prefix ? "always" : "never"));
  return std::string(scheme);
}

Status read_metaspace(const JsonObject& object, VocabularySpec& spec) {
  PreTokenizerStep step{PreTokenizerStep::Kind::kMetaspace};
  LAI_TRY_STATUS(check_metaspace(object));
  LAI_TRY(step.prepend_scheme, prepend_scheme(object));
  LAI_TRY(step.split, json_get<bool>(object, "split", true));
  spec.pre_tokenizer.push_back(std::move(step));
  return Ok{};
}

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

}  // namespace

Status read_normalizer(const JsonElement& step, VocabularySpec& spec) {
  return each_step(
      step, "normalizers", [&](const JsonObject& object, std::string_view type) -> Status {
        if (type == "NFC") {
          spec.normalizer.push_back({NormalizerStep::Kind::kNfc, "", ""});
          return Ok{};
        }
        if (type == "Prepend") {
          LAI_TRY(const auto text, json_get<std::string_view>(object, "prepend", ""));
          spec.normalizer.push_back({NormalizerStep::Kind::kPrepend, "", std::string(text)});
          return Ok{};
        }
        if (type == "Replace") return read_replace(object, spec);
        return unsupported("'" + std::string(type) + "' is not supported");
      });
}

Status read_pre_tokenizer(const JsonElement& step, VocabularySpec& spec) {
  return each_step(
      step, "pretokenizers", [&](const JsonObject& object, std::string_view type) -> Status {
        if (spec.kind == TokenizerKind::kByteLevelBpe)
          return unsupported("'" + std::string(type) + "' after ByteLevel is not supported");
        if (type == "ByteLevel") return read_byte_level(object, spec);
        if (type == "Split") return read_split(object, spec);
        if (type == "Metaspace") return read_metaspace(object, spec);
        if (type != "Digits") return unsupported("'" + std::string(type) + "' is not supported");
        PreTokenizerStep digits{PreTokenizerStep::Kind::kDigits};
        LAI_TRY(digits.individual, json_get<bool>(object, "individual_digits", false));
        spec.pre_tokenizer.push_back(std::move(digits));
        return Ok{};
      });
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
                       LAI_TRY_STATUS(check_metaspace(object));
                       LAI_TRY(const std::string scheme, prepend_scheme(object));
                       spec.strip_decoded_space = scheme != "never";
                       return Ok{};
                     }
                     for (const char* known : {"ByteLevel", "Replace", "ByteFallback", "Fuse"})
                       if (type == known) return Ok{};
                     return unsupported("'" + std::string(type) + "' is not supported");
                   });
}

}  // namespace localai::text
