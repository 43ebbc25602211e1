#include "runtime/domain_admin.h"

#include <exception>

#include "base/log.h"

namespace localai::runtime {
namespace {

constexpr size_t kStoredDomainsMax = 10'000;

const StoredDomain* find(const std::vector<StoredDomain>& stored, const std::string& id) {
  for (const StoredDomain& domain : stored)
    if (domain.id == id) return &domain;
  return nullptr;
}

std::string_view action_of(DomainChange::Kind kind) {
  switch (kind) {
    case DomainChange::Kind::kCreate:
      return "create";
    case DomainChange::Kind::kReplace:
      return "update";
    case DomainChange::Kind::kRemove:
      return "delete";
  }
  return "";
}

// Why the change does not fit what is there now; "" when it does.
std::string conflict_of(const DomainChange& change, bool exists, uint64_t version) {
  const std::string where = "domain '" + change.id + "'";
  if (exists && change.kind == DomainChange::Kind::kCreate)
    return where + ": exists already; PUT changes it";
  if (change.expected && *change.expected != version)
    return where + ": is at version " + std::to_string(version) + ", not at " +
           std::to_string(*change.expected);
  return "";
}

Status check_config(const Json& config) {
  if (!config.is_object()) return invalid("config: must be an object");
  if (const size_t bytes = dump_json(config).size(); bytes > kStoredConfigBytesMax)
    return invalid("config: has " + std::to_string(bytes) + " bytes, at most " +
                   std::to_string(kStoredConfigBytesMax) + " are kept");
  return Ok{};
}

}  // namespace

DomainAdmin::DomainAdmin(std::unique_ptr<DomainStore> store, Options options)
    : store_(std::move(store)), options_(std::move(options)) {}

DomainConfig DomainAdmin::load() {
  refresh();
  DomainConfig config = read();
  errors_ = config.errors;
  warnings_ = config.warnings;
  log_problems(config);
  return config;
}

void DomainAdmin::start(Server server) {
  server_ = std::move(server);
  thread_ = std::thread([this] { run(); });
}

void DomainAdmin::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void DomainAdmin::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait_for(lock, options_.refresh, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_ && jobs_.empty()) return;
    std::function<void(bool)> job;
    if (!jobs_.empty()) {
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    const bool stopping = stopping_;
    lock.unlock();
    if (job)
      job(stopping);
    else
      refresh();
    job = nullptr;  // what it holds goes without the lock
    lock.lock();
  }
}

void DomainAdmin::post(std::function<void(bool stopping)> job) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) {
      jobs_.push_back(std::move(job));
      wake_.notify_one();
      return;
    }
  }
  job(true);
}

void DomainAdmin::change(DomainChange change, DomainChangeSink sink) {
  post([this, change = std::move(change), sink = std::move(sink)](bool stopping) {
    if (stopping) return sink(cancelled("the server is stopping"));
    try {
      sink(do_change(change));
    } catch (const std::exception& error) {  // std::bad_alloc fails one change, not the process
      sink(Error{Code::kInternal, error.what()});
    }
  });
}

void DomainAdmin::changes(ChangeQuery query, StoredChangesSink sink) {
  post([this, query = std::move(query), sink = std::move(sink)](bool stopping) {
    if (stopping) return sink(cancelled("the server is stopping"));
    sink(store_->changes(query));
  });
}

void DomainAdmin::reload(Result<ConfigFile> file, std::string cause) {
  auto held = std::make_shared<Result<ConfigFile>>(std::move(file));
  post([this, held, cause = std::move(cause)](bool stopping) {
    if (!stopping) do_reload(std::move(*held), cause);
  });
}

DomainConfig DomainAdmin::read() const {
  return overlay_config(options_.file, stored_, options_.settings, options_.environment);
}

void DomainAdmin::serve(DomainConfig config, const std::string& reason) {
  errors_ = config.errors;
  warnings_ = config.warnings;
  server_.apply(std::move(config));
  server_.report("config_applied", reason);
}

// One line when a store goes down, and one when it is back.
void DomainAdmin::note_store(const Error* error) {
  const bool down = error != nullptr;
  if (down && !store_down_)
    log::error("{}; the domains stay as they are, and changes are refused", error->message);
  if (!down && store_down_) log::warn("the domain store answers again");
  store_down_ = down;
}

