#include "models/pooling.h"

#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/json.h"
#include "models/metadata.h"

namespace localai::models {
namespace {

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

}  // namespace

Result<Pooling> read_pooling(const formats::Checkpoint& checkpoint) {
  if (checkpoint.gguf() != nullptr) return read_gguf_pooling(Metadata(checkpoint));
  const auto path = checkpoint.safetensors()->directory() / "1_Pooling" / "config.json";
  const Result<std::string> text = read_file(path, kConfigBytesMax);
  if (!text.ok() && text.error().code == Code::kNotFound) return Pooling::kMean;
  if (!text.ok()) return text.error();
  LAI_TRY(const Json config, parse_json(*text), path.string());
  return pooling_of(config, path.string());
}

}  // namespace localai::models
