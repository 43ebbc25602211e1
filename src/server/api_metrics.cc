// GET /metrics: the state of the model cache and of the Transformers services, as Prometheus text.
// Source: the Prometheus exposition format, version 0.0.4.
#include <fmt/format.h>

#include "server/api.h"
#include "server/api_call.h"

namespace localai::server {
namespace {

// name="value", escaped.
std::string label(std::string_view name, std::string_view value) {
  std::string out = std::string(name) + "=\"";
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + '"';
}

class Metrics {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
  }
  void value(const std::string& labels, uint64_t value) {
    text_ += fmt::format("{}{} {}\n", name_, labels.empty() ? "" : "{" + labels + "}", value);
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string name_, text_;
};

void add_models(const runtime::LoadedModels& loaded, Metrics& out) {
  out.family("localai_model_cache_bytes", "gauge", "Bytes reserved by all models");
  out.value("", loaded.bytes);
  out.family("localai_model_cache_budget_bytes", "gauge", "The most they may reserve");
  out.value("", loaded.budget_bytes);
  out.family("localai_model_bytes", "gauge", "Bytes of one loaded model");
  for (const runtime::LoadedEntry& entry : loaded.models)
    out.value(label("model", entry.id) + "," + label("backend", entry.backend), entry.bytes);
  out.family("localai_model_in_use", "gauge", "Requests that use it now");
  for (const runtime::LoadedEntry& entry : loaded.models)
    out.value(label("model", entry.id) + "," + label("backend", entry.backend), entry.in_use);
}

void add_services(const std::vector<runtime::ServiceState>& services, Metrics& out) {
  out.family("localai_transformers_breaker_state", "gauge", "0: closed, 1: half-open, 2: open");
  for (const auto& service : services)
    out.value(label("service", service.url), static_cast<uint64_t>(service.breaker.state));
  out.family("localai_transformers_breaker_opened_total", "counter", "Times the breaker opened");
  for (const auto& service : services)
    out.value(label("service", service.url), service.breaker.opened);
  out.family("localai_transformers_process_up", "gauge", "The service started here: 1, it answers");
  for (const auto& service : services)
    if (service.own) out.value(label("service", service.url), service.running ? 1 : 0);
  out.family("localai_transformers_process_starts_total", "counter",
             "Starts of the service that is started here");
  for (const auto& service : services)
    if (service.own) out.value(label("service", service.url), service.starts);
  out.family("localai_transformers_calls_total", "counter",
             "Calls by result; refused: not made, the breaker was open");
  for (const auto& service : services) {
    const std::string url = label("service", service.url);
    out.value(url + ",result=\"success\"", service.breaker.successes);
    out.value(url + ",result=\"failure\"", service.breaker.failures);
    out.value(url + ",result=\"refused\"", service.breaker.refused);
  }
}

}  // namespace

void Api::metrics(Call& call) const {
  Metrics out;
  add_models(service_.loaded(), out);
  add_services(service_.transformers(), out);
  net::Response response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = out.take();
  call.sink->respond(std::move(response));
}

}  // namespace localai::server
