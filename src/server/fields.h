#pragma once
// Reads one JSON object of a request field by field: types, ranges, and at the end whatever nobody
// asked for. The first fault is kept; reading on after it is harmless.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "server/api_error.h"

namespace localai::server {

class Fields {
 public:
  // `path` stands before every name in messages: "" or "messages[2]." `object` must be an object
  // and outlive this.
  Fields(const Json& object, std::string path);

  // Each returns nothing when the field is absent, null or faulty.
  const Json* any(std::string_view name);
  std::optional<double> number(std::string_view name, double low, double high);
  std::optional<int64_t> integer(std::string_view name, int64_t low, int64_t high);
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::string> string(std::string_view name, size_t bytes_max);
  // Known to the API, but not done here: any value but null is a fault. With `harmless`, that value
  // asks for nothing special and passes.
  void unsupported(std::string_view name, const Json& harmless = nullptr);

  void fail(std::string_view name, std::string_view message, std::string_view code);
  void fail(ApiError error);
  // Faults on every field that was not asked for by name.
  void finish();
  [[nodiscard]] const std::optional<ApiError>& error() const { return error_; }

 private:
  void wrong_type(std::string_view name, const Json& value, std::string_view wanted);

  const Json& object_;
  std::string path_;
  std::vector<std::string_view> known_;
  std::optional<ApiError> error_;
};

// The JSON object of a request's body, or what is wrong with it.
std::variant<Json, ApiError> parse_body(std::string_view body);

// "a string", "an array", ... for messages.
std::string_view json_kind(const Json& value);

}  // namespace localai::server
