#pragma once
// The steps of tokenizer.json around its model: normalizer, pre-tokenizer, post-processor, decoder.
#include <string>

#include "base/result.h"
#include "text/json_field.h"
#include "text/vocabulary.h"

namespace localai::text {

// Each adds what it reads to `spec`. Errors: kCorrupt; kUnsupported naming the step.
Status read_normalizer(const JsonElement& step, VocabularySpec& spec);
Status read_pre_tokenizer(const JsonElement& step, VocabularySpec& spec);
// Sets bos and eos with add_bos and add_eos. Needs spec.tokens.
Status read_post_processor(const JsonElement& step, VocabularySpec& spec);
Status read_decoder(const JsonElement& step, VocabularySpec& spec);

// A Metaspace step, as pre-tokenizer or decoder. `prepend_scheme` is "always" where a file from
// before that field has add_prefix_space. Errors: kUnsupported (another character than U+2581).
Result<std::string> read_prepend_scheme(const JsonObject& metaspace);

// Sequences may be nested; deeper than any real file is refused.
inline constexpr int kSequenceDepthMax = 8;

// Calls read(object, type) for the step, or for each step of a Sequence.
template <class Read>
Status each_step(const JsonElement& step, const char* list, const Read& read, int depth = 0) {
  JsonObject object;
  if (step.get(object) != simdjson::SUCCESS) return corrupt("a step is not an object");
  LAI_TRY(const auto type, json_get<std::string_view>(object, "type", ""));
  if (type != "Sequence") return read(object, type);
  if (depth == kSequenceDepthMax) return unsupported("sequences nested too deep");
  LAI_TRY(const auto steps, json_require<simdjson::dom::array>(object, list));
  for (const JsonElement inner : steps) {
    LAI_TRY_STATUS(each_step(inner, list, read, depth + 1));
  }
  return Ok{};
}

}  // namespace localai::text
