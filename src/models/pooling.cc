#include "models/pooling.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/json.h"
#include "models/metadata.h"

namespace localai::models {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kConfigBytesMax = 1u << 20;

Result<Pooling> read_gguf_pooling(const Metadata& metadata) {
  constexpr Key kType{"pooling_type", ""};
  LAI_TRY(const std::optional<uint64_t> type, metadata.unsigned_integer(kType));
  constexpr uint64_t kNone = 0, kMean = 1, kCls = 2;  // llama.cpp's numbers
  const uint64_t chosen = type.value_or(kNone);
  if (chosen == kNone || chosen == kMean) return Pooling::kMean;
  if (chosen == kCls) return Pooling::kFirstToken;
  return metadata.error(Code::kUnsupported, kType,
                        std::to_string(chosen) + " is not supported (1, mean, and 2, cls, are)");
}

// Older files hold a flag a mode, newer ones its name.
Result<Pooling> pooling_of(const Json& config, const std::string& where) {
  if (!config.is_object()) return corrupt(where + ": expected an object");
  LAI_TRY(const std::optional<std::string> mode, json_string(config, "pooling_mode", where));
  std::string chosen = mode.value_or("");
  for (const auto& [key, value] : config.items()) {
    constexpr std::string_view kPrefix = "pooling_mode_";
    if (!key.starts_with(kPrefix) || value != true) continue;
    chosen += (chosen.empty() ? "" : "+") + key.substr(kPrefix.size());
  }
  if (chosen.empty() || chosen == "mean" || chosen == "mean_tokens") return Pooling::kMean;
  if (chosen == "cls" || chosen == "cls_token") return Pooling::kFirstToken;
  return unsupported(where + ": pooling '" + chosen + "' is not supported (mean and cls are)");
}

// A JSON file of sentence-transformers; null when it is not there.
Result<Json> read_optional(const fs::path& path) {
  const Result<std::string> text = read_file(path, kConfigBytesMax);
  if (!text.ok() && text.error().code == Code::kNotFound) return Json();
  if (!text.ok()) return text.error();
  LAI_TRY(Json value, parse_json(*text), path.string());
  return value;
}

// Where the Pooling module's configuration is. Vectors always get length 1 here, whether there is a
// Normalize module or not.
Result<fs::path> pooling_folder(const fs::path& directory) {
  const fs::path file = directory / "modules.json";
  LAI_TRY(const Json modules, read_optional(file));
  if (modules.is_null()) return directory / "1_Pooling";
  if (!modules.is_array()) return corrupt(file.string() + ": expected an array");
  std::optional<fs::path> folder;
  for (const Json& module : modules) {
    if (!module.is_object()) return corrupt(file.string() + ": expected an array of objects");
    LAI_TRY(const auto type, json_string(module, "type", file.string()));
    LAI_TRY(const auto path, json_string(module, "path", file.string()));
    const std::string name = type.value_or("").substr(type.value_or("").rfind('.') + 1);
    if (name == "Transformer" || name == "Normalize") continue;
    if (name != "Pooling")
      return unsupported(file.string() + ": module '" + name +
                         "' is not supported (Transformer, Pooling and Normalize are)");
    folder = path.value_or("");
    const bool inside =
        folder->is_relative() && std::find(folder->begin(), folder->end(), "..") == folder->end();
    if (!inside) return corrupt(file.string() + ": path '" + *path + "' is not a folder beside it");
  }
  if (!folder) return unsupported(file.string() + ": has no Pooling module");
  return directory / *folder;
}

}  // namespace

Result<Pooling> read_pooling(const formats::Checkpoint& checkpoint) {
  if (checkpoint.gguf() != nullptr) return read_gguf_pooling(Metadata(checkpoint));
  LAI_TRY(const fs::path folder, pooling_folder(checkpoint.safetensors()->directory()));
  const fs::path path = folder / "config.json";
  LAI_TRY(const Json config, read_optional(path));
  return config.is_null() ? Result<Pooling>(Pooling::kMean) : pooling_of(config, path.string());
}

Result<uint32_t> read_tokens_max(const formats::Checkpoint& checkpoint, uint32_t context) {
  if (checkpoint.gguf() != nullptr) {
    LAI_TRY(const auto most, checkpoint.gguf()->unsigned_integer(kKeyTokensMax));
    if (most == uint64_t{0}) return corrupt(checkpoint.path().string() + ": max_seq_length is 0");
    return static_cast<uint32_t>(std::min<uint64_t>(most.value_or(context), context));
  }
  const fs::path path = checkpoint.safetensors()->directory() / "sentence_bert_config.json";
  LAI_TRY(const Json config, read_optional(path));
  if (config.is_null()) return context;
  const auto found = config.is_object() ? config.find("max_seq_length") : config.end();
  if (found == config.end() || found->is_null()) return context;
  if (!found->is_number_integer() || *found < 1)
    return corrupt(path.string() + ": max_seq_length: expected a positive integer, got " +
                   dump_json(*found));
  return static_cast<uint32_t>(std::min<uint64_t>(found->get<uint64_t>(), context));
}

}  // namespace localai::models
