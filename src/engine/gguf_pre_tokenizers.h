#pragma once
// What the names in tokenizer.ggml.pre stand for.
#include <string>

#include "base/result.h"
#include "text/vocabulary.h"

namespace localai::engine {

// Adds the pre-tokenizer's steps to `spec`, and the flags that go with the name: ignore_merges,
// add_bos. An empty name (a file from before the key) is "default".
// Errors: kUnsupported, with the name.
Status use_gguf_pre_tokenizer(const std::string& name, text::VocabularySpec& spec);

// The reverse: a name for what `spec` does, its ignore_merges included, or "" when there is none.
std::string gguf_pre_tokenizer_name(const text::VocabularySpec& spec);

}  // namespace localai::engine
