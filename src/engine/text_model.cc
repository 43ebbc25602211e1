// Tokenizer and chat template of a model, without its weights.
#include "engine/directory_vocabulary.h"
#include "engine/engine.h"
#include "engine/gguf_vocabulary.h"

namespace localai::engine {
namespace {

std::string text_of(const text::VocabularySpec& spec, std::optional<TokenId> id) {
  return id && static_cast<size_t>(*id) < spec.tokens.size() ? spec.tokens[static_cast<size_t>(*id)]
                                                             : std::string();
}

Result<TextModel> with_tokenizer(TextModel model, text::VocabularySpec spec,
                                 const std::string& where) {
  LAI_TRY(std::unique_ptr<text::Tokenizer> tokenizer, text::Tokenizer::create(std::move(spec)),
          where);
  model.tokenizer = std::move(tokenizer);
  return model;
}

}  // namespace

Result<TextModel> load_text_model(const formats::Checkpoint& checkpoint) {
  if (const formats::GgufFile* file = checkpoint.gguf(); file != nullptr) {
    LAI_TRY(text::VocabularySpec spec, read_gguf_vocabulary(*file));
    LAI_TRY(auto chat_template, file->string("tokenizer.chat_template"));
    TextModel model{nullptr, chat_template.value_or(""), text_of(spec, spec.bos),
                    text_of(spec, spec.eos)};
    return with_tokenizer(std::move(model), std::move(spec), file->name());
  }
  const std::filesystem::path& directory = checkpoint.safetensors()->directory();
  LAI_TRY(DirectoryVocabulary found, read_directory_vocabulary(directory));
  TextModel model{nullptr, std::move(found.chat_template), std::move(found.bos_text),
                  std::move(found.eos_text)};
  return with_tokenizer(std::move(model), std::move(found.spec), directory.string());
}

}  // namespace localai::engine
