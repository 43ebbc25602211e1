// Domains in PostgreSQL, through libpq. Every value goes through a parameter of a statement that
// the server prepares.
#include <libpq-fe.h>

#include <algorithm>

#include "base/number.h"
#include "runtime/domain_store.h"

namespace localai::runtime {
namespace {

constexpr uint64_t kSchemaVersion = 1;
constexpr const char* kSchemaLock = "7812439055";  // any number of our own

constexpr const char* kSchema = R"sql(
CREATE TABLE localai_domain_changes (
  sequence   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  time_unix  double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()),
  domain_id  text NOT NULL,
  version    bigint NOT NULL,
  action     text NOT NULL,
  actor      text NOT NULL,
  request_id text NOT NULL,
  config     json,
  before     json,
  metadata   json,
  UNIQUE (domain_id, version)
))sql";

struct CloseConnection {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
struct ClearResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using Connection = std::unique_ptr<PGconn, CloseConnection>;

std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text;
}

// The rows of one answer.
class Rows {
 public:
  explicit Rows(PGresult* result) : result_(result) {}
  [[nodiscard]] int count() const { return PQntuples(result_.get()); }
  [[nodiscard]] std::string text(int row, int column) const {
    return {PQgetvalue(result_.get(), row, column),
            static_cast<size_t>(PQgetlength(result_.get(), row, column))};
  }
  [[nodiscard]] Result<Json> json(int row, int column) const {
    if (PQgetisnull(result_.get(), row, column) != 0) return Json();
    return parse_json(text(row, column));
  }
  template <class T>
  [[nodiscard]] Result<T> number(int row, int column) const {
    const auto value = parse_number<T>(text(row, column));
    if (!value) return unavailable("an answer holds no number: '" + text(row, column) + "'");
    return *value;
  }

 private:
  std::unique_ptr<PGresult, ClearResult> result_;
};

using Parameter = std::optional<std::string>;

Parameter json_parameter(const Json* value) {
  if (value == nullptr || value->is_null()) return std::nullopt;
  return dump_json(*value);
}

Result<Rows> run(PGconn* connection, const char* sql,
                 const std::vector<Parameter>& parameters = {}) {
  std::vector<const char*> values;
  values.reserve(parameters.size());
  for (const Parameter& parameter : parameters)
    values.push_back(parameter ? parameter->c_str() : nullptr);
  PGresult* result = PQexecParams(connection, sql, static_cast<int>(values.size()), nullptr,
                                  values.data(), nullptr, nullptr, 0);
  const ExecStatusType status = PQresultStatus(result);
  if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return Rows(result);
  const Rows dropped(result);
  return unavailable(one_line(PQerrorMessage(connection)));
}

// 0: there are no tables yet. Errors: those of a newer version.
Result<uint64_t> schema_version(PGconn* connection) {
  LAI_TRY(const Rows found,
          run(connection, "SELECT coalesce(max(version), 0) FROM localai_schema"));
  LAI_TRY(const auto version, found.number<uint64_t>(0, 0));
  if (version > kSchemaVersion)
    return unavailable("its tables have the schema version " + std::to_string(version) +
                       ", of a newer localai; this one knows " + std::to_string(kSchemaVersion));
  return version;
}

// The same for a reader, who may come before the first server.
Result<bool> has_tables(PGconn* connection) {
  LAI_TRY(const Rows found, run(connection,
                                "SELECT to_regclass('localai_domain_changes') IS NOT NULL AND "
                                "to_regclass('localai_schema') IS NOT NULL"));
  if (found.text(0, 0) != "t") return false;
  LAI_TRY(const auto version, schema_version(connection));
  return version > 0;
}

