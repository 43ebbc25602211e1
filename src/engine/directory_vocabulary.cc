#include "engine/directory_vocabulary.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <system_error>

#include "base/file.h"
#include "base/json.h"
#include "engine/gguf_vocabulary.h"
#include "text/tokenizer.h"

namespace localai::engine {
namespace {

using text::TokenId;
using text::TokenType;
using text::VocabularySpec;

constexpr uint64_t kFileBytesMax = uint64_t{256} << 20;

// The file as text, or nothing when it is not there.
Result<std::optional<std::string>> read_optional(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::optional<std::string>();
  LAI_TRY(std::string text, read_file(path, kFileBytesMax));
  return std::optional<std::string>(std::move(text));
}

// A JSON object, {} when the file is not there.
Result<Json> read_json(const std::filesystem::path& path) {
  LAI_TRY(const auto text, read_optional(path));
  if (!text) return Json(Json::object());
  LAI_TRY(Json value, parse_json(*text, {.depth_max = 64, .duplicate_keys = true}), path.string());
  if (!value.is_object()) return corrupt(path.string() + ": not a JSON object");
  return value;
}

// "bos_token" is a string, or an object with its "content".
std::string token_text(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_object()) return "";
  const auto content = found->find("content");
  return content != found->end() && content->is_string() ? content->get<std::string>() : "";
}

std::optional<TokenId> id_of(const VocabularySpec& spec, std::string_view text) {
  const auto found = std::find(spec.tokens.begin(), spec.tokens.end(), text);
  if (text.empty() || found == spec.tokens.end()) return std::nullopt;
  return static_cast<TokenId>(found - spec.tokens.begin());
}

void add_end(VocabularySpec& spec, TokenId id) {
  auto& ends = spec.end_of_generation;
  if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
}

// "eos_token_id": a number or a list. Ids past the vocabulary (of other modalities) are left out.
void add_ends(const Json& config, VocabularySpec& spec) {
  const auto found = config.find("eos_token_id");
  if (found == config.end()) return;
  for (const Json& id : found->is_array() ? *found : Json::array({*found}))
    if (id.is_number_integer() && id >= 0 && id < spec.tokens.size())
      add_end(spec, id.get<TokenId>());
}

Result<VocabularySpec> read_spec(const std::filesystem::path& directory) {
  const std::filesystem::path json = directory / "tokenizer.json";
  LAI_TRY(const auto text, read_optional(json));
  if (text) {
    LAI_TRY(VocabularySpec spec, text::parse_tokenizer_json(*text), json.string());
    return spec;
  }
  const std::filesystem::path model = directory / "tokenizer.model";
  LAI_TRY(const auto bytes, read_optional(model));
  if (!bytes)
    return not_found(directory.string() + ": has neither tokenizer.json nor tokenizer.model");
  LAI_TRY(VocabularySpec spec, text::parse_sentencepiece_model(*bytes), model.string());
  return spec;
}

// The template of a model: its own file, a string, or the one called "default" of a list.
Result<std::string> read_template(const std::filesystem::path& directory, const Json& config) {
  LAI_TRY(auto own, read_optional(directory / "chat_template.jinja"));
  if (own) return std::move(*own);
  const auto found = config.find("chat_template");
  if (found == config.end()) return std::string();
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array())
    for (const Json& entry : *found)
      if (entry.is_object() && token_text(entry, "name") == "default")
        return token_text(entry, "template");
  return std::string();
}

// add_bos_token and add_eos_token, where either is given, replace what tokenizer.json says of both.
void read_flags(const Json& config, VocabularySpec& spec) {
  const auto flag = [&](const char* key) -> std::optional<bool> {
    const auto found = config.find(key);
    if (found == config.end() || !found->is_boolean()) return std::nullopt;
    return found->get<bool>();
  };
  const auto bos = flag("add_bos_token"), eos = flag("add_eos_token");
  if (!bos && !eos) return;
  spec.add_bos = bos.value_or(false) && spec.bos.has_value();
  spec.add_eos = eos.value_or(false) && spec.eos.has_value();
}

Status read_special_tokens(const std::filesystem::path& directory, const Json& config,
                           DirectoryVocabulary& out) {
  LAI_TRY(const Json map, read_json(directory / "special_tokens_map.json"));
  const auto text = [&](const char* key) {
    const std::string own = token_text(config, key);
    return own.empty() ? token_text(map, key) : own;
  };
  VocabularySpec& spec = out.spec;
  out.bos_text = text("bos_token");
  out.eos_text = text("eos_token");
  if (const auto id = id_of(spec, out.bos_text)) spec.bos = id;
  if (const auto id = id_of(spec, out.eos_text)) spec.eos = id;
  if (const auto id = id_of(spec, text("pad_token"))) spec.pad = id;
  read_flags(config, spec);
  if (spec.eos) add_end(spec, *spec.eos);
  for (const char* name : {"generation_config.json", "config.json"}) {
    LAI_TRY(const Json file, read_json(directory / name));
    add_ends(file, spec);
    if (const auto inner = file.find("text_config"); inner != file.end() && inner->is_object())
      add_ends(*inner, spec);
  }
  for (size_t id = 0; id < spec.types.size(); ++id)
    if ((spec.types[id] == TokenType::kControl || spec.types[id] == TokenType::kUserDefined) &&
        text_ends_generation(spec.tokens[id]))
      add_end(spec, static_cast<TokenId>(id));
  return Ok{};
}

// sentence-transformers lowers the case of a text before its tokenizer where do_lower_case says so.
Status read_lower_case(const std::filesystem::path& directory, VocabularySpec& spec) {
  using text::NormalizerStep;
  LAI_TRY(const Json config, read_json(directory / "sentence_bert_config.json"));
  const auto found = config.find("do_lower_case");
  if (found == config.end() || *found != true) return Ok{};
  for (const NormalizerStep& step : spec.normalizer)
    if (step.kind == NormalizerStep::Kind::kLowercase) return Ok{};
  spec.normalizer.insert(spec.normalizer.begin(), {NormalizerStep::Kind::kLowercase});
  return Ok{};
}

}  // namespace

Result<DirectoryVocabulary> read_directory_vocabulary(const std::filesystem::path& directory) {
  DirectoryVocabulary out;
  LAI_TRY(out.spec, read_spec(directory));
  LAI_TRY(const Json config, read_json(directory / "tokenizer_config.json"));
  LAI_TRY_STATUS(read_special_tokens(directory, config, out));
  LAI_TRY_STATUS(read_lower_case(directory, out.spec));
  LAI_TRY(out.chat_template, read_template(directory, config));
  return out;
}

}  // namespace localai::engine
