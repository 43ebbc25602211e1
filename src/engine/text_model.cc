// Tokenizer and chat template of a model, without its weights.
#include "engine/engine.h"
#include "engine/gguf_vocabulary.h"

namespace localai::engine {
namespace {

std::string text_of(const text::VocabularySpec& spec, std::optional<TokenId> id) {
  return id && static_cast<size_t>(*id) < spec.tokens.size() ? spec.tokens[static_cast<size_t>(*id)]
                                                             : std::string();
}

Result<TextModel> finish(text::VocabularySpec spec, std::string chat_template,
                         const std::string& where) {
  TextModel out;
  out.chat_template = std::move(chat_template);
  out.bos_text = text_of(spec, spec.bos);
  out.eos_text = text_of(spec, spec.eos);
  LAI_TRY(std::unique_ptr<text::Tokenizer> tokenizer, text::Tokenizer::create(std::move(spec)),
          where);
  out.tokenizer = std::move(tokenizer);
  return out;
}

}  // namespace

Result<TextModel> load_text_model(const formats::Checkpoint& checkpoint) {
  if (const formats::GgufFile* file = checkpoint.gguf(); file != nullptr) {
    LAI_TRY(text::VocabularySpec spec, read_gguf_vocabulary(*file));
    LAI_TRY(auto chat_template, file->string("tokenizer.chat_template"));
    return finish(std::move(spec), chat_template.value_or(""), file->name());
  }
  return unsupported(checkpoint.path().string() +
                     ": the tokenizer of a model directory is not read by this build");
}

}  // namespace localai::engine
