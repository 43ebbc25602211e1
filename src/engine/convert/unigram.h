#pragma once
// Unigram vocabularies: the steps around the model, as GGUF ("t5") and tokenizer.json say them.
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "text/vocabulary.h"

namespace localai::engine {

// What GGUF has keys for.
struct UnigramSteps {
  std::string charsmap;         // SentencePiece's compiled rules; "": none
  bool squeeze_spaces = false;  // remove_extra_whitespaces
  bool space_prefix = false;    // U+2581 before a text, and after special tokens
};

// Errors: kUnsupported: steps that GGUF has no key for, or a model that means something else there.
Result<UnigramSteps> unigram_steps(const text::VocabularySpec& spec);
// The normalizer of tokenizer.json that does the same; its pre-tokenizer is null.
Json unigram_normalizer(const text::VocabularySpec& spec);

}  // namespace localai::engine
