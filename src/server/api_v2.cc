// Endpoints of the earlier server that its clients still call: the registry, the catalog, and v2.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>

#include "server/api.h"
#include "server/api_call.h"
#include "server/fields.h"
#include "server/generation_session.h"

namespace localai::server {
namespace {

std::string now_rfc3339() {
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now));
}

// Of each domain, the members `keys` as GET /v1/domains shows them.
Json domain_list(const Json& domains, std::initializer_list<const char*> keys) {
  Json out = Json::array();
  for (const Json& domain : domains["data"]) {
    Json line = Json::object();
    for (const char* key : keys) line[key] = domain.value(key, Json());
    out.push_back(std::move(line));
  }
  return out;
}

// A chat answer with what v2 has in addition.
class V2Renderer final : public Renderer {
 public:
  V2Renderer(std::unique_ptr<Renderer> chat, std::string workflow_id)
      : chat_(std::move(chat)), workflow_id_(std::move(workflow_id)), time_(now_rfc3339()) {}
  [[nodiscard]] std::string_view id_prefix() const override { return "v2_req_"; }
  [[nodiscard]] Json whole(const AnswerHead& head, const Piece& text,
                           std::string_view finish_reason,
                           const runtime::Usage& usage) const override {
    return extended(head, chat_->whole(head, text, finish_reason, usage));
  }
  [[nodiscard]] Json opening(const AnswerHead& head) const override {
    return extended(head, chat_->opening(head));
  }
  [[nodiscard]] Json piece(const AnswerHead& head, const Piece& piece) const override {
    return chat_->piece(head, piece);
  }
  [[nodiscard]] Json closing(const AnswerHead& head,
                             std::string_view finish_reason) const override {
    return chat_->closing(head, finish_reason);
  }
  [[nodiscard]] Json usage(const AnswerHead& head, const runtime::Usage& usage) const override {
    return chat_->usage(head, usage);
  }

 private:
  [[nodiscard]] Json extended(const AnswerHead& head, Json body) const {
    body["domain"] = head.resolution.domain;
    if (!workflow_id_.empty()) body["workflow_id"] = workflow_id_;
    body["request_time"] = time_;
    return body;
  }
  std::unique_ptr<Renderer> chat_;
  std::string workflow_id_, time_;
};

}  // namespace

// The settings of every domain, without secrets.
void Api::domain_registry(Call& call) const {
  const Json domains = service_.domains();
  Json out = Json::object();
  for (const auto& [id, domain] : domains["domains"].items()) out[id] = domain["config"];
  call.sink->respond(json_response({{"domains", std::move(out)}}));
}

void Api::agent_catalog(Call& call) const {
  Json data = domain_list(service_.domains(), {"id", "name", "agent_id", "layer", "team", "tags",
                                               "keywords", "backend_type", "available"});
  const size_t count = data.size();
  call.sink->respond(
      json_response({{"object", "list"}, {"data", std::move(data)}, {"count", count}}));
}

void Api::v2_models(Call& call) const {
  Json data = domain_list(service_.domains(), {"id", "name", "layer", "team", "backend_type",
                                               "tags", "keywords", "max_tokens", "temperature"});
  for (Json& line : data) line["backend"] = line["backend_type"];
  const size_t count = data.size();
  call.sink->respond(json_response(
      {{"object", "list"}, {"data", std::move(data)}, {"version", "v2"}, {"count", count}}));
}

void Api::v2_health(Call& call) const {
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  call.sink->respond(json_response({{"status", options_.draining() ? "draining" : "ok"},
                                    {"version", "v2"},
                                    {"timestamp", now_rfc3339()},
                                    {"service",
                                     {{"name", "localai"},
                                      {"version", options_.version},
                                      {"uptime_seconds", now - started_unix_}}}}));
}

// As v1 chat. `domain_filter` is its `domains`; `workflow_id` comes back; `trace_parent` is
// accepted without effect; asynchronous answers are refused.
void Api::v2_chat(Call& call) const {
  Result<Json> body = parse_json(call.request.body);
  std::string workflow_id;
  std::string text = call.request.body;
  if (body.ok() && body->is_object()) {
    Fields fields(*body, "");
    workflow_id = fields.string("workflow_id", 512).value_or("");
    fields.string("trace_parent", 512);
    fields.unsupported("async", false);
    fields.unsupported("callback_url", "");
    if (fields.error()) return call.fail(*fields.error());
    for (const char* key : {"workflow_id", "trace_parent", "async", "callback_url"})
      body->erase(key);
    if (const auto filter = body->find("domain_filter"); filter != body->end()) {
      if (!filter->is_null()) (*body)["domains"] = Json(*filter);
      body->erase("domain_filter");
    }
    text = dump_json(*body);
  }
  ParsedRequest parsed = parse_chat_request(text);  // says what is wrong with a malformed one
  if (const auto* error = std::get_if<ApiError>(&parsed)) return call.fail(*error);
  auto& request = std::get<GenerationRequest>(parsed);
  auto renderer = std::make_unique<V2Renderer>(make_chat_renderer(request.generate.logprobs),
                                               std::move(workflow_id));
  GenerationSession::start(service_, std::move(request), std::move(renderer), call.sink);
}

}  // namespace localai::server