// Takes over what the store has by now.
void DomainAdmin::refresh() {
  const auto revision = store_->revision();
  note_store(revision.ok() ? nullptr : &revision.error());
  if (!revision.ok() || *revision == revision_) return;
  auto stored = store_->list();
  if (!stored.ok()) return note_store(&stored.error());
  revision_ = *revision;
  if (stored_ == *stored) return;  // our own changes
  stored_ = std::move(*stored);
  if (!server_.apply) return;  // load()
  DomainConfig config = read();
  log_problems(config);
  serve(std::move(config), "the domain store has changed");
}

void DomainAdmin::do_reload(Result<ConfigFile> file, const std::string& cause) {
  if (!file.ok()) {
    log::error("{}: the config stays as it is: {}", cause, file.error().message);
    return server_.report("config_refused", cause + ": " + file.error().message);
  }
  options_.file = std::move(*file);
  if (auto stored = store_->list(); stored.ok())
    stored_ = std::move(*stored);
  else
    note_store(&stored.error());  // its domains stay as last seen
  DomainConfig config = read();
  log_problems(config);
  log::warn("{}: the config is read again: {} domains", cause, config.domains.size());
  serve(std::move(config), cause);
}

// The config that the change leaves behind; nothing when it removes the domain.
Result<std::optional<Json>> DomainAdmin::new_config(const DomainChange& change) {
  if (change.kind == DomainChange::Kind::kRemove) return std::optional<Json>();
  if (!change.restore_version) {
    LAI_TRY_STATUS(check_config(change.config));
    return std::optional<Json>(change.config);
  }
  LAI_TRY(auto found,
          store_->changes({.id = change.id, .version = *change.restore_version, .limit = 1}));
  if (found.empty() || found.front().config.is_null())
    return invalid("restore_version: domain '" + change.id + "' has no config of version " +
                   std::to_string(*change.restore_version));
  return std::optional<Json>(std::move(found.front().config));
}

Result<DomainChanged> DomainAdmin::do_change(const DomainChange& change) {
  auto listed = store_->list();  // another server may have changed it
  note_store(listed.ok() ? nullptr : &listed.error());
  if (!listed.ok()) return std::move(listed.error());
  std::vector<StoredDomain> stored = std::move(*listed);
  const StoredDomain* newest = find(stored, change.id);
  const uint64_t version = newest == nullptr ? 0 : newest->version;
  const ConfigFile now = overlay_file(options_.file, stored);
  const auto before = now.root["domains"].find(change.id);
  const bool exists = before != now.root["domains"].end() && !before->is_null();
  const bool creates = change.kind == DomainChange::Kind::kCreate;
  if (!exists && !creates) return not_found("domain '" + change.id + "': no domain of that name");
  DomainChanged out{change.id, version, conflict_of(change, exists, version)};
  if (!out.conflict.empty()) return out;
  if (creates) LAI_TRY_STATUS(check_new_id(change.id));
  if (newest == nullptr && stored.size() >= kStoredDomainsMax)
    return invalid("id: " + std::to_string(kStoredDomainsMax) + " domains are kept already");

  LAI_TRY(std::optional<Json> fresh, new_config(change));
  DomainWrite write{change.id, version, std::string(action_of(change.kind)), fresh};
  if (exists) write.before = *before;
  write.metadata = change.metadata;
  write.actor = change.actor;
  write.request_id = change.request_id;
  stored = with_change(std::move(stored), change.id, version + 1, std::move(fresh));
  DomainConfig next =
      overlay_config(options_.file, stored, options_.settings, options_.environment);
  LAI_TRY_STATUS(check_change(errors_, next, change.id));

  out.active = next.find(change.id) != nullptr;
  for (const DomainProblem& warning : next.warnings)
    if (warning.domain == change.id || !contains(warnings_, warning))
      out.warnings.push_back(warning.message);
  LAI_TRY(const std::optional<uint64_t> kept, store_->append(write));
  if (!kept) {
    out.conflict = "domain '" + change.id + "': somebody else changed it at the same moment";
    return out;
  }
  out.version = *kept;
  stored_ = std::move(stored);
  serve(std::move(next),
        "domain '" + change.id + "': " + write.action + ", version " + std::to_string(out.version));
  return out;
}

}  // namespace localai::runtime
