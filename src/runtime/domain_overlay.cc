#include "runtime/domain_overlay.h"

#include <algorithm>
#include <string_view>

#include "runtime/domain_keys.h"

namespace localai::runtime {
namespace {

// "auto" is the router; the others are reserved in paths of the API.
constexpr std::string_view kReservedIds[] = {"auto",   "create", "events", "load",
                                             "loaded", "plan",   "unload"};

bool is_id_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

// "temperature: 5 is not ..." is about that key, "neither ..." about the whole config.
std::string about_config(const std::string& message) {
  const std::string key = message.substr(0, message.find(':'));
  return (find_key(domain_keys(), key) != nullptr ? "config." : "config: ") + message;
}

}  // namespace

ConfigFile overlay_file(const ConfigFile& file, std::span<const StoredDomain> stored) {
  ConfigFile out = file;
  Json& domains = out.root["domains"];
  for (const StoredDomain& domain : stored) {
    if (domain.config)
      domains[domain.id] = *domain.config;
    else
      domains.erase(domain.id);
  }
  return out;
}

DomainConfig overlay_config(const ConfigFile& file, std::span<const StoredDomain> stored,
                            const Settings& settings, const Environment& environment) {
  DomainConfig config = read_domain_config(overlay_file(file, stored), settings, environment);
  for (Domain& domain : config.domains) {
    const auto at = std::find_if(stored.begin(), stored.end(),
                                 [&](const StoredDomain& one) { return one.id == domain.id; });
    if (at != stored.end()) domain.version = at->version;
  }
  return config;
}

std::vector<StoredDomain> with_change(std::vector<StoredDomain> stored, const std::string& id,
                                      uint64_t version, std::optional<Json> config) {
  StoredDomain changed{id, version, std::move(config)};
  const auto at = std::lower_bound(
      stored.begin(), stored.end(), id,
      [](const StoredDomain& domain, const std::string& wanted) { return domain.id < wanted; });
  if (at != stored.end() && at->id == id)
    *at = std::move(changed);
  else
    stored.insert(at, std::move(changed));
  return stored;
}

bool contains(std::span<const DomainProblem> problems, const DomainProblem& wanted) {
  return std::any_of(problems.begin(), problems.end(), [&](const DomainProblem& problem) {
    return problem.domain == wanted.domain && problem.message == wanted.message;
  });
}

Status check_new_id(const std::string& id) {
  if (id.empty() || id.size() > kDomainIdBytesMax || !std::all_of(id.begin(), id.end(), is_id_char))
    return invalid("id: must be 1 to " + std::to_string(kDomainIdBytesMax) +
                   " letters, digits, '.', '_' or '-'");
  if (std::find(std::begin(kReservedIds), std::end(kReservedIds), id) != std::end(kReservedIds))
    return invalid("id: '" + id + "' is reserved");
  return Ok{};
}

Status check_change(std::span<const DomainProblem> now, const DomainConfig& next,
                    const std::string& id) {
  for (const DomainProblem& problem : next.errors) {
    if (problem.domain == id) return invalid(about_config(problem.message));
    // What was wrong before is no fault of this change.
    if (!contains(now, problem))
      return invalid("config: domain '" + problem.domain + "': " + problem.message);
  }
  return Ok{};
}

}  // namespace localai::runtime
