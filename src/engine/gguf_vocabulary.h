#pragma once
// tokenizer.ggml.* metadata of a GGUF file -> VocabularySpec.
#include <string>

#include "base/result.h"
#include "formats/gguf.h"
#include "text/vocabulary.h"

namespace localai::engine {

// Errors name the file and the key: kNotFound (no tokenizer in the file), kCorrupt, kUnsupported
// (a tokenizer model or pre-tokenizer that is not known, by name).
Result<text::VocabularySpec> read_gguf_vocabulary(const formats::GgufFile& file);

// The reverse for pre-tokenizers: the name in tokenizer.ggml.pre of what `spec` does (with or
// without ignore_merges), or "" when none does.
std::string gguf_pre_tokenizer_name(const text::VocabularySpec& spec);

// Tokens that end an answer by their text alone, in models that do not say so elsewhere.
bool text_ends_generation(std::string_view token_text);

}  // namespace localai::engine
