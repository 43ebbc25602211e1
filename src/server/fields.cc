#include "server/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/utf8.h"

namespace localai::server {
namespace {

constexpr size_t kMessageBytesShown = 300;

}  // namespace

std::variant<Json, ApiError> parse_body(std::string_view body) {
  const auto fault = [](std::string message) {
    ApiError error;
    error.message = std::move(message);
    error.code = "invalid_json";
    return error;
  };
  if (!is_valid_utf8(body)) return fault("the body is not valid UTF-8");
  Result<Json> json = parse_json(body);
  if (!json.ok()) {
    std::string message = sanitize_utf8(json.error().message.substr(0, kMessageBytesShown));
    return fault(std::move(message));
  }
  if (!json->is_object())
    return fault(fmt::format("the body must be a JSON object, got {}", json_kind(*json)));
  return std::move(*json);
}

std::string_view json_kind(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_float:
      return "a fraction";
    default:
      return "a number";
  }
}

Fields::Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {}

const Json* Fields::any(std::string_view name) {
  known_.push_back(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<double> Fields::number(std::string_view name, double low, double high) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    wrong_type(name, *value, "a number");
    return std::nullopt;
  }
  const auto out = value->get<double>();
  if (std::isfinite(out) && out >= low && out <= high) return out;
  fail(name, fmt::format("{} is not within {}..{}", out, low, high), "invalid_value");
  return std::nullopt;
}

std::optional<int64_t> Fields::integer(std::string_view name, int64_t low, int64_t high) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_integer()) {
    wrong_type(name, *value, "an integer");
    return std::nullopt;
  }
  const bool fits =
      !value->is_number_unsigned() || value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX);
  if (fits && value->get<int64_t>() >= low && value->get<int64_t>() <= high)
    return value->get<int64_t>();
  fail(name, fmt::format("{} is not within {}..{}", value->dump(), low, high), "invalid_value");
  return std::nullopt;
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  wrong_type(name, *value, "a boolean");
  return std::nullopt;
}

std::optional<std::string> Fields::string(std::string_view name, size_t bytes_max) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    wrong_type(name, *value, "a string");
    return std::nullopt;
  }
  const auto& text = value->get_ref<const std::string&>();
  if (text.size() <= bytes_max) return text;
  fail(name, fmt::format("{} bytes are more than {}", text.size(), bytes_max), "invalid_value");
  return std::nullopt;
}

void Fields::unsupported(std::string_view name, const Json& harmless) {
  const Json* value = any(name);
  if (value == nullptr || (!harmless.is_null() && *value == harmless)) return;
  fail(name,
       harmless.is_null() ? "is not supported by this server"
                          : fmt::format("only {} is supported by this server", harmless.dump()),
       "unsupported_parameter");
}

void Fields::fail(std::string_view name, std::string_view message, std::string_view code) {
  fail(bad_field(path_ + std::string(name), message, code));
}

void Fields::fail(ApiError error) {
  if (!error_) error_ = std::move(error);
}

void Fields::wrong_type(std::string_view name, const Json& value, std::string_view wanted) {
  fail(name, fmt::format("must be {}, got {}", wanted, json_kind(value)), "invalid_type");
}

void Fields::finish() {
  constexpr size_t kNameBytesShown = 64;
  for (const auto& [name, value] : object_.items()) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    const std::string shown = name.size() <= kNameBytesShown
                                  ? name
                                  : "a name of " + std::to_string(name.size()) + " bytes";
    fail(shown, "unknown field", "unknown_parameter");
    return;
  }
}

}  // namespace localai::server
