#include "runtime/local_service.h"

#include <algorithm>
#include <exception>
#include <set>

#include "base/log.h"
#include "runtime/request_state.h"

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

// A library's exception (std::bad_alloc first of all) fails one request, not the process.
template <class Work>
void guarded(RequestState& state, Work work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    state.fail(exhausted("out of memory"));
  } catch (const std::exception& error) {
    state.fail({Code::kInternal, error.what()});
  }
}

bool is_system(const Json& message) {
  if (!message.is_object()) return false;
  const auto role = message.find("role");
  return role != message.end() && (*role == "system" || *role == "developer");
}

void add_system_prompt(const std::string& prompt, ChatInput& input) {
  if (!input.messages.is_array()) return;  // the backend says what is wrong with it
  if (std::any_of(input.messages.begin(), input.messages.end(), is_system)) return;
  input.messages.insert(input.messages.begin(), Json{{"role", "system"}, {"content", prompt}});
}

template <class T>
void fill(std::optional<T>& value, const std::optional<T>& fallback) {
  if (!value) value = fallback;
}

}  // namespace

void apply_domain(const Domain& domain, GenerateRequest& request) {
  fill(request.sampling.temperature, domain.temperature);
  fill(request.sampling.top_p, domain.top_p);
  fill(request.sampling.top_k, domain.top_k);
  fill(request.max_tokens, domain.max_tokens);
  if (request.stop.empty()) request.stop = domain.stop;
  if (request.context_length == 0) request.context_length = domain.context_length.value_or(0);
  auto* chat = std::get_if<ChatInput>(&request.input);
  if (chat == nullptr) return;
  if (domain.system_prompt) add_system_prompt(*domain.system_prompt, *chat);
  if (!chat->chat_template) chat->chat_template = domain.compiled_template;
}

LocalService::LocalService(ServiceOptions options, std::unique_ptr<ModelOpener> opener)
    : resolver_(std::move(options.config), std::move(options.resolver)),
      workers_(options.workers),
      cache_(std::move(opener), {.budget_bytes = options.settings.cache_bytes_max}) {
  preload(options.settings);
}

LocalService::~LocalService() {
  stopping_ = true;
  workers_
      .stop();  // what is queued fails fast; from here on the cache's answers run where they are
}

Generation LocalService::start(std::string model, GenerateRequest request, ReadySink on_ready,
                               GenerateSink sink) {
  auto state = std::make_shared<RequestState>(std::move(on_ready), std::move(sink));
  auto asked = std::make_shared<GenerateRequest>(std::move(request));

  const auto run = [this, state](const Target& target, GenerateRequest& ready,
                                 Result<ModelCache::Lease>& lease) {
    if (!lease.ok()) return state->fail(std::move(lease.error()));
    if (stopping_) return state->fail(cancelled("the server is stopping"));
    state->run(std::move(*lease), target.resolution, std::move(ready));
  };
  workers_.post([this, state, asked, run, name = std::move(model)] {
    guarded(*state, [&] {
      if (stopping_) return state->fail(cancelled("the server is stopping"));
      auto target = resolver_.resolve(name);
      if (!target.ok()) return state->fail(std::move(target.error()));
      if (target->domain != nullptr) apply_domain(*target->domain, *asked);
      cache_.acquire(target->source, state->stop_token(),
                     [this, state, asked, run, chosen = *target](Result<ModelCache::Lease> lease) {
                       auto held = std::make_shared<Result<ModelCache::Lease>>(std::move(lease));
                       workers_.post([state, asked, run, chosen, held] {
                         guarded(*state, [&] { run(chosen, *asked, *held); });
                       });
                     });
    });
  });
  return std::make_unique<ServiceTicket>(std::move(state));
}

void LocalService::preload(const Settings& settings) {
  std::vector<std::string> names = settings.preload;
  for (const Domain& domain : resolver_.config().domains)
    if ((domain.preload || !settings.lazy_loading) && domain.unsupported.empty())
      names.push_back(domain.id);
  std::set<std::filesystem::path> seen;
  for (const std::string& name : names) {
    auto target = resolver_.resolve(name);
    if (!target.ok()) {
      log::warn("cannot load '{}' at start: {}", name, target.error().message);
      continue;
    }
    if (!seen.insert(target->source.path).second) continue;
    cache_.acquire(target->source, std::stop_token(), [name](Result<ModelCache::Lease> lease) {
      if (!lease.ok()) log::warn("cannot load '{}' at start: {}", name, lease.error().message);
    });
  }
}

ModelEntry LocalService::entry_of(const Domain& domain) const {
  ModelEntry entry{domain.id, "domain", domain.backend, domain.model_path, 0, false};
  const auto path = resolver_.model_of(domain);
  if (!path.ok() || !domain.unsupported.empty()) return entry;
  entry.path = path->string();
  entry.bytes = model_bytes_on_disk(*path);
  entry.loaded = cache_.is_loaded(canonical_path(*path));
  return entry;
}

std::vector<ModelEntry> LocalService::models() const {
  std::vector<ModelEntry> out;
  std::set<std::string> ids;
  for (const Domain& domain : resolver_.config().domains) {
    out.push_back(entry_of(domain));
    ids.insert(domain.id);
  }
  for (const ModelFile& file : resolver_.catalog().scan()) {
    if (!ids.insert(file.name).second) continue;  // a domain, or the first file, has this name
    out.push_back({file.name, "model", file.format, file.path.string(), file.bytes,
                   cache_.is_loaded(canonical_path(file.path)), file.source});
  }
  return out;
}

Json LocalService::describe(const Domain& domain) const {
  const ModelEntry entry = entry_of(domain);
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
              {"backend_type", domain.backend},
              {"model_name", domain.model_name},
              {"model_path", entry.path},
              {"loaded", entry.loaded},
              {"available", domain.unsupported.empty()}};
  out["max_tokens"] = domain.max_tokens ? Json(*domain.max_tokens) : Json();
  out["temperature"] = domain.temperature ? Json(*domain.temperature) : Json();
  out["fallback_model"] = domain.fallbacks.empty() ? Json("") : Json(domain.fallbacks.front());
  if (!domain.unsupported.empty()) out["reason"] = domain.unsupported;
  out["config"] = std::move(config);
  return out;
}

Json LocalService::domains() const {
  const DomainConfig& config = resolver_.config();
  Json out = {{"object", "list"}, {"data", Json::array()}, {"domains", Json::object()}};
  for (const Domain& domain : config.domains) {
    Json described = describe(domain);
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
  const Domain* found = resolver_.find_domain(id);
  if (found == nullptr) return not_found("domain '" + id + "': no domain of that name");
  return describe(*found);
}

}  // namespace localai::runtime
