#pragma once
// Tokenizer files of a Hugging Face model directory -> VocabularySpec and chat template.
#include <filesystem>
#include <string>

#include "base/result.h"
#include "text/vocabulary.h"

namespace localai::engine {

struct DirectoryVocabulary {
  text::VocabularySpec spec;
  std::string chat_template;       // "" when the model has none
  std::string bos_text, eos_text;  // as the configuration spells them; "" when it does not
};

// tokenizer.json, else tokenizer.model; tokenizer_config.json, special_tokens_map.json,
// generation_config.json and config.json for what those do not say. Errors name the file:
// kNotFound (no tokenizer in the directory), kCorrupt, kUnsupported.
Result<DirectoryVocabulary> read_directory_vocabulary(const std::filesystem::path& directory);

}  // namespace localai::engine
