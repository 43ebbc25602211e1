#include "runtime/resolver.h"

#include <algorithm>

#include "runtime/backend_choice.h"
#include "runtime/transformers_config.h"

namespace localai::runtime {
namespace {

namespace fs = std::filesystem;

template <class Match>
const Domain* first(const DomainConfig& config, Match match) {
  const auto found = std::find_if(config.domains.begin(), config.domains.end(), match);
  return found == config.domains.end() ? nullptr : &*found;
}

}  // namespace

Resolver::Resolver(DomainConfig config, ResolverOptions options)
    : config_(std::move(config)),
      options_(std::move(options)),
      catalog_(config_.file.empty() ? fs::path() : fs::absolute(config_.file).parent_path(),
               options_.models_dir, options_.stores) {
  for (const Domain& domain : config_.domains) {
    if (domain.service) {
      domain_files_.push_back(domain.service->identity());
      continue;
    }
    const auto path = model_of(domain);
    domain_files_.push_back(path.ok() && domain.unsupported.empty() ? canonical_path(*path)
                                                                    : fs::path());
  }
}

const Domain* Resolver::find_domain(const std::string& name) const {
  if (name.empty()) return nullptr;
  if (const Domain* domain = config_.find(name)) return domain;
  if (const Domain* domain = first(config_, [&](const Domain& d) { return d.agent_id == name; }))
    return domain;
  if (const Domain* domain =
          first(config_, [&](const Domain& d) { return short_agent_id(d.id) == name; }))
    return domain;
  return first(config_, [&](const Domain& d) {
    return std::find(d.aliases.begin(), d.aliases.end(), name) != d.aliases.end();
  });
}

Result<fs::path> Resolver::model_of(const Domain& domain) const {
  const std::string where = "domain '" + domain.id + "'";
  if (domain.service) return domain.service->identity();
  if (!domain.model_path.empty()) {
    auto path = catalog_.find_path(domain.model_path);
    if (path.ok() || domain.model_name.empty()) {
      LAI_TRY(fs::path found, std::move(path), where + ": model_path");
      return found;
    }
  }
  LAI_TRY(ModelFile found, catalog_.find_name(domain.model_name), where + ": model_name");
  return std::move(found.path);
}

Result<ModelFile> Resolver::find_model(const std::string& name) const {
  auto by_name = catalog_.find_name(name);
  if (by_name.ok()) return by_name;
  const auto by_path = catalog_.find_path(name);
  if (by_path.ok() && (options_.any_path || catalog_.contains(*by_path)))
    return ModelFile{model_name_of(*by_path), *by_path, model_format(*by_path)};
  return not_found("model '" + name + "': no domain, model or path of that name");
}

// The engine's settings belong to the file: the longest context that a domain over it asks for.
ModelSource Resolver::source_for(const fs::path& path) const {
  ModelSource source;
  source.path = canonical_path(path);
  source.name = model_name_of(path);
  source.engine = options_.engine;
  source.quantize = options_.quantize;
  uint32_t context = 0;
  bool forever = false;  // a domain without ttl_seconds wants the file to stay
  for (size_t i = 0; i < config_.domains.size(); ++i) {
    if (domain_files_[i] != source.path) continue;
    const Domain& domain = config_.domains[i];
    context = std::max(context, domain.context_length.value_or(kDefaultContext));
    source.pin = source.pin || domain.pin;
    if (source.quantize == nullptr) source.quantize = domain.quantize;
    forever = forever || domain.ttl_seconds == 0;
    source.ttl_seconds = std::max(source.ttl_seconds, domain.ttl_seconds);
    if (!source.engine.kv_dtype && !domain.kv_cache_type.empty())
      source.engine.kv_dtype = domain.kv_cache_type == "f32" ? DType::kF32 : DType::kF16;
  }
  if (forever) source.ttl_seconds = 0;
  if (source.engine.context_length == 0)
    source.engine.context_length = context == 0 ? kDefaultContext : context;
  return source;
}

// A domain's transformers_config says the rest also here. The service of our own is told where the
// folder is; another one has a model of that name, or says that it has not.
Result<std::optional<ServiceModel>> Resolver::service_for(const fs::path& path,
                                                          const std::string& name,
                                                          const Domain* domain) const {
  const BackendChoice choice = choose_backend_of(path);
  if (!choice.service) return std::optional<ServiceModel>();
  Settings settings;
  settings.transformers_base_url = options_.transformers_base_url;
  ServiceModel model;
  model.base_url = settings.transformers_base_url;
  if (domain != nullptr) {
    LAI_TRY(model, read_service_model(domain->config, settings), choice.reason);
  }
  if (model.base_url.empty())
    model.name = canonical_path(path).string();
  else if (model.name.empty())
    model.name = name;
  if (options_.quantize != nullptr)
    return unsupported("'" + name + "': " + choice.reason +
                       ", so it answers through the Transformers service, which --quantize does "
                       "not reach; there is transformers_config.quantization of a domain");
  return std::optional(std::move(model));
}

ModelSource Resolver::source_of(const ModelFile& file) const {
  ModelSource source = source_for(file.path);
  source.name = file.name;
  auto service = service_for(file.path, file.name, nullptr);
  if (service.ok() && *service) {
    source.path = (*service)->identity();
    source.service = std::move(*service);
  }
  return source;
}

Result<Target> Resolver::resolve(const std::string& name) const {
  Target target;
  const bool route = name.empty() || name == "auto";
  if (route && config_.default_domain.empty())
    return not_found("no model was named, and no domain is configured to answer by default");
  target.domain = find_domain(route ? config_.default_domain : name);
  target.resolution.route = route ? "default" : "explicit";
  fs::path path;
  std::string found_as;  // the catalog's name of a model that was named directly
  if (target.domain != nullptr) {
    target.resolution.domain = target.domain->id;
    if (!target.domain->unsupported.empty())
      return unsupported("domain '" + target.domain->id + "': " + target.domain->unsupported);
    path = domain_files_[static_cast<size_t>(target.domain - config_.domains.data())];
    if (path.empty()) {
      LAI_TRY(path, model_of(*target.domain));
    }
  } else {
    LAI_TRY(ModelFile file, find_model(name));
    path = std::move(file.path);
    found_as = std::move(file.name);
  }
  target.source = source_for(path);
  if (!found_as.empty()) target.source.name = found_as;
  target.resolution.backend = model_format(path);
  if (target.domain != nullptr && target.domain->service) {
    target.source.service = target.domain->service;
    target.source.name = target.domain->service->name;
    target.resolution.backend = target.domain->backend;
  } else {
    LAI_TRY(target.source.service, service_for(path, target.source.name, target.domain));
    if (target.source.service) {
      target.source.path = target.source.service->identity();
      target.resolution.backend = "hf-transformers";
    }
  }
  target.resolution.model = target.source.name;
  return target;
}

namespace {

void skip(Candidate& candidate, std::string reason, Error error) {
  candidate.skip = SkippedCandidate{candidate.name, std::move(reason), error.message};
  candidate.error = std::move(error);
}

// Appends unless the same model, or the same unusable name, is there already.
void append(Candidate candidate, const AllowedDomains& allowed, Candidates& out) {
  const Domain* domain = candidate.target.domain;
  if (allowed && (domain == nullptr || !is_allowed(allowed, domain->id)))
    skip(candidate, "not_allowed",
         invalid("'" + candidate.name + "' is not among the request's domains"));
  for (const Candidate& other : out.list) {
    if (candidate.skip ? other.name == candidate.name
                       : !other.skip && other.target.source.path == candidate.target.source.path)
      return;
  }
  out.list.push_back(std::move(candidate));
}

}  // namespace

void Resolver::add_domain(const Domain& domain, const AllowedDomains& allowed,
                          Candidates& out) const {
  Candidate candidate;
  candidate.name = domain.id;
  candidate.target.domain = &domain;
  if (auto target = resolve(domain.id); target.ok())
    candidate.target = std::move(*target);
  else
    skip(candidate, target.error().code == Code::kUnsupported ? "backend_down" : "missing_file",
         std::move(target.error()));
  append(std::move(candidate), allowed, out);
}

// A name of fallback_model or fallback_models.
void Resolver::add_named(const std::string& name, const AllowedDomains& allowed,
                         Candidates& out) const {
  if (const Domain* domain = find_domain(name)) return add_domain(*domain, allowed, out);
  Candidate candidate;
  candidate.name = name;
  const auto off = std::find_if(config_.disabled.begin(), config_.disabled.end(),
                                [&](const DisabledDomain& domain) { return domain.id == name; });
  if (off != config_.disabled.end())
    skip(candidate, "disabled",
         unavailable("domain '" + name + "': the variable " + off->variable + " is not set"));
  else if (auto target = resolve(name); target.ok())
    candidate.target = std::move(*target);
  else
    skip(candidate, "missing_file", std::move(target.error()));
  append(std::move(candidate), allowed, out);
}

// The domain of that name, else the first model whose name begins so; nothing when neither is here.
void Resolver::add_vaultgemma(const AllowedDomains& allowed, Candidates& out) const {
  constexpr std::string_view kName = "vaultgemma";
  std::string name(kName);
  if (config_.find(kName) == nullptr) {
    const std::vector<ModelFile> files = catalog_.scan_models_dir();
    const auto file = std::find_if(files.begin(), files.end(), [&](const ModelFile& model) {
      return model.name.starts_with(kName);
    });
    if (file == files.end()) return;
    name = file->name;
  }
  if (options_.vaultgemma_fallback) return add_named(name, allowed, out);
  Candidate candidate;
  candidate.name = name;
  skip(candidate, "disabled", unavailable("'" + name + "': DISABLE_VAULTGEMMA_FALLBACK is set"));
  append(std::move(candidate), allowed, out);
}

Result<Candidates> Resolver::candidates(const std::string& name,
                                        const AllowedDomains& allowed) const {
  const bool route = name.empty() || name == "auto";
  if (route && config_.default_domain.empty())
    return not_found("no model was named, and no domain is configured to answer by default");
  Candidates out;
  out.route = route ? "default" : "explicit";
  out.domain = find_domain(route ? config_.default_domain : name);
  if (out.domain == nullptr) {
    Candidate candidate;
    candidate.name = name;
    LAI_TRY(candidate.target, resolve(name));
    out.list.push_back(std::move(candidate));
    return out;
  }
  add_domain(*out.domain, allowed, out);
  for (const std::string& fallback : out.domain->fallbacks) add_named(fallback, allowed, out);
  if (const Domain* general = config_.find(config_.default_domain)) {
    add_domain(*general, allowed, out);
    for (const std::string& fallback : general->fallbacks) add_named(fallback, allowed, out);
  }
  add_vaultgemma(allowed, out);
  return out;
}

}  // namespace localai::runtime