// Brings the tables to the version of this program, one server after the other.
Status migrate(PGconn* connection) {
  LAI_TRY_STATUS(run(connection, "BEGIN"));
  LAI_TRY_STATUS(run(connection, "SELECT pg_advisory_xact_lock($1::bigint)", {kSchemaLock}));
  LAI_TRY_STATUS(run(connection, "CREATE TABLE IF NOT EXISTS localai_schema (version bigint)"));
  LAI_TRY(const auto version, schema_version(connection));
  if (version == 0) {
    LAI_TRY_STATUS(run(connection, kSchema));
    LAI_TRY_STATUS(run(connection, "INSERT INTO localai_schema VALUES ($1)",
                       {std::to_string(kSchemaVersion)}));
  }
  LAI_TRY_STATUS(run(connection, "COMMIT"));
  return Ok{};
}

// Short waits: a database that does not answer must not hold the domains up for long. What the DSN
// says goes before them.
Result<Connection> connect(const std::string& dsn) {
  const char* const names[] = {"connect_timeout", "tcp_user_timeout", "application_name",
                               "client_encoding", "dbname",           nullptr};
  const char* const values[] = {"5", "10000", "localai", "UTF8", dsn.c_str(), nullptr};
  Connection connection(PQconnectdbParams(names, values, 1));
  if (PQstatus(connection.get()) != CONNECTION_OK)
    return unavailable(one_line(PQerrorMessage(connection.get())));
  for (const char* sql : {"SET statement_timeout = 10000", "SET lock_timeout = 10000",
                          "SET client_min_messages = error"})
    LAI_TRY_STATUS(run(connection.get(), sql));
  return connection;
}

class PostgresDomainStore final : public DomainStore {
 public:
  PostgresDomainStore(std::string dsn, StoreAccess access)
      : dsn_(std::move(dsn)), access_(access) {}

  Result<std::vector<StoredDomain>> list() override { return twice(read); }
  Result<uint64_t> revision() override { return twice(read_revision); }
  Result<std::vector<StoredChange>> changes(const ChangeQuery& query) override {
    return twice([&](PGconn* connection) { return read_changes(connection, query); });
  }
  Result<std::optional<uint64_t>> append(const DomainWrite& write) override {
    if (access_ == StoreAccess::kRead)
      return unavailable("domain store PostgreSQL: is open for reading alone");
    return once([&](PGconn* connection) { return insert(connection, write); });
  }

 private:
  // Reads are tried again over a new connection, since an idle one may have been cut.
  template <class Work>
  auto twice(Work work) -> decltype(work(nullptr)) {
    const bool had_connection = connection_ != nullptr;
    auto out = once(work);
    if (out.ok() || !had_connection) return out;
    return once(work);
  }

  // What fails ends the connection, and with it a transaction that was begun.
  template <class Work>
  auto once(Work work) -> decltype(work(nullptr)) {
    auto out = connected(work);
    if (out.ok()) return out;
    connection_.reset();
    return unavailable("domain store PostgreSQL: " + out.error().message);
  }

  template <class Work>
  auto connected(Work work) -> decltype(work(nullptr)) {
    if (!connection_) {
      LAI_TRY_STATUS(open());
    }
    using Value = std::decay_t<decltype(*work(nullptr))>;
    if (!has_tables_) return Value{};  // what a reader gets before the first server came
    return work(connection_.get());
  }

  Status open() {
    LAI_TRY(Connection connection, connect(dsn_));
    has_tables_ = true;
    if (access_ == StoreAccess::kRead) {
      LAI_TRY_STATUS(run(connection.get(), "SET default_transaction_read_only = on"));
      LAI_TRY(has_tables_, has_tables(connection.get()));
    } else {
      LAI_TRY_STATUS(migrate(connection.get()));
    }
    connection_ = std::move(connection);
    return Ok{};
  }

  static Result<uint64_t> read_revision(PGconn* connection) {
    LAI_TRY(const Rows rows,
            run(connection, "SELECT coalesce(max(sequence), 0) FROM localai_domain_changes"));
    return rows.number<uint64_t>(0, 0);
  }

