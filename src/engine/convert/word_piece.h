#pragma once
// WordPiece vocabularies: tokenizer.json spells what goes on with a word "##x", GGUF spells what
// begins one U+2581 "x".
#include <optional>

#include "base/result.h"
#include "text/bert_steps.h"
#include "text/vocabulary.h"

namespace localai::engine {

// The same vocabulary in the other spelling; special and unused tokens stay as they are. Errors:
// kUnsupported: a pipeline other than BERT's, or a text without [CLS] and [SEP] around it, which
// GGUF readers always add.
Result<text::VocabularySpec> spelled_for_gguf(const text::VocabularySpec& spec);
text::VocabularySpec spelled_for_json(const text::VocabularySpec& spec);

std::optional<text::TokenId> mask_token(const text::VocabularySpec& spec);

// The normalizer that these steps are; nothing when they are not BERT's.
std::optional<text::BertNormalizer> bert_normalizer(const text::VocabularySpec& spec);

}  // namespace localai::engine
