#pragma once
// Optional fields of a simdjson object, with their type checked. For tokenizer.json, which is too
// long for the general JSON type.
#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace localai::text {

using JsonObject = simdjson::dom::object;
using JsonElement = simdjson::dom::element;

// The field's value; nothing when it is absent or null.
inline std::optional<JsonElement> json_field(const JsonObject& object, std::string_view key) {
  JsonElement value;
  if (object.at_key(key).get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
  return value;
}

// The same as a T (bool, double, std::string_view), or `absent`.
// Errors: kCorrupt, naming the key.
template <class T>
Result<T> json_get(const JsonObject& object, std::string_view key, T absent) {
  const auto value = json_field(object, key);
  if (!value) return absent;
  T out;
  if (value->get(out) != simdjson::SUCCESS)
    return corrupt("'" + std::string(key) + "' has the wrong type");
  return out;
}

// The same for what must be there: objects and arrays have no empty value of their own.
template <class T>
Result<T> json_require(const JsonObject& object, std::string_view key) {
  T out;
  if (object.at_key(key).get(out) != simdjson::SUCCESS)
    return corrupt("'" + std::string(key) + "' is missing, or of the wrong type");
  return out;
}

}  // namespace localai::text
