#include "models/metadata.h"

#include <cmath>
#include <utility>

namespace localai::models {
namespace {

const Json* member(const Json& object, std::string_view key) {
  const auto found = object.find(std::string(key));
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// The one value of an array that holds a number per layer.
Result<std::optional<uint64_t>> uniform(const formats::GgufArray& array, const std::string& where) {
  std::optional<uint64_t> value;
  for (size_t i = 0; i < array.size(); ++i) {
    const std::optional<int64_t> element = array.integer(i);
    if (!element || *element < 0) return corrupt(where + ": an array of non-integers");
    const auto n = static_cast<uint64_t>(*element);
    if (value && *value != n)
      return unsupported(where + ": " + std::to_string(*value) + " in one layer and " +
                         std::to_string(n) + " in another; only equal layers are supported");
    value = n;
  }
  return value;
}

}  // namespace

Metadata::Metadata(const formats::Checkpoint& checkpoint)
    : checkpoint_(checkpoint), prefix_(checkpoint.architecture() + ".") {
  if (is_gguf()) return;
  config_ = &checkpoint_.safetensors()->config();
  if (!config_->is_object()) {
    config_ = nullptr;
    return;
  }
  const Json* text = member(*config_, "text_config");
  if (text != nullptr && text->is_object()) config_ = text;
}

std::string Metadata::gguf_key(std::string_view suffix) const {
  return prefix_ + std::string(suffix);
}

std::string Metadata::describe(Key key) const {
  return is_gguf() ? "key '" + gguf_key(key.gguf) + "'"
                   : "config.json: key '" + std::string(key.config) + "'";
}

Error Metadata::error(Code code, Key key, const std::string& what) const {
  return {code, file() + ": " + describe(key) + ": " + what};
}

const Json* Metadata::config(std::string_view key) const {
  return config_ == nullptr || key.empty() ? nullptr : member(*config_, key);
}

bool Metadata::config_says_null(std::string_view key) const {
  if (config_ == nullptr) return false;
  const auto found = config_->find(std::string(key));
  return found != config_->end() && found->is_null();
}

Result<std::optional<uint64_t>> Metadata::unsigned_integer(Key key) const {
  if (is_gguf()) {
    if (key.gguf.empty()) return std::optional<uint64_t>();
    const formats::GgufFile& gguf = *checkpoint_.gguf();
    const formats::GgufValue* value = gguf.find(gguf_key(key.gguf));
    if (value != nullptr)
      if (const auto* array = std::get_if<formats::GgufArray>(value))
        return uniform(*array, file() + ": " + describe(key));
    return gguf.unsigned_integer(gguf_key(key.gguf));
  }
  const Json* value = config(key.config);
  if (value == nullptr) return std::optional<uint64_t>();
  if (!value->is_number_unsigned())
    return error(Code::kCorrupt, key, "expected a whole number, got " + dump_json(*value));
  return std::optional<uint64_t>(value->get<uint64_t>());
}

Result<std::optional<double>> Metadata::number(Key key) const {
  if (!is_gguf())
    return config_ == nullptr || key.config.empty()
               ? std::optional<double>()
               : json_number(*config_, key.config, file() + ": config.json");
  if (key.gguf.empty()) return std::optional<double>();
  LAI_TRY(const std::optional<double> value, checkpoint_.gguf()->number(gguf_key(key.gguf)));
  if (value && !std::isfinite(*value)) return error(Code::kCorrupt, key, "not a finite number");
  return value;
}

Result<std::optional<bool>> Metadata::boolean(Key key) const {
  if (is_gguf())
    return key.gguf.empty() ? std::optional<bool>()
                            : checkpoint_.gguf()->boolean(gguf_key(key.gguf));
  const Json* value = config(key.config);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean())
    return error(Code::kCorrupt, key, "expected true or false, got " + dump_json(*value));
  return std::optional<bool>(value->get<bool>());
}

Result<std::optional<std::string>> Metadata::string(Key key) const {
  if (is_gguf())
    return key.gguf.empty() ? std::optional<std::string>()
                            : checkpoint_.gguf()->string(gguf_key(key.gguf));
  return config_ == nullptr || key.config.empty()
             ? std::optional<std::string>()
             : json_string(*config_, key.config, file() + ": config.json");
}

Result<std::optional<std::vector<bool>>> Metadata::flags(std::string_view key) const {
  if (!is_gguf()) return std::optional<std::vector<bool>>();
  const formats::GgufValue* value = checkpoint_.gguf()->find(gguf_key(key));
  const auto* array = value == nullptr ? nullptr : std::get_if<formats::GgufArray>(value);
  if (array == nullptr) return std::optional<std::vector<bool>>();
  std::vector<bool> out;
  for (size_t i = 0; i < array->size(); ++i) {
    const std::optional<int64_t> flag = array->integer(i);
    if (!flag) return error(Code::kCorrupt, {key, ""}, "expected an array of booleans");
    out.push_back(*flag != 0);
  }
  return std::optional<std::vector<bool>>(std::move(out));
}

Result<std::vector<uint64_t>> Metadata::per_layer(Key key, uint32_t layers) const {
  const formats::GgufValue* value =
      is_gguf() ? checkpoint_.gguf()->find(gguf_key(key.gguf)) : nullptr;
  const auto* array = value == nullptr ? nullptr : std::get_if<formats::GgufArray>(value);
  if (array == nullptr) {
    LAI_TRY(const std::optional<uint64_t> all, unsigned_integer(key));
    if (!all) return error(Code::kCorrupt, key, "missing");
    return std::vector<uint64_t>(layers, *all);
  }
  if (array->size() != layers)
    return error(
        Code::kCorrupt, key,
        std::to_string(array->size()) + " entries for " + std::to_string(layers) + " layers");
  std::vector<uint64_t> out;
  for (size_t i = 0; i < array->size(); ++i) {
    const std::optional<int64_t> element = array->integer(i);
    if (!element || *element < 0) return error(Code::kCorrupt, key, "expected whole numbers");
    out.push_back(static_cast<uint64_t>(*element));
  }
  return out;
}

Result<uint32_t> Metadata::dimension(Key key, uint64_t max, uint64_t fallback) const {
  LAI_TRY(const std::optional<uint64_t> stated, unsigned_integer(key));
  if (!stated && fallback == 0) return error(Code::kCorrupt, key, "missing");
  const uint64_t value = stated.value_or(fallback);
  if (value < 1 || value > max)
    return error(Code::kCorrupt, key,
                 std::to_string(value) + " is not within 1.." + std::to_string(max));
  return static_cast<uint32_t>(value);
}

Result<double> Metadata::number_or(Key key, double fallback) const {
  LAI_TRY(const std::optional<double> stated, number(key));
  return stated.value_or(fallback);
}

Result<std::optional<double>> json_number(const Json& object, std::string_view key,
                                          const std::string& where) {
  const Json* value = member(object, key);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number() || !std::isfinite(value->get<double>()))
    return corrupt(where + ": key '" + std::string(key) + "': expected a number, got " +
                   dump_json(*value));
  return std::optional<double>(value->get<double>());
}

Result<std::optional<std::string>> json_string(const Json& object, std::string_view key,
                                               const std::string& where) {
  const Json* value = member(object, key);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string())
    return corrupt(where + ": key '" + std::string(key) + "': expected a string, got " +
                   dump_json(*value));
  return std::optional<std::string>(value->get<std::string>());
}

}  // namespace localai::models
