#pragma once
// A change of a domain, as a client asks for it and is told of it.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "runtime/domain_store.h"

namespace localai::runtime {

// What a client asks for.
struct DomainChange {
  enum class Kind : uint8_t { kCreate, kReplace, kRemove };
  Kind kind = Kind::kCreate;
  std::string id;
  Json config = {};                              // of kCreate and kReplace
  std::optional<uint64_t> restore_version = {};  // kReplace: the config of that version instead
  std::optional<uint64_t> expected = {};         // the version that must be the newest
  Json metadata = {};                            // kept with the version; null: none
  std::string actor = {}, request_id = {};
};
struct DomainChanged {
  std::string id;
  uint64_t version = 0;
  // Not "": nothing was changed, because it is there already or at another version than expected.
  std::string conflict = {};
  std::vector<std::string> warnings = {};  // about its config, as for the file
  bool active = false;                     // false: removed, or its enabled_env_var is not set
};
using DomainChangeSink = std::function<void(Result<DomainChanged>)>;
using StoredChangesSink = std::function<void(Result<std::vector<StoredChange>>)>;

}  // namespace localai::runtime
