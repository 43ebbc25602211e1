#include "server/api.h"

#include <chrono>
#include <optional>
#include <vector>

#include "base/log.h"
#include "net/guard.h"
#include "server/api_call.h"
#include "server/embedding_session.h"
#include "server/generation_request.h"
#include "server/generation_session.h"

namespace localai::server {
namespace {

int64_t now_unix() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

net::Response text_response(std::string body) {
  net::Response response;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(body);
  return response;
}

ApiError no_such_path(const net::Request& request) {
  ApiError error;
  error.status = 404;
  error.message = "there is no endpoint " + request.method + " " + request.path.substr(0, 200);
  error.code = "unknown_url";
  return error;
}

ApiError no_such_model(const std::string& id) {
  return from_error(not_found("the model '" + id.substr(0, 200) + "' does not exist"));
}

Json model_json(const runtime::ModelEntry& entry, int64_t created_unix) {
  return {{"id", entry.id},        {"object", "model"},     {"created", created_unix},
          {"owned_by", "localai"}, {"kind", entry.kind},    {"backend", entry.backend},
          {"bytes", entry.bytes},  {"loaded", entry.loaded}};
}

}  // namespace

net::Response json_response(const Json& body, int status) {
  net::Response response;
  response.status = status;
  response.body = dump_json(body);
  return response;
}

// "{id}" stands for one or more characters of the path, slashes included.
struct Api::Route {
  std::string_view method, pattern;
  void (Api::*handler)(Call&) const;

