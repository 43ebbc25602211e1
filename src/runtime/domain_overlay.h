#pragma once
// The config file and the domain store become one set of domains: pure, so that a change can be
// checked as a whole before it is made.
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/domain_config.h"
#include "runtime/domain_store.h"

namespace localai::runtime {

inline constexpr size_t kDomainIdBytesMax = 128;
inline constexpr size_t kStoredConfigBytesMax = 256u << 10;

// The file with what the store has in its place: a stored domain takes the place of the file's of
// the same id or comes after the file's, by id; one that was removed is not there.
ConfigFile overlay_file(const ConfigFile& file, std::span<const StoredDomain> stored);
// The domains of both, with their versions.
DomainConfig overlay_config(const ConfigFile& file, std::span<const StoredDomain> stored,
                            const Settings& settings, const Environment& environment);

// `stored` with `config` (nothing: removed) as the newest version of a domain.
std::vector<StoredDomain> with_change(std::vector<StoredDomain> stored, const std::string& id,
                                      uint64_t version, std::optional<Json> config);

// May a new domain be called so? Errors: kInvalidArgument.
Status check_new_id(const std::string& id);
// Does the list hold this problem?
bool contains(std::span<const DomainProblem> problems, const DomainProblem& wanted);
// May `next` follow a config with the errors `now` by a change of the domain `id`? Errors:
// kInvalidArgument; one about that domain's config begins with "config.KEY: ".
Status check_change(std::span<const DomainProblem> now, const DomainConfig& next,
                    const std::string& id);

}  // namespace localai::runtime
