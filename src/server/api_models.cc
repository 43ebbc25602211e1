// The endpoints over the model cache: what is loaded, plans, loads, unloads, the event log.
#include <string>

#include "base/number.h"
#include "server/api.h"
#include "server/api_call.h"
#include "server/fields.h"

namespace localai::server {
namespace {

constexpr size_t kNameBytesMax = 512;

Json evictions_json(const std::vector<runtime::Eviction>& evictions) {
  Json out = Json::array();
  for (const runtime::Eviction& eviction : evictions)
    out.push_back({{"id", eviction.id}, {"bytes", eviction.bytes}, {"reason", eviction.reason}});
  return out;
}

Json event_json(const runtime::ModelEvent& event) {
  Json out = {{"id", event.id},       {"time", event.time_unix}, {"type", event.type},
              {"model", event.model}, {"path", event.path},      {"bytes", event.bytes}};
  if (event.type == "load_started") out["evict"] = evictions_json(event.evict);
  if (event.type == "load_finished") out["load_ms"] = event.load_ms;
  if (!event.reason.empty()) out["reason"] = event.reason;
  return out;
}

Json plan_json(const runtime::LoadPlan& plan) {
  return {{"model", plan.model},   {"load", plan.loaded ? Json() : Json(plan.model)},
          {"bytes", plan.bytes},   {"evict", evictions_json(plan.evict)},
          {"fits", plan.fits},     {"wait_ms", plan.wait_ms},
          {"eta_ms", plan.eta_ms}, {"reason", plan.reason.empty() ? Json() : Json(plan.reason)}};
}

// {"model": NAME} and nothing else.
std::variant<std::string, ApiError> parse_model_body(std::string_view body) {
  Result<Json> json = parse_json(body);
  if (!json.ok() || !json->is_object()) {
    ApiError error;
    error.message = json.ok() ? "the body must be a JSON object" : json.error().message;
    error.code = "invalid_json";
    return error;
  }
  Fields fields(*json, "");
  const auto model = fields.string("model", kNameBytesMax);
  if (!model || model->empty()) fields.fail("model", "is required", "missing_required_parameter");
  fields.finish();
  if (fields.error()) return *fields.error();
  return *model;
}

}  // namespace

std::string_view query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=')
      return pair.substr(name.size() + 1);
  }
  return {};
}

Json loaded_json(const runtime::LoadedEntry& entry) {
  const engine::EngineMemory& memory = entry.memory;
  return {{"id", entry.id},
          {"path", entry.path},
          {"backend", entry.backend},
          {"bytes", entry.bytes},
          {"in_use", entry.in_use},
          {"pinned", entry.pinned},
          {"last_used", entry.last_used_unix},
          {"predicted_bytes", entry.predicted_bytes},
          {"memory",
           {{"weights_mapped_bytes", memory.weights_mapped_bytes},
            {"weights_private_bytes", memory.weights_private_bytes},
            {"kv_bytes", memory.kv_bytes},
            {"scratch_bytes", memory.scratch_bytes}}}};
}

void Api::loaded_models(Call& call) const {
  const runtime::LoadedModels loaded = service_.loaded();
  Json data = Json::array();
  for (const runtime::LoadedEntry& entry : loaded.models) data.push_back(loaded_json(entry));
  call.sink->respond(json_response({{"object", "list"},
                                    {"data", std::move(data)},
                                    {"bytes", loaded.bytes},
                                    {"budget_bytes", loaded.budget_bytes}}));
}

void Api::plan_model(Call& call) const {
  auto model = parse_model_body(call.request.body);
  if (const auto* error = std::get_if<ApiError>(&model)) return call.fail(*error);
  service_.plan(std::get<std::string>(model), [sink = call.sink](Result<runtime::LoadPlan> plan) {
    sink->respond(plan.ok() ? json_response(plan_json(*plan))
                            : error_response(from_error(plan.error())));
  });
}

void Api::load_model(Call& call) const {
  auto model = parse_model_body(call.request.body);
  if (const auto* error = std::get_if<ApiError>(&model)) return call.fail(*error);
  service_.load(std::get<std::string>(model),
                [sink = call.sink](Result<runtime::LoadedEntry> loaded) {
                  if (!loaded.ok())
                    return sink->respond(error_response(from_error(loaded.error())));
                  Json body = loaded_json(*loaded);
                  body["loaded"] = true;
                  sink->respond(json_response(body));
                });
}

void Api::unload_model(Call& call) const {
  auto model = parse_model_body(call.request.body);
  if (const auto* error = std::get_if<ApiError>(&model)) return call.fail(*error);
  service_.unload(std::get<std::string>(model), [sink = call.sink](Result<runtime::Unloaded> done) {
    if (!done.ok()) return sink->respond(error_response(from_error(done.error())));
    sink->respond(json_response(
        {{"id", done->model}, {"unloaded", done->bytes > 0}, {"bytes", done->bytes}}));
  });
}

// The kept events, then what happens: from the event after `Last-Event-ID` or `?after=`;
// `?follow=false` ends after the kept ones.
void Api::model_events(Call& call) const {
  std::string_view after = query_value(call.request.query, "after");
  if (after.empty()) after = call.request.header("last-event-id");
  const auto id = after.empty() ? 0 : parse_number<uint64_t>(after);
  if (!id) return call.fail(bad_field("after", "is not the id of an event", "invalid_value"));
  const auto sink = call.sink;
  sink->begin_stream({});
  auto watch = std::make_shared<std::shared_ptr<runtime::EventLog::Watch>>();
  *watch = service_.watch_events(*id, [sink](const runtime::ModelEvent& event) {
    sink->write("id: " + std::to_string(event.id) + "\n" +
                net::sse_event(dump_json(event_json(event))));
  });
  if (query_value(call.request.query, "follow") == "false") {
    watch->reset();
    return sink->finish();
  }
  // Until the client goes: the watch keeps the sink, and the sink's end drops the watch.
  sink->on_end([watch](net::EndReason) { watch->reset(); });
}

}  // namespace localai::server
