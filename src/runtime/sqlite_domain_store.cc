// Domains in one SQLite file. Every value goes through a parameter of a prepared statement.
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cstring>

#include "runtime/domain_store.h"

namespace localai::runtime {
namespace {

constexpr int kSchemaVersion = 1;
constexpr int kBusyMs = 5000;  // how long a call waits for another process that writes

constexpr const char* kSchema = R"sql(
CREATE TABLE domain_changes (
  sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
  time_unix  REAL NOT NULL,
  domain_id  TEXT NOT NULL,
  version    INTEGER NOT NULL,
  action     TEXT NOT NULL,
  actor      TEXT NOT NULL,
  request_id TEXT NOT NULL,
  config     TEXT,
  before     TEXT,
  metadata   TEXT,
  UNIQUE (domain_id, version)
))sql";

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

// A prepared statement: bind in order, then step row by row. The first failure stays.
class Statement {
 public:
  Statement(sqlite3* database, const char* sql) : database_(database) {
    state_ = sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  Statement& bind(const std::string& text) {
    return note(sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(),
                                    SQLITE_TRANSIENT, SQLITE_UTF8));
  }
  Statement& bind(uint64_t number) {
    return note(sqlite3_bind_int64(statement_, ++bound_, static_cast<sqlite3_int64>(number)));
  }
  Statement& bind_json(const Json* value) {
    if (value != nullptr && !value->is_null()) return bind(dump_json(*value));
    return note(sqlite3_bind_null(statement_, ++bound_));
  }

  // The next row; false after the last one.
  Result<bool> step() {
    if (state_ == SQLITE_OK) state_ = sqlite3_step(statement_);
    if (state_ == SQLITE_ROW) {
      state_ = SQLITE_OK;
      return true;
    }
    if (state_ == SQLITE_DONE) return false;
    return unavailable(sqlite3_errmsg(database_));
  }

  [[nodiscard]] std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    if (bytes == nullptr) return "";
    return {bytes, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
  }
  [[nodiscard]] uint64_t number(int column) const {
    return static_cast<uint64_t>(sqlite3_column_int64(statement_, column));
  }
  [[nodiscard]] double real(int column) const { return sqlite3_column_double(statement_, column); }
  [[nodiscard]] Result<Json> json(int column) const {
    if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return Json();
    return parse_json(text(column));
  }

 private:
  Statement& note(int state) {
    if (state_ == SQLITE_OK) state_ = state;
    return *this;
  }
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
  int state_ = SQLITE_OK;
  int bound_ = 0;
};

Status run(sqlite3* database, const char* sql) {
  Statement statement(database, sql);
  while (true) {
    LAI_TRY(const bool row, statement.step());
    if (!row) return Ok{};
  }
}

Result<uint64_t> number_of(sqlite3* database, const char* sql) {
  Statement statement(database, sql);
  LAI_TRY(const bool row, statement.step());
  return row ? statement.number(0) : 0;
}

// Are the tables there? Errors: those of a newer version, or of another program.
Result<bool> has_tables(sqlite3* database) {
  LAI_TRY(const uint64_t version, number_of(database, "PRAGMA user_version"));
  if (version == kSchemaVersion) return true;
  if (version > kSchemaVersion)
    return unavailable("it has the schema version " + std::to_string(version) +
                       ", of a newer localai; this one knows " + std::to_string(kSchemaVersion));
  LAI_TRY(const uint64_t objects, number_of(database, "SELECT count(*) FROM sqlite_master"));
  if (objects > 0) return unavailable("it is a database of another program");
  return false;
}

// Brings the tables to the version of this program; a file of another program is left alone.
Status migrate(sqlite3* database) {
  LAI_TRY_STATUS(run(database, "BEGIN IMMEDIATE"));
  LAI_TRY(const bool there, has_tables(database));
  if (there) return run(database, "COMMIT");
  LAI_TRY_STATUS(run(database, kSchema));
  LAI_TRY_STATUS(run(database, "PRAGMA user_version = 1"));
  return run(database, "COMMIT");
}

class SqliteDomainStore final : public DomainStore {
 public:
  SqliteDomainStore(std::filesystem::path file, StoreAccess access)
      : file_(std::move(file)), access_(access) {}

