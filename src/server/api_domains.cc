// The endpoints over domains: what there is, changes of it, versions and the audit trail.
#include <string>

#include "base/number.h"
#include "base/utf8.h"
#include "server/api.h"
#include "server/api_call.h"
#include "server/fields.h"

namespace localai::server {
namespace {

constexpr size_t kIdBytesMax = 512;
constexpr size_t kActorBytesMax = 128;
constexpr size_t kMetadataBytesMax = 16u << 10;
constexpr uint32_t kChangesMax = 1000, kChangesDefault = 100;

using runtime::DomainChange;

// Of a failed change. Its message begins with the field that it is about, if there is one; `id_key`
// is what the client calls the id.
ApiError change_error(const Error& error, const char* id_key) {
  ApiError out = from_error(error);
  if (error.code != Code::kInvalidArgument) return out;
  std::string field = error.message.substr(0, error.message.find(':'));
  if (field == "id") {
    out.message.replace(0, field.size(), id_key);
    field = id_key;
  }
  if (field.find(' ') == std::string::npos) out.param = field;
  out.code = "invalid_value";
  return out;
}

ApiError conflict_error(const runtime::DomainChanged& unchanged, bool has_precondition) {
  ApiError out;
  out.status = has_precondition ? 412 : 409;
  out.type = "conflict_error";
  out.message = unchanged.conflict;
  out.code = has_precondition ? "precondition_failed" : "conflict";
  return out;
}

std::string etag(uint64_t version) { return '"' + std::to_string(version) + '"'; }

// Who asks, as the client says.
std::string actor_of(const net::Request& request) {
  const std::string_view actor = request.header("x-localai-actor");
  return sanitize_utf8(std::string(actor.substr(0, kActorBytesMax)));
}

// `If-Match: "3"`; `*` and none expect no version.
std::variant<std::optional<uint64_t>, ApiError> if_match(const net::Request& request) {
  std::string_view tag = request.header("if-match");
  if (tag.empty() || tag == "*") return std::optional<uint64_t>();
  if (tag.size() > 2 && tag.front() == '"' && tag.back() == '"') {
    tag = tag.substr(1, tag.size() - 2);
    if (const auto version = parse_number<uint64_t>(tag)) return std::optional<uint64_t>(*version);
  }
  return bad_field("If-Match", "must be one ETag of the domain, such as \"3\", or *",
                   "invalid_value");
}

// The parts of a body that creating and replacing share.
void read_change(Fields& fields, bool config_required, DomainChange& change) {
  const Json* config = fields.any("config");
  if (config != nullptr) {
    change.config = *config;
    if (!config->is_object()) fields.fail("config", "must be an object", "invalid_type");
  } else if (config_required) {
    fields.fail("config", "is required", "missing_required_parameter");
  }
  if (const Json* metadata = fields.any("metadata")) {
    change.metadata = *metadata;
    if (!metadata->is_object()) fields.fail("metadata", "must be an object", "invalid_type");
    if (dump_json(*metadata).size() > kMetadataBytesMax)
      fields.fail("metadata", "is longer than 16384 bytes", "invalid_value");
  }
}

using ParsedChange = std::variant<DomainChange, ApiError>;

// `id_key`: "id", or "domain_id" as clients of the earlier server say.
ParsedChange parse_create(const net::Request& request, const char* id_key) {
  auto body = parse_body(request.body);
  if (auto* error = std::get_if<ApiError>(&body)) return *error;
  Fields fields(std::get<Json>(body), "");
  DomainChange change;
  change.kind = DomainChange::Kind::kCreate;
  change.id = fields.string(id_key, kIdBytesMax).value_or("");
  if (change.id.empty()) fields.fail(id_key, "is required", "missing_required_parameter");
  read_change(fields, true, change);
  fields.finish();
  if (fields.error()) return *fields.error();
  return change;
}

constexpr int64_t kVersionMax = std::numeric_limits<int64_t>::max();

ParsedChange parse_replace(const net::Request& request) {
  auto body = parse_body(request.body);
  if (auto* error = std::get_if<ApiError>(&body)) return *error;
  Fields fields(std::get<Json>(body), "");
  DomainChange change;
  change.kind = DomainChange::Kind::kReplace;
  if (const auto version = fields.integer("version", 0, kVersionMax))
    change.expected = static_cast<uint64_t>(*version);
  if (const auto version = fields.integer("restore_version", 1, kVersionMax))
    change.restore_version = static_cast<uint64_t>(*version);
  read_change(fields, !change.restore_version, change);
  if (change.restore_version && !change.config.is_null())
    fields.fail("restore_version", "stands in place of 'config', not beside it", "invalid_value");
  fields.finish();
  if (fields.error()) return *fields.error();
  return change;
}

Json json_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json change_json(const runtime::StoredChange& change) {
  return {{"sequence", change.sequence},
          {"time", change.time_unix},
          {"domain", change.id},
          {"version", change.version},
          {"action", change.action},
          {"actor", json_or_null(change.actor)},
          {"request_id", json_or_null(change.request_id)},
          {"old", runtime::without_secrets(change.before)},
          {"new", runtime::without_secrets(change.config)},
          {"metadata", change.metadata}};
}

Json version_json(const runtime::StoredChange& change) {
  return {{"version", change.version},
          {"time", change.time_unix},
          {"action", change.action},
          {"actor", json_or_null(change.actor)},
          {"request_id", json_or_null(change.request_id)},
          {"config", runtime::without_secrets(change.config)},
          {"metadata", change.metadata}};
}

// `?domain=`, `?before=` and `?limit=` of a list of changes.
std::variant<runtime::ChangeQuery, ApiError> parse_query(const std::string& query) {
  runtime::ChangeQuery out;
  if (!net::percent_decode(query_value(query, "domain"), out.id))
    return bad_field("domain", "is not percent-encoded UTF-8", "invalid_value");
  if (const auto before = query_value(query, "before"); !before.empty()) {
    const auto number = parse_number<uint64_t>(before);
    if (!number || *number > static_cast<uint64_t>(kVersionMax))
      return bad_field("before", "is not the sequence of a change", "invalid_value");
    out.before = *number;
  }
  out.limit = kChangesDefault;
  if (const auto limit = query_value(query, "limit"); !limit.empty()) {
    const auto number = parse_number<uint32_t>(limit);
    if (!number || *number == 0 || *number > kChangesMax)
      return bad_field("limit", "must be a whole number within 1..1000", "invalid_value");
    out.limit = *number;
  }
  return out;
}

}  // namespace

void Api::list_domains(Call& call) const { call.sink->respond(json_response(service_.domains())); }

void Api::get_domain(Call& call) const {
  const Result<Json> domain = service_.domain(call.id);
  if (!domain.ok()) return call.fail(from_error(domain.error()));
  net::Response response = json_response(*domain);
  response.headers.push_back({"etag", etag(domain->value("version", uint64_t{0}))});
  call.sink->respond(std::move(response));
}

// What the domain is now; called where no other change can come between.
net::Response Api::changed_response(const runtime::DomainChanged& changed, int status) const {
  Json body;
  if (auto domain = service_.domain(changed.id); domain.ok() && changed.active)
    body = std::move(*domain);
  else
    body = {{"id", changed.id},
            {"object", "domain"},
            {"available", false},
            {"reason", "its enabled_env_var is not set"}};
  body["version"] = changed.version;
  body["warnings"] = changed.warnings;
  net::Response response = json_response(body, status);
  response.headers.push_back({"etag", etag(changed.version)});
  return response;
}

void Api::change_domain(Call& call, DomainChange change, const char* id_key,
                        std::function<net::Response(const runtime::DomainChanged&)> render) const {
  auto precondition = if_match(call.request);
  if (const auto* error = std::get_if<ApiError>(&precondition)) return call.fail(*error);
  const auto match = std::get<std::optional<uint64_t>>(precondition);
  if (match) change.expected = match;
  change.actor = actor_of(call.request);
  change.request_id = call.request.id;
  service_.change_domain(std::move(change), [sink = call.sink, render = std::move(render), id_key,
                                             has_precondition = match.has_value()](
                                                const Result<runtime::DomainChanged>& changed) {
    if (!changed.ok()) return sink->respond(error_response(change_error(changed.error(), id_key)));
    if (!changed->conflict.empty())
      return sink->respond(error_response(conflict_error(*changed, has_precondition)));
    sink->respond(render(*changed));
  });
}

void Api::create_domain(Call& call) const {
  auto change = parse_create(call.request, "id");
  if (const auto* error = std::get_if<ApiError>(&change)) return call.fail(*error);
  change_domain(call, std::get<DomainChange>(std::move(change)), "id",
                [this](const runtime::DomainChanged& changed) {
                  net::Response response = changed_response(changed, 201);
                  response.headers.push_back({"location", "/v1/domains/" + changed.id});
                  return response;
                });
}

// As clients of the earlier server call it, with its answer.
void Api::create_domain_v0(Call& call) const {
  auto change = parse_create(call.request, "domain_id");
  if (const auto* error = std::get_if<ApiError>(&change)) return call.fail(*error);
  change_domain(call, std::get<DomainChange>(std::move(change)), "domain_id",
                [](const runtime::DomainChanged& changed) {
                  return json_response({{"status", "success"},
                                        {"domain_id", changed.id},
                                        {"message", "domain '" + changed.id + "' was created"},
                                        {"version", changed.version},
                                        {"warnings", changed.warnings}});
                });
}

void Api::replace_domain(Call& call) const {
  auto parsed = parse_replace(call.request);
  if (const auto* error = std::get_if<ApiError>(&parsed)) return call.fail(*error);
  auto& change = std::get<DomainChange>(parsed);
  change.id = call.id;
  change_domain(call, std::move(change), "id", [this](const runtime::DomainChanged& changed) {
    return changed_response(changed, 200);
  });
}

void Api::remove_domain(Call& call) const {
  DomainChange change;
  change.kind = DomainChange::Kind::kRemove;
  change.id = call.id;
  if (const auto text = query_value(call.request.query, "version"); !text.empty()) {
    change.expected = parse_number<uint64_t>(text);
    if (!change.expected)
      return call.fail(bad_field("version", "is not a version of a domain", "invalid_value"));
  }
  change_domain(call, std::move(change), "id", [](const runtime::DomainChanged& changed) {
    return json_response({{"id", changed.id},
                          {"object", "domain"},
                          {"deleted", true},
                          {"version", changed.version},
                          {"warnings", changed.warnings}});
  });
}

// The newest first; of a domain that only the config file knows there are none.
void Api::domain_versions(Call& call) const {
  auto query = parse_query(call.request.query);
  if (const auto* error = std::get_if<ApiError>(&query)) return call.fail(*error);
  auto& wanted = std::get<runtime::ChangeQuery>(query);
  wanted.id = call.id;
  service_.domain_changes(wanted, [this, sink = call.sink, id = call.id](
                                      const Result<std::vector<runtime::StoredChange>>& changes) {
    if (!changes.ok()) return sink->respond(error_response(from_error(changes.error())));
    if (changes->empty())
      if (const Result<Json> domain = service_.domain(id); !domain.ok())
        return sink->respond(error_response(from_error(domain.error())));
    Json data = Json::array();
    for (const runtime::StoredChange& change : *changes) data.push_back(version_json(change));
    sink->respond(json_response({{"object", "list"}, {"domain", id}, {"data", std::move(data)}}));
  });
}

void Api::domain_audit(Call& call) const {
  auto query = parse_query(call.request.query);
  if (const auto* error = std::get_if<ApiError>(&query)) return call.fail(*error);
  service_.domain_changes(
      std::get<runtime::ChangeQuery>(query),
      [sink = call.sink](const Result<std::vector<runtime::StoredChange>>& changes) {
        if (!changes.ok()) return sink->respond(error_response(from_error(changes.error())));
        Json data = Json::array();
        for (const runtime::StoredChange& change : *changes) data.push_back(change_json(change));
        sink->respond(json_response({{"object", "list"}, {"data", std::move(data)}}));
      });
}

}  // namespace localai::server
