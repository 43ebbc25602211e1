#include "runtime/local_service.h"

#include <set>

#include "base/log.h"
#include "runtime/candidate_run.h"
#include "runtime/request_state.h"
#include "runtime/route_request.h"
#include "runtime/router_embedder.h"

namespace localai::runtime {
namespace {

// What the caller of start() holds: dropping it gives the request up.
class ServiceTicket final : public engine::Ticket {
 public:
  explicit ServiceTicket(std::shared_ptr<RequestState> state) : state_(std::move(state)) {}
  ServiceTicket(const ServiceTicket&) = delete;
  ServiceTicket& operator=(const ServiceTicket&) = delete;
  ~ServiceTicket() override { state_->cancel(); }
  void cancel() override { state_->cancel(); }

 private:
  std::shared_ptr<RequestState> state_;
};

ResolverOptions with_settings(ResolverOptions options, const Settings& settings) {
  options.vaultgemma_fallback = settings.vaultgemma_fallback;
  options.transformers_base_url = settings.transformers_base_url;
  return options;
}

}  // namespace

LocalService::LocalService(ServiceOptions options, std::unique_ptr<ModelOpener> opener)
    : settings_(std::move(options.settings)),
      resolver_options_(with_settings(std::move(options.resolver), settings_)),
      serving_(serve(std::move(options.config))),
      workers_(options.workers),
      transformers_(transformers_options(std::move(options.launch))),
      cache_(make_opener(std::move(opener), transformers_),
             {.budget_bytes = settings_.cache_bytes_max}),
      admin_(std::move(options.admin)) {
  preload();
  if (admin_) start_admin();
}

LocalService::~LocalService() {
  if (admin_) admin_->stop();
  stopping_ = true;
  transformers_.stop();
  workers_
      .stop();  // what is queued fails fast; from here on the cache's answers run where they are
}

void LocalService::start_admin() {
  admin_->start({.apply = [this](DomainConfig config) { reload(std::move(config)); },
                 .report =
                     [this](std::string type, std::string reason) {
                       ModelEvent event;
                       event.type = std::move(type);
                       event.path = resolver()->config().file.string();
                       event.reason = std::move(reason);
                       cache_.events().add(std::move(event));
                     }});
}

Serving LocalService::serve(DomainConfig config) {
  Serving out;
  out.resolver = std::make_shared<const Resolver>(std::move(config), resolver_options_);
  out.router = std::make_shared<const Router>(out.resolver->config(),
                                              cached_router_embedder(*out.resolver, cache_));
  return out;
}

// The service of our own finds its models where the config and the models directory have them, and
// has the same budget. With TRANSFORMERS_BASE_URL there is none.
TransformersOptions LocalService::transformers_options(TransformersLaunch launch) const {
  TransformersOptions out;
  out.breaker = settings_.breaker;
  if (settings_.transformers_base_url.empty()) out.launch = std::move(launch);
  out.environment = [this] {
    std::error_code error;
    const auto models_dir = std::filesystem::absolute(resolver_options_.models_dir, error);
    return std::vector<std::pair<std::string, std::string>>{
        {"TRANSFORMERS_MODELS_DIR", models_dir.string()},
        {"TRANSFORMERS_MODELS", dump_json(service_models(*resolver()))},
        // What requests may name was checked here; nobody else knows its port.
        {"TRANSFORMERS_ALLOW_PATHS", "1"},
        {"MODEL_CACHE_MAX_MEMORY_MB", std::to_string(settings_.cache_bytes_max >> 20)},
        {"PYTHONUNBUFFERED", "1"}};
  };
  return out;
}

Serving LocalService::serving() const {
  const std::lock_guard lock(mutex_);
  return serving_;
}

TimePoint LocalService::deadline() const {
  return std::chrono::steady_clock::now() + std::chrono::seconds(settings_.cache_wait_seconds);
}

void LocalService::reload(DomainConfig config) {
  Serving fresh = serve(std::move(config));
  {
    const std::lock_guard lock(mutex_);
    std::swap(serving_, fresh);
  }
  preload();
}

Generation LocalService::start(std::string model, GenerateRequest request, ReadySink on_ready,
                               GenerateSink sink) {
  auto state = std::make_shared<RequestState>(std::move(on_ready), std::move(sink));
  auto run = std::make_shared<CandidateRun>(
      CandidateContext{cache_, workers_, [this] { return stopping_.load(); }}, serving(), state,
      std::move(request), deadline());
  workers_.post([run = std::move(run), name = std::move(model)] { run->start(name); });
  return std::make_unique<ServiceTicket>(std::move(state));
}

void LocalService::route(std::string model, GenerateRequest request, RouteSink sink) {
  workers_.post(
      [this, model = std::move(model), request = std::move(request), sink = std::move(sink)] {
        const Serving now = serving();
        sink(explain_route(*now.resolver, *now.router, model, request));
      });
}

void LocalService::plan(std::string model, std::function<void(Result<LoadPlan>)> sink) {
  workers_.post([this, model = std::move(model), sink = std::move(sink)] {
    auto target = resolver()->resolve(model);
    if (!target.ok()) return sink(std::move(target.error()));
    cache_.plan(target->source, sink);
  });
}

void LocalService::load(std::string model, std::function<void(Result<LoadedEntry>)> sink) {
  workers_.post([this, model = std::move(model), sink = std::move(sink)] {
    auto target = resolver()->resolve(model);
    if (!target.ok()) return sink(std::move(target.error()));
    cache_.acquire(target->source, {.deadline = deadline()},
                   [this, sink, path = target->source.path.string()](auto lease) {
                     if (!lease.ok()) return sink(std::move(lease.error()));
                     for (LoadedEntry& entry : cache_.loaded().models)
                       if (entry.path == path) return sink(std::move(entry));
                     sink(Error{Code::kInternal, path + ": leased, but not listed as loaded"});
                   });
  });
}

void LocalService::unload(std::string model, std::function<void(Result<Unloaded>)> sink) {
  workers_.post([this, model = std::move(model), sink = std::move(sink)] {
    // A loaded model is found by its name also when the config no longer leads to it.
    std::filesystem::path path;
    std::string name = model;
    for (const LoadedEntry& entry : cache_.loaded().models)
      if (entry.id == model) path = entry.path;
    if (const auto target = resolver()->resolve(model); target.ok()) {
      path = target->source.path;
      name = target->source.name;
    } else if (path.empty()) {
      return sink(target.error());
    }
    cache_.unload(path, [sink, name](Result<uint64_t> freed) {
      if (!freed.ok()) return sink(std::move(freed.error()));
      sink(Unloaded{name, *freed});
    });
  });
}

std::shared_ptr<EventLog::Watch> LocalService::watch_events(uint64_t after,
                                                            EventLog::Watcher watcher) {
  return cache_.events().watch(after, std::move(watcher));
}

// Loads what is to be there from the start, as far as it fits beside what is in use.
void LocalService::preload() {
  const auto resolver = this->resolver();
  std::vector<std::string> names = settings_.preload;
  for (const Domain& domain : resolver->config().domains)
    if ((domain.preload || !settings_.lazy_loading) && domain.unsupported.empty())
      names.push_back(domain.id);
  std::set<std::filesystem::path> seen;
  for (const std::string& name : names) {
    auto target = resolver->resolve(name);
    if (!target.ok()) {
      log::warn("cannot load '{}' at start: {}", name, target.error().message);
      continue;
    }
    if (!seen.insert(target->source.path).second) continue;
    cache_.acquire(target->source, {.deadline = deadline()}, [name](auto lease) {
      if (!lease.ok()) log::warn("cannot load '{}' at start: {}", name, lease.error().message);
    });
  }
}

ModelEntry LocalService::entry_of(const Resolver& resolver, const Domain& domain) const {
  ModelEntry entry{domain.id, "domain", domain.backend, domain.model_path, 0, false};
  const auto path = resolver.model_of(domain);
  if (!path.ok() || !domain.unsupported.empty()) return entry;
  entry.path = path->string();
  if (!domain.service) entry.bytes = model_bytes_on_disk(*path);
  const auto target = resolver.resolve(domain.id);
  if (target.ok() && target->source.service) entry.backend = target->resolution.backend;
  entry.loaded = target.ok() && cache_.is_loaded(target->source.path);
  return entry;
}

std::vector<ModelEntry> LocalService::models() const {
  const auto resolver = this->resolver();
  std::vector<ModelEntry> out;
  std::set<std::string> ids;
  for (const Domain& domain : resolver->config().domains) {
    out.push_back(entry_of(*resolver, domain));
    ids.insert(domain.id);
  }
  for (const ModelFile& file : resolver->catalog().scan()) {
    if (!ids.insert(file.name).second) continue;  // a domain, or the first file, has this name
    const ModelSource source = resolver->source_of(file);
    out.push_back({file.name, "model", source.service ? "hf-transformers" : file.format,
                   file.path.string(), file.bytes, cache_.is_loaded(source.path), file.source});
  }
  return out;
}

Json LocalService::describe(const Resolver& resolver, const Domain& domain) const {
  const ModelEntry entry = entry_of(resolver, domain);
  Json config = domain.config;
  config["agent_id"] = domain.agent_id;
  config["model_path"] = domain.model_path;
  config["layer"] = domain.layer;
  config["team"] = domain.team;
  config["tags"] = domain.tags;
  config["keywords"] = domain.keywords;
  Json out = {{"id", domain.id},
              {"object", "domain"},
              {"name", domain.name},
              {"agent_id", domain.agent_id},
              {"layer", domain.layer},
              {"team", domain.team},
              {"tags", domain.tags},
              {"keywords", domain.keywords},
              {"aliases", domain.aliases},
              {"backend_type", entry.backend},
              {"model_name", domain.model_name},
              {"model_path", entry.path},
              {"loaded", entry.loaded},
              {"available", domain.unsupported.empty()},
              {"version", domain.version}};
  out["max_tokens"] = domain.max_tokens ? Json(*domain.max_tokens) : Json();
  out["temperature"] = domain.temperature ? Json(*domain.temperature) : Json();
  out["fallback_model"] = domain.fallbacks.empty() ? Json("") : Json(domain.fallbacks.front());
  if (!domain.unsupported.empty()) out["reason"] = domain.unsupported;
  out["config"] = std::move(config);
  return out;
}

Json LocalService::domains() const {
  const auto resolver = this->resolver();
  const DomainConfig& config = resolver->config();
  Json out = {{"object", "list"}, {"data", Json::array()}, {"domains", Json::object()}};
  for (const Domain& domain : config.domains) {
    Json described = describe(*resolver, domain);
    out["domains"][domain.id] = {{"config", described["config"]}};
    out["data"].push_back(std::move(described));
  }
  out["default_domain"] = config.default_domain;
  out["layer_mapping"] = config.layer_mapping;
  out["errors"] = Json::array();
  for (const DomainProblem& problem : config.errors)
    out["errors"].push_back({{"domain", problem.domain}, {"message", problem.message}});
  return out;
}

Result<Json> LocalService::domain(const std::string& id) const {
  const auto resolver = this->resolver();
  const Domain* found = resolver->find_domain(id);
  if (found == nullptr) return not_found("domain '" + id + "': no domain of that name");
  return describe(*resolver, *found);
}

void LocalService::change_domain(DomainChange change, DomainChangeSink sink) {
  if (!admin_) return sink(unavailable("this service keeps its domains as they are"));
  admin_->change(std::move(change), std::move(sink));
}

void LocalService::domain_changes(ChangeQuery query, StoredChangesSink sink) {
  if (!admin_) return sink(unavailable("this service keeps its domains as they are"));
  admin_->changes(std::move(query), std::move(sink));
}

}  // namespace localai::runtime