  // The raw id ("" for patterns without one), or nothing when the path is another.
  [[nodiscard]] std::optional<std::string_view> match(std::string_view path) const {
    constexpr std::string_view kId = "{id}";
    const size_t at = pattern.find(kId);
    if (at == std::string_view::npos)
      return path == pattern ? std::optional<std::string_view>("") : std::nullopt;
    const std::string_view before = pattern.substr(0, at), after = pattern.substr(at + kId.size());
    if (path.size() <= before.size() + after.size() || !path.starts_with(before) ||
        !path.ends_with(after))
      return std::nullopt;
    return path.substr(before.size(), path.size() - before.size() - after.size());
  }
};

// The first pattern that fits a path decides: reserved ids stand before "{id}".
const std::vector<Api::Route>& Api::routes() {
  static const std::vector<Route> kRoutes = {
      {"GET", "/", &Api::index},
      {"GET", "/health", &Api::health},
      {"GET", "/healthz", &Api::health},
      {"GET", "/livez", &Api::live},
      {"GET", "/readyz", &Api::ready},
      {"GET", "/metrics", &Api::metrics},
      {"GET", "/v1/models", &Api::list_models},
      {"GET", "/v1/models/loaded", &Api::loaded_models},
      {"GET", "/v1/models/events", &Api::model_events},
      {"POST", "/v1/models/plan", &Api::plan_model},
      {"POST", "/v1/models/load", &Api::load_model},
      {"POST", "/v1/models/unload", &Api::unload_model},
      {"GET", "/v1/models/{id}", &Api::get_model},
      {"GET", "/v1/domains", &Api::list_domains},
      {"POST", "/v1/domains", &Api::create_domain},
      {"POST", "/v1/domains/create", &Api::create_domain_v0},
      {"POST", "/v1/domains/{id}/chat/completions", &Api::domain_chat},
      {"GET", "/v1/domains/{id}/versions", &Api::domain_versions},
      {"GET", "/v1/domains/{id}", &Api::get_domain},
      {"PUT", "/v1/domains/{id}", &Api::replace_domain},
      {"DELETE", "/v1/domains/{id}", &Api::remove_domain},
      {"GET", "/v1/domain-audit", &Api::domain_audit},
      {"GET", "/v1/domain-registry", &Api::domain_registry},
      {"GET", "/v1/agent-catalog", &Api::agent_catalog},
      {"GET", "/v2/models", &Api::v2_models},
      {"GET", "/v2/health", &Api::v2_health},
      {"POST", "/v2/chat/completions", &Api::v2_chat},
      {"POST", "/v1/chat/completions", &Api::chat},
      {"POST", "/v1/completions", &Api::complete},
      {"POST", "/v1/embeddings", &Api::embed},
      {"POST", "/v1/route", &Api::route},
  };
  return kRoutes;
}

Api::Api(runtime::Service& service, ApiOptions options)
    : service_(service), options_(std::move(options)), started_unix_(now_unix()) {}

void Api::handle(net::Request request, std::shared_ptr<net::Sink> sink) const {
  log::debug("{} {} {}", request.id, request.method, request.path);
  Call call{std::move(request), "", std::move(sink)};
  const net::Request& asked = call.request;
  const bool reads = asked.method == "GET" || asked.method == "HEAD";
  const Route* first = nullptr;  // that fits the path
  const Route* found = nullptr;  // and the method
  std::string allowed;
  for (const Route& route : routes()) {
    if (first == nullptr ? !route.match(asked.path) : route.pattern != first->pattern) continue;
    if (first == nullptr) first = &route;
    if (route.method == "GET" ? reads : asked.method == route.method) found = &route;
    allowed += std::string(allowed.empty() ? "" : ", ") + std::string(route.method);
    if (route.method == "GET") allowed += ", HEAD";
  }
  if (first == nullptr) return call.fail(no_such_path(asked));
  if (found == nullptr) {
    ApiError error;
    error.status = 405;
    error.message = "this endpoint answers only " + allowed;
    error.code = "method_not_allowed";
    net::Response response = error_response(error);
    response.headers.push_back({"allow", allowed});
    return call.sink->respond(std::move(response));
  }
  if (!net::percent_decode(*first->match(asked.path), call.id))
    return call.fail(no_such_path(asked));
  if (!reads && !(asked.method == "DELETE" && asked.body.empty()))
    if (const auto refusal = net::check_json_content(asked))
      return call.fail(from_refusal(*refusal));
  (this->*found->handler)(call);
}

void Api::index(Call& call) const {
  call.sink->respond(text_response(
      "localai " + options_.version +
      "\n\nPOST /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/route\nGET  /v1/models, "
      "/v1/models/loaded, /v1/models/events, /v1/domains, /health, /metrics\n"));
}

void Api::health(Call& call) const {
  call.sink->respond(json_response({{"status", options_.draining() ? "draining" : "ok"},
                                    {"version", options_.version},
                                    {"uptime_seconds", now_unix() - started_unix_}}));
}

void Api::live(Call& call) const { call.sink->respond(json_response({{"status", "ok"}})); }

void Api::ready(Call& call) const {
  const bool draining = options_.draining();
  call.sink->respond(
      json_response({{"status", draining ? "draining" : "ok"}}, draining ? 503 : 200));
}

void Api::list_models(Call& call) const {
  Json data = Json::array();
  for (const runtime::ModelEntry& entry : service_.models())
    data.push_back(model_json(entry, started_unix_));
  call.sink->respond(json_response({{"object", "list"}, {"data", std::move(data)}}));
}

void Api::get_model(Call& call) const {
  for (const runtime::ModelEntry& entry : service_.models())
    if (entry.id == call.id)
      return call.sink->respond(json_response(model_json(entry, started_unix_)));
  call.fail(no_such_model(call.id));
}

void Api::generate(Call& call, ParsedRequest parsed, bool chat, const std::string& domain) const {
  if (const auto* error = std::get_if<ApiError>(&parsed)) return call.fail(*error);
  auto& request = std::get<GenerationRequest>(parsed);
  if (!domain.empty()) {
    if (!request.model.empty() && request.model != "auto" && request.model != domain)
      return call.fail(bad_field("model", "differs from the domain '" + domain + "' of the path",
                                 "invalid_value"));
    request.model = domain;
  }
  request.progress = call.request.header("x-localai-progress") == "1";
  auto renderer = chat ? make_chat_renderer(request.generate.logprobs)
                       : make_completion_renderer(request.generate.logprobs);
  GenerationSession::start(service_, std::move(request), std::move(renderer), call.sink);
}

void Api::chat(Call& call) const { generate(call, parse_chat_request(call.request.body), true); }

// As chat, but the path names the domain. `model` may be left out, or repeat it.
void Api::domain_chat(Call& call) const {
  const Result<Json> domain = service_.domain(call.id);
  if (!domain.ok()) return call.fail(from_error(domain.error()));
  generate(call, parse_chat_request(call.request.body), true, call.id);
}

void Api::complete(Call& call) const {
  generate(call, parse_completion_request(call.request.body), false);
}

void Api::embed(Call& call) const {
  ParsedEmbeddingCall parsed = parse_embedding_call(call.request.body);
  if (const auto* error = std::get_if<ApiError>(&parsed)) return call.fail(*error);
  EmbeddingSession::start(service_, std::get<EmbeddingCall>(std::move(parsed)), call.sink);
}

void Api::route(Call& call) const {
  ParsedRequest parsed = parse_route_request(call.request.body);
  if (const auto* error = std::get_if<ApiError>(&parsed)) return call.fail(*error);
  auto& request = std::get<GenerationRequest>(parsed);
  service_.route(std::move(request.model), std::move(request.generate),
                 [sink = call.sink](const Result<runtime::RouteDecision>& decision) {
                   sink->respond(decision.ok()
                                     ? json_response(runtime::route_decision_json(*decision))
                                     : error_response(from_error(decision.error())));
                 });
}

}  // namespace localai::server
