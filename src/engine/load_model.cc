#include <utility>

#include "engine/engine.h"

namespace localai::engine {

void LoadedModel::set_text(TextModel text) {
  tokenizer = std::move(text.tokenizer);
  chat_template = std::move(text.chat_template);
  bos_text = std::move(text.bos_text);
  eos_text = std::move(text.eos_text);
}

Result<LoadedModel> load_model(const std::filesystem::path& path,
                               const models::ModelOptions& options) {
  LAI_TRY(formats::Checkpoint opened, formats::Checkpoint::open(path));
  LoadedModel out;
  out.precision = options.precision;
  out.checkpoint = std::make_shared<const formats::Checkpoint>(std::move(opened));
  // Weights first: of an unknown architecture, that is the error worth reading.
  LAI_TRY(out.model, models::Model::load(out.checkpoint, options));
  LAI_TRY(TextModel text, load_text_model(*out.checkpoint), path.string());
  out.set_text(std::move(text));
  return out;
}

}  // namespace localai::engine