  static Result<std::vector<StoredDomain>> read(PGconn* connection) {
    LAI_TRY(const Rows rows, run(connection,
                                 "SELECT DISTINCT ON (domain_id) domain_id, version, config FROM "
                                 "localai_domain_changes ORDER BY domain_id, version DESC"));
    std::vector<StoredDomain> out;
    for (int row = 0; row < rows.count(); ++row) {
      StoredDomain domain;
      domain.id = rows.text(row, 0);
      LAI_TRY(domain.version, rows.number<uint64_t>(row, 1));
      LAI_TRY(Json config, rows.json(row, 2), "domain '" + domain.id + "'");
      if (!config.is_null()) domain.config = std::move(config);
      out.push_back(std::move(domain));
    }
    std::sort(out.begin(), out.end(), [](const StoredDomain& a, const StoredDomain& b) {
      return a.id < b.id;  // whatever the database's collation
    });
    return out;
  }

  // One statement with a unique key: of two that replace one version at once, one gets no row.
  static Result<std::optional<uint64_t>> insert(PGconn* connection, const DomainWrite& write) {
    LAI_TRY(const Rows rows,
            run(connection,
                "INSERT INTO localai_domain_changes (domain_id, version, action, actor, "
                "request_id, config, before, metadata) SELECT $1::text, $2::bigint + 1, $3, $4, "
                "$5, $6::json, $7::json, $8::json WHERE (SELECT coalesce(max(version), 0) FROM "
                "localai_domain_changes WHERE domain_id = $1::text) = $2::bigint ON CONFLICT DO "
                "NOTHING RETURNING version",
                {write.id, std::to_string(write.replaces), write.action, write.actor,
                 write.request_id, json_parameter(write.config ? &*write.config : nullptr),
                 json_parameter(&write.before), json_parameter(&write.metadata)}),
            "domain '" + write.id + "'");
    if (rows.count() == 0) return std::optional<uint64_t>();
    LAI_TRY(const auto version, rows.number<uint64_t>(0, 0));
    return std::optional<uint64_t>(version);
  }

  static Result<std::vector<StoredChange>> read_changes(PGconn* connection,
                                                        const ChangeQuery& query) {
    LAI_TRY(const Rows rows,
            run(connection,
                "SELECT sequence, time_unix, domain_id, version, action, actor, request_id, "
                "config, before, metadata FROM localai_domain_changes WHERE ($1::text = '' OR "
                "domain_id = $1::text) AND ($2::bigint = 0 OR version = $2::bigint) AND "
                "($3::bigint = 0 OR sequence < $3::bigint) ORDER BY sequence DESC LIMIT $4::bigint",
                {query.id, std::to_string(query.version), std::to_string(query.before),
                 std::to_string(query.limit)}));
    std::vector<StoredChange> out;
    for (int row = 0; row < rows.count(); ++row) {
      StoredChange change;
      LAI_TRY(change.sequence, rows.number<uint64_t>(row, 0));
      LAI_TRY(change.time_unix, rows.number<double>(row, 1));
      change.id = rows.text(row, 2);
      LAI_TRY(change.version, rows.number<uint64_t>(row, 3));
      change.action = rows.text(row, 4);
      change.actor = rows.text(row, 5);
      change.request_id = rows.text(row, 6);
      LAI_TRY(change.config, rows.json(row, 7));
      LAI_TRY(change.before, rows.json(row, 8));
      LAI_TRY(change.metadata, rows.json(row, 9));
      out.push_back(std::move(change));
    }
    return out;
  }

  std::string dsn_;
  StoreAccess access_;
  Connection connection_;
  bool has_tables_ = false;
};

}  // namespace

Result<std::unique_ptr<DomainStore>> make_postgres_domain_store(std::string dsn,
                                                                StoreAccess access) {
  PQconninfoOption* options = PQconninfoParse(dsn.c_str(), nullptr);
  // libpq's own message would repeat parts of it, and it may hold a password.
  if (options == nullptr)
    return invalid("POSTGRES_DSN: neither a postgresql://... URL nor key=value pairs of libpq");
  PQconninfoFree(options);
  return std::unique_ptr<DomainStore>(
      std::make_unique<PostgresDomainStore>(std::move(dsn), access));
}

}  // namespace localai::runtime
