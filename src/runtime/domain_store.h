#pragma once
// Where the domains that were created, changed or removed over the API are kept. Append-only: every
// change is a new version of one domain, and the rows are the audit trail as well.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace localai::runtime {

// The newest version of a domain.
struct StoredDomain {
  std::string id;
  uint64_t version = 0;
  std::optional<Json> config;  // nothing: it was removed
  bool operator==(const StoredDomain&) const = default;
};

// A change that is to be kept.
struct DomainWrite {
  std::string id;
  uint64_t replaces = 0;  // the version that must be the newest; 0: the id must be new here
  std::string action;     // "create", "update", "delete"
  std::optional<Json> config = {};          // nothing: the domain is removed
  Json before = {};                         // the config until now; null: there was none
  Json metadata = {};                       // the client's own, or null
  std::string actor = {}, request_id = {};  // who
};

// A change that was kept.
struct StoredChange {
  uint64_t sequence = 0;  // over all domains, ascending
  double time_unix = 0;
  std::string id;
  uint64_t version = 0;
  std::string action, actor, request_id;
  Json config, before, metadata;  // null: none
};

struct ChangeQuery {
  std::string id;        // "": of all domains
  uint64_t version = 0;  // 0: all
  uint64_t before = 0;   // only those with a smaller sequence; 0: from the newest on
  uint32_t limit = 100;
};

// Not thread-safe, and its calls block: one thread that waits for nothing else owns it. Errors of
// all calls: kUnavailable, saying which store and why; the next call tries again.
class DomainStore {
 public:
  virtual ~DomainStore() = default;
  virtual Result<std::vector<StoredDomain>> list() = 0;  // by id
  // Differs after every change, whoever made it. 0: there was none.
  virtual Result<uint64_t> revision() = 0;
  // Keeps the change and returns its version, replaces + 1; nothing when `replaces` is not the
  // newest version.
  virtual Result<std::optional<uint64_t>> append(const DomainWrite& write) = 0;
  virtual Result<std::vector<StoredChange>> changes(const ChangeQuery& query) = 0;  // newest first
};

// kRead: nothing is made or changed, tables included, and append() is refused.
enum class StoreAccess : uint8_t { kChange, kRead };

// One SQLite file, made with its folder at the first change; without it there are no domains. A
// file that goes while it is in use is an error until it is back: its domains were not removed.
std::unique_ptr<DomainStore> make_sqlite_domain_store(std::filesystem::path file,
                                                      StoreAccess access = StoreAccess::kChange);
// Tables of a PostgreSQL database, made at the first connection. `dsn`: a URL or key=value pairs.
// Errors: kInvalidArgument (neither of them); it does not connect.
Result<std::unique_ptr<DomainStore>> make_postgres_domain_store(
    std::string dsn, StoreAccess access = StoreAccess::kChange);

}  // namespace localai::runtime