  Result<std::vector<StoredDomain>> list() override {
    return guarded<std::vector<StoredDomain>>({}, [](sqlite3* database) { return read(database); });
  }

  Result<uint64_t> revision() override {
    return guarded<uint64_t>(0, [](sqlite3* database) {
      return number_of(database, "SELECT coalesce(max(sequence), 0) FROM domain_changes");
    });
  }

  Result<std::optional<uint64_t>> append(const DomainWrite& write) override {
    if (access_ == StoreAccess::kRead)
      return unavailable("domain store " + file_.string() + ": is open for reading alone");
    LAI_TRY_STATUS(check_file());
    LAI_TRY_STATUS(create_file());
    return guarded<std::optional<uint64_t>>(
        {}, [&](sqlite3* database) { return insert(database, write); });
  }

  Result<std::vector<StoredChange>> changes(const ChangeQuery& query) override {
    return guarded<std::vector<StoredChange>>(
        {}, [&](sqlite3* database) { return read_changes(database, query); });
  }

 private:
  // Runs `work` on the open database. What fails closes it, so that the next call begins anew; a
  // file that does not exist holds nothing.
  template <class T, class Work>
  Result<T> guarded(T nothing, Work work) {
    LAI_TRY_STATUS(check_file());
    if (is_missing()) return nothing;
    Result<T> out = open_and(nothing, work);
    if (out.ok()) return out;
    database_.reset();
    return std::move(out.error()).at("domain store " + file_.string());
  }

  [[nodiscard]] bool is_missing() const {
    std::error_code error;
    return !database_ && !std::filesystem::exists(file_, error) && !error;
  }

