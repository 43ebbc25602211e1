#include "runtime/backend_choice.h"

#include "base/file.h"
#include "base/json.h"
#include "models/arch.h"

namespace localai::runtime {
namespace {

constexpr uint64_t kConfigJsonBytesMax = 16u << 20;

std::string model_type_of(const std::filesystem::path& folder) {
  const auto text = read_file(folder / "config.json", kConfigJsonBytesMax);
  if (!text.ok()) return "";
  const auto config = parse_json(*text);
  if (!config.ok() || !config->is_object()) return "";
  const auto type = config->find("model_type");
  return type != config->end() && type->is_string() ? type->get<std::string>() : "";
}

}  // namespace

BackendChoice choose_backend_of(const std::filesystem::path& model) {
  std::error_code error;
  if (!std::filesystem::is_directory(model, error)) return {false, "", "a file"};
  BackendChoice out;
  out.architecture = model_type_of(model);
  if (out.architecture.empty()) {
    out.reason = "its config.json names no architecture";
    return out;
  }
  out.service = models::find_architecture(out.architecture, /*gguf=*/false) == nullptr;
  out.reason = "the native engine " + std::string(out.service ? "does not have" : "has") +
               " architecture '" + out.architecture + "'";
  return out;
}

}  // namespace localai::runtime
