#pragma once
// JSON, wrapped: one type (key order kept) and one checked way in. nlohmann/json does the work.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/result.h"

namespace localai {

using Json = nlohmann::ordered_json;

struct JsonLimits {
  uint32_t depth_max = 64;  // nesting of arrays and objects; deeper input is refused, not recursed
  // Members of one object. Look-up in an ordered object is linear, so building one is quadratic.
  uint32_t members_max = 10'000;
  bool duplicate_keys = false;  // accept `{"a":1,"a":2}` (the last wins)?
};

// Parses untrusted text. Errors: kInvalidArgument with line and column, or the repeated key.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

// The text of `value`. Bytes that are not UTF-8 become U+FFFD. indent < 0: one line.
std::string dump_json(const Json& value, int indent = -1);

}  // namespace localai