  // An open file that was deleted would take changes, and nobody would ever see them again. One
  // that another was put in the place of is opened anew.
  Status check_file() {
    int moved = 0;
    if (database_) sqlite3_file_control(database_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    if (moved != 0) database_.reset();
    if (!was_open_ || !is_missing()) return Ok{};
    return unavailable("domain store " + file_.string() +
                       ": the file was deleted while it was in use; put it back, or restart to "
                       "begin with an empty store");
  }

  template <class T, class Work>
  Result<T> open_and(const T& nothing, Work work) {
    LAI_TRY(const bool tables, open());
    if (!tables) return nothing;
    Result<T> out = work(database_.get());
    // What is in the file is not what this program wrote: nothing that a request could mend.
    if (!out.ok()) return unavailable(std::move(out.error().message));
    return out;
  }

  // False: there are no tables, and none are made for a reader.
  Result<bool> open() {
    if (database_) return true;
    const bool reads = access_ == StoreAccess::kRead;
    sqlite3* opened = nullptr;
    const int state = sqlite3_open_v2(
        file_.c_str(), &opened, reads ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, nullptr);
    Database database(opened);
    if (state != SQLITE_OK)
      return unavailable(opened == nullptr ? "out of memory" : sqlite3_errmsg(opened));
    sqlite3_busy_timeout(opened, kBusyMs);
    if (reads) {
      LAI_TRY(const bool there, has_tables(opened));
      if (there) database_ = std::move(database);
      return there;
    }
    LAI_TRY_STATUS(migrate(opened));  // first: it leaves other programs' files as they are
    LAI_TRY_STATUS(run(opened, "PRAGMA journal_mode = WAL"));
    LAI_TRY_STATUS(run(opened, "PRAGMA synchronous = FULL"));
    database_ = std::move(database);
    was_open_ = true;
    return true;
  }

  // Configs hold keys of other services: the file is its owner's alone.
  Status create_file() {
    if (database_) return Ok{};
    std::error_code ignored;  // open() says what is wrong
    if (file_.has_parent_path()) std::filesystem::create_directories(file_.parent_path(), ignored);
    const int fd = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
      return unavailable("domain store " + file_.string() + ": cannot be written (" +
                         std::strerror(errno) + "); --data-dir names another folder");
    ::close(fd);
    return Ok{};
  }

  static Result<std::vector<StoredDomain>> read(sqlite3* database) {
    Statement statement(database,
                        "SELECT domain_id, version, config FROM domain_changes AS c WHERE version "
                        "= (SELECT max(version) FROM domain_changes WHERE domain_id = c.domain_id) "
                        "ORDER BY domain_id");
    std::vector<StoredDomain> out;
    while (true) {
      LAI_TRY(const bool row, statement.step());
      if (!row) return out;
      LAI_TRY(Json config, statement.json(2), "domain '" + statement.text(0) + "'");
      StoredDomain domain{statement.text(0), statement.number(1), std::nullopt};
      if (!config.is_null()) domain.config = std::move(config);
      out.push_back(std::move(domain));
    }
  }

  // One statement, so that nobody comes between the look at the newest version and the row.
  static Result<std::optional<uint64_t>> insert(sqlite3* database, const DomainWrite& write) {
    Statement statement(
        database,
        "INSERT INTO domain_changes (time_unix, domain_id, version, action, actor, request_id, "
        "config, before, metadata) SELECT (julianday('now') - 2440587.5) * 86400.0, "
        "?1, ?2 + 1, ?3, ?4, ?5, ?6, ?7, ?8 WHERE (SELECT coalesce(max(version), 0) FROM "
        "domain_changes WHERE domain_id = ?1) = ?2 RETURNING version");
    statement.bind(write.id).bind(write.replaces).bind(write.action).bind(write.actor);
    statement.bind(write.request_id).bind_json(write.config ? &*write.config : nullptr);
    statement.bind_json(&write.before).bind_json(&write.metadata);
    LAI_TRY(const bool row, statement.step());
    if (!row) return std::optional<uint64_t>();
    const uint64_t version = statement.number(0);
    LAI_TRY([[maybe_unused]] const bool more, statement.step());  // commits
    return std::optional<uint64_t>(version);
  }

  static Result<std::vector<StoredChange>> read_changes(sqlite3* database,
                                                        const ChangeQuery& query) {
    Statement statement(
        database,
        "SELECT sequence, time_unix, domain_id, version, action, actor, request_id, config, "
        "before, metadata FROM domain_changes WHERE (?1 = '' OR domain_id = ?1) AND (?2 = 0 OR "
        "version = ?2) AND (?3 = 0 OR sequence < ?3) ORDER BY sequence DESC LIMIT ?4");
    statement.bind(query.id).bind(query.version).bind(query.before).bind(uint64_t{query.limit});
    std::vector<StoredChange> out;
    while (true) {
      LAI_TRY(const bool row, statement.step());
      if (!row) return out;
      StoredChange change;
      change.sequence = statement.number(0);
      change.time_unix = statement.real(1);
      change.id = statement.text(2);
      change.version = statement.number(3);
      change.action = statement.text(4);
      change.actor = statement.text(5);
      change.request_id = statement.text(6);
      LAI_TRY(change.config, statement.json(7));
      LAI_TRY(change.before, statement.json(8));
      LAI_TRY(change.metadata, statement.json(9));
      out.push_back(std::move(change));
    }
  }

  std::filesystem::path file_;
  StoreAccess access_;
  Database database_;
  bool was_open_ = false;  // the file was there once
};

}  // namespace

std::unique_ptr<DomainStore> make_sqlite_domain_store(std::filesystem::path file,
                                                      StoreAccess access) {
  return std::make_unique<SqliteDomainStore>(std::move(file), access);
}

}  // namespace localai::runtime
