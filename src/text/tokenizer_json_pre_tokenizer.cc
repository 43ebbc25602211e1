// Pre-tokenizers of tokenizer.json.
#include <array>
#include <utility>

#include "text/bert_steps.h"
#include "text/pattern.h"
#include "text/tokenizer_json_steps.h"
#include "text/unicode.h"

namespace localai::text {
namespace {

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
  return corrupt("behavior '" + std::string(name) + "' is not known");
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
  if (spec.kind != TokenizerKind::kSentencePieceBpe)
    return unsupported("ByteLevel with a model other than BPE is not supported");
  spec.kind = TokenizerKind::kByteLevelBpe;
  return Ok{};
}

Status read_metaspace(const JsonObject& object, VocabularySpec& spec) {
  PreTokenizerStep step{PreTokenizerStep::Kind::kMetaspace};
  LAI_TRY(step.prepend_scheme, read_prepend_scheme(object));
  LAI_TRY(step.split, json_get<bool>(object, "split", true));
  spec.pre_tokenizer.push_back(std::move(step));
  return Ok{};
}

void split_class(VocabularySpec& spec, uint32_t classes, SplitBehavior behavior) {
  spec.pre_tokenizer.push_back(
      {.kind = PreTokenizerStep::Kind::kSplitClass, .behavior = behavior, .classes = classes});
}

Status read_punctuation(const JsonObject& object, VocabularySpec& spec) {
  LAI_TRY(const auto name, json_get<std::string_view>(object, "behavior", "Isolated"));
  LAI_TRY(const SplitBehavior behavior, behavior_of(name));
  split_class(spec, kMarkedOff, behavior);
  return Ok{};
}

Status read_digits(const JsonObject& object, VocabularySpec& spec) {
  LAI_TRY(const bool individual, json_get<bool>(object, "individual_digits", false));
  split_class(spec, kDigit, individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
  return Ok{};
}

Status read_delimiter(const JsonObject& object, VocabularySpec& spec) {
  LAI_TRY(const auto delimiter, json_get<std::string_view>(object, "delimiter", ""));
  if (delimiter.empty()) return corrupt("CharDelimiterSplit: no delimiter");
  PreTokenizerStep step{PreTokenizerStep::Kind::kSplitLiteral, std::string(delimiter)};
  step.behavior = SplitBehavior::kRemoved;
  spec.pre_tokenizer.push_back(std::move(step));
  return Ok{};
}

Status read_step(const JsonObject& object, std::string_view type, VocabularySpec& spec) {
  if (spec.kind == TokenizerKind::kByteLevelBpe)
    return unsupported("'" + std::string(type) + "' after ByteLevel is not supported");
  if (type == "ByteLevel") return read_byte_level(object, spec);
  if (type == "Split") return read_split(object, spec);
  if (type == "Metaspace") return read_metaspace(object, spec);
  if (type == "Digits") return read_digits(object, spec);
  if (type == "Punctuation") return read_punctuation(object, spec);
  if (type == "CharDelimiterSplit") return read_delimiter(object, spec);
  if (type == "BertPreTokenizer") {
    add_bert_pre_tokenizer(spec);
  } else if (type == "WhitespaceSplit") {
    split_class(spec, kSpace, SplitBehavior::kRemoved);
  } else if (type == "Whitespace") {
    spec.pre_tokenizer.push_back({PreTokenizerStep::Kind::kSplitWords});
  } else {
    return unsupported("'" + std::string(type) + "' is not supported");
  }
  return Ok{};
}

}  // namespace

void add_bert_pre_tokenizer(VocabularySpec& spec) {
  split_class(spec, kSpace, SplitBehavior::kRemoved);
  split_class(spec, kMarkedOff, SplitBehavior::kIsolated);
}

Status read_pre_tokenizer(const JsonElement& step, VocabularySpec& spec) {
  return each_step(step, "pretokenizers", [&](const JsonObject& object, std::string_view type) {
    return read_step(object, type, spec);
  });
}

}  // namespace localai::text
