#pragma once
// The endpoints: which path and method does what. Translates between HTTP and runtime::Service.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/http.h"
#include "runtime/service.h"
#include "server/api_error.h"
#include "server/generation_request.h"

namespace localai::server {

struct ApiOptions {
  std::string version;
  std::function<bool()> draining = [] { return false; };  // thread-safe
};

// Thread-safe.
class Api {
 public:
  // `service` outlives this and every answer in progress.
  Api(runtime::Service& service, ApiOptions options);

  // Answers, or starts to: never blocks, whatever the request holds.
  void handle(net::Request request, std::shared_ptr<net::Sink> sink) const;

 private:
  struct Call;
  struct Route;
  static const std::vector<Route>& routes();

  void index(Call& call) const;
  void health(Call& call) const;
  void live(Call& call) const;
  void ready(Call& call) const;
  void metrics(Call& call) const;  // api_metrics.cc
  void list_models(Call& call) const;
  void get_model(Call& call) const;
  void loaded_models(Call& call) const;  // these five: api_models.cc
  void model_events(Call& call) const;
  void plan_model(Call& call) const;
  void load_model(Call& call) const;
  void unload_model(Call& call) const;
  void domain_registry(Call& call) const;  // these five: api_v2.cc
  void agent_catalog(Call& call) const;
  void v2_models(Call& call) const;
  void v2_health(Call& call) const;
  void v2_chat(Call& call) const;
  void list_domains(Call& call) const;  // these eight: api_domains.cc
  void get_domain(Call& call) const;
  void create_domain(Call& call) const;
  void create_domain_v0(Call& call) const;
  void replace_domain(Call& call) const;
  void remove_domain(Call& call) const;
  void domain_versions(Call& call) const;
  void domain_audit(Call& call) const;
  void chat(Call& call) const;
  void domain_chat(Call& call) const;
  void complete(Call& call) const;
  void embed(Call& call) const;
  net::Response changed_response(const runtime::DomainChanged& changed, int status) const;
  // `id_key`: what the client calls the id.
  void change_domain(Call& call, runtime::DomainChange change, const char* id_key,
                     std::function<net::Response(const runtime::DomainChanged&)> render) const;
  // `domain`: named by the path; "": the request names its model.
  void generate(Call& call, ParsedRequest parsed, bool chat, const std::string& domain = "") const;
  void route(Call& call) const;

  runtime::Service& service_;
  const ApiOptions options_;
  const int64_t started_unix_;
};

}  // namespace localai::server
