#include "engine/convert/sentence_files.h"

#include <span>
#include <system_error>

#include "base/file.h"
#include "base/json.h"

namespace localai::engine {
namespace {

Json module_entry(int index, const char* path, const char* type) {
  return {{"idx", index},
          {"name", std::to_string(index)},
          {"path", path},
          {"type", std::string("sentence_transformers.models.") + type}};
}

Status write_json(const std::filesystem::path& path, const Json& value) {
  const std::string text = dump_json(value, 2) + "\n";
  return write_file_atomically(path, std::as_bytes(std::span(text)));
}

}  // namespace

Status write_sentence_files(const std::filesystem::path& directory,
                            const models::Hyperparameters& hyper, models::Pooling pooling,
                            uint32_t tokens_max) {
  std::error_code error;
  std::filesystem::create_directory(directory / "1_Pooling", error);
  if (error) return Error{Code::kInternal, directory.string() + ": " + error.message()};
  const Json modules =
      Json::array({module_entry(0, "", "Transformer"), module_entry(1, "1_Pooling", "Pooling"),
                   module_entry(2, "2_Normalize", "Normalize")});
  LAI_TRY_STATUS(write_json(directory / "modules.json", modules));
  LAI_TRY_STATUS(write_json(directory / "1_Pooling" / "config.json",
                            {{"word_embedding_dimension", hyper.hidden},
                             {"pooling_mode_cls_token", pooling == models::Pooling::kFirstToken},
                             {"pooling_mode_mean_tokens", pooling == models::Pooling::kMean},
                             {"pooling_mode_max_tokens", false},
                             {"pooling_mode_mean_sqrt_len_tokens", false}}));
  return write_json(directory / "sentence_bert_config.json",
                    {{"max_seq_length", tokens_max}, {"do_lower_case", false}});
}

}  // namespace localai::engine
