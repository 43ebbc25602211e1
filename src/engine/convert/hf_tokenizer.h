#pragma once
// VocabularySpec (of a GGUF file) -> tokenizer files of a Hugging Face directory.
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "text/vocabulary.h"

namespace localai::engine {

// tokenizer.json. Errors: kCorrupt (two tokens with one text); kUnsupported (special tokens of
// WordPiece that are none).
Result<std::string> make_tokenizer_json(const text::VocabularySpec& spec);

Json make_tokenizer_config(const text::VocabularySpec& spec, const std::string& chat_template,
                           uint32_t context);
// generation_config.json: what ends an answer.
Json make_generation_config(const text::VocabularySpec& spec);

// The merges that scores stand for: every split of a token into two others, best-scored token
// first.
std::vector<std::pair<std::string, std::string>> merges_of_scores(const text::VocabularySpec& spec);

}  // namespace localai::engine
