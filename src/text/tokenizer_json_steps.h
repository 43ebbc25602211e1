#pragma once
// The steps of tokenizer.json around its model: normalizer, pre-tokenizer, post-processor, decoder.
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

}  // namespace localai::text
