#pragma once
// Every key that a config file may hold, once: the parser, the published JSON Schema
// (config/domains.schema.json) and docs/CONFIGURATION.md all follow these tables.
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace localai::runtime {

enum class ValueKind : uint8_t {
  kString,
  kBool,
  kInteger,     // within min..max
  kNumber,      // within min..max
  kStringList,  // array of strings
  kNumberMap,   // object: string -> number
  kObject,      // with the keys of `nested`
  kTeams,       // object: layer -> team -> array of domain ids
  kDomains,     // object: id -> domain
};

struct KeySpec {
  std::string_view name;
  ValueKind kind;
  std::string_view meaning;  // one line, for the schema and the reference page
  double min = 0;
  double max = std::numeric_limits<double>::infinity();
  std::span<const KeySpec> nested = {};
};

std::span<const KeySpec> file_keys();    // of the whole file
std::span<const KeySpec> domain_keys();  // of one domain

const KeySpec* find_key(std::span<const KeySpec> keys, std::string_view name);
// The known key that is the fewest edits away (insert, delete, replace, swap of neighbours), when
// that is at most a third of the name's length (at least two edits are allowed); else "".
std::string_view nearest_key(std::span<const KeySpec> keys, std::string_view name);

// Does `value` have the key's kind and range? The error names the key, the value and the allowed
// ones. null is always fine: it means "not set".
Status check_value(const KeySpec& key, const Json& value);

// The JSON Schema (draft 2020-12) of a config file.
Json domain_config_schema();

}  // namespace localai::runtime
