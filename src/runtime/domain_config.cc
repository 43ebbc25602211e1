#include "runtime/domain_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "base/file.h"
#include "base/log.h"
#include "runtime/domain_keys.h"
#include "runtime/transformers_config.h"

namespace localai::runtime {
namespace {

constexpr std::string_view kBackends[] = {"gguf", "safetensors", "hf-transformers", "deepseek-ocr"};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string quote(std::string_view text) { return "'" + std::string(text) + "'"; }

// Reads members of one object whose kinds check_value() has already confirmed.
class Members {
 public:
  explicit Members(const Json& object) : object_(object) {}

  [[nodiscard]] std::string text(const char* key) const {
    return maybe<std::string>(key).value_or("");
  }
  [[nodiscard]] bool flag(const char* key) const { return maybe<bool>(key).value_or(false); }
  [[nodiscard]] std::vector<std::string> list(const char* key) const {
    return maybe<std::vector<std::string>>(key).value_or(std::vector<std::string>{});
  }
  [[nodiscard]] Json object_or_empty(const char* key) const {
    return maybe<Json>(key).value_or(Json::object());
  }
  template <class T>
  [[nodiscard]] std::optional<T> maybe(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end() || found->is_null()) return std::nullopt;
    return found->get<T>();
  }

 private:
  const Json& object_;
};

void warn_unknown_keys(std::span<const KeySpec> keys, const Json& object, const std::string& where,
                       const std::string& domain, std::vector<DomainProblem>& warnings) {
  for (const auto& [name, value] : object.items()) {
    const KeySpec* known = find_key(keys, name);
    if (known != nullptr) {
      if (known->kind == ValueKind::kObject && value.is_object())
        warn_unknown_keys(known->nested, value, where + name + ".", domain, warnings);
      continue;
    }
    const std::string_view near = nearest_key(keys, name);
    warnings.push_back(
        {domain,
         "unknown key " + quote(where + name) +
             (near.empty() ? "" : ", did you mean " + quote(where + std::string(near)) + "?")});
  }
}

void remove_secrets(Json& value) {
  if (!value.is_object()) return;
  value.erase("api_key");
  for (Json& item : value) remove_secrets(item);
}

// DESIGN: a domain that names no backend follows its file's suffix, then the environment.
Result<std::string> choose_backend(const Members& members, const Settings& settings) {
  std::string backend = lower(members.text("backend_type"));
  if (backend == "vaultgemma") backend = "safetensors";  // the older name of that default
  if (backend.empty()) {
    if (lower(members.text("model_path")).ends_with(".gguf")) return std::string("gguf");
    if (!settings.transformers_base_url.empty()) return std::string("hf-transformers");
    return std::string(settings.gguf_enable ? "gguf" : "safetensors");
  }
  if (std::find(std::begin(kBackends), std::end(kBackends), backend) == std::end(kBackends))
    return invalid("backend_type: " + quote(backend) +
                   " is not one of gguf, safetensors, hf-transformers, deepseek-ocr");
  return backend;
}

Status check_service_backend(const Domain& domain, const Json& object) {
  if (domain.backend == "deepseek-ocr") {
    const auto found = object.find("vision_config");
    const Json config = found != object.end() && found->is_object() ? *found : Json::object();
    if (Members(config).text("endpoint").empty() && Members(config).text("script_path").empty())
      return invalid("vision_config: a deepseek-ocr domain needs 'endpoint' or 'script_path'");
  }
  return Ok{};
}

// Real or absent: a setting that would be ignored makes the domain answer an error that names it.
std::string unsupported_feature(const Domain& domain, const Members& members) {
  if (domain.backend == "deepseek-ocr")
    return "backend " + quote(domain.backend) + " is not in this build";
  for (const char* key : {"lora", "chat_template"})
    if (!members.text(key).empty()) return quote(key) + " is not in this build";
  return "";
}

Status read_names(const std::string& id, const Members& members, Domain& domain) {
  domain.id = id;
  domain.name = members.text("name").empty() ? id : members.text("name");
  domain.layer = members.text("layer");
  domain.team = members.text("team");
  domain.agent_id = members.text("agent_id");
  domain.aliases = members.list("aliases");
  domain.tags = members.list("tags");
  domain.keywords = members.list("keywords");
  domain.description = members.text("description");
  domain.examples = members.list("examples");
  if (!members.text("fallback_model").empty())
    domain.fallbacks.push_back(members.text("fallback_model"));
  for (std::string& name : members.list("fallback_models")) domain.fallbacks.push_back(name);
  domain.model_path = members.text("model_path");
  domain.model_name = members.text("model_name");
  if (id.empty()) return invalid("the id is empty");
  return Ok{};
}

Status read_generation(const Members& members, Domain& domain) {
  domain.stop = members.list("stop");
  if (std::any_of(domain.stop.begin(), domain.stop.end(),
                  [](const std::string& stop) { return stop.empty(); }))
    return invalid("stop: an empty string would end every answer at once");
  domain.max_tokens = members.maybe<uint32_t>("max_tokens");
  domain.context_length = members.maybe<uint32_t>("context_length");
  domain.temperature = members.maybe<float>("temperature");
  domain.top_p = members.maybe<float>("top_p");
  if (domain.top_p == 0.f) domain.top_p = 1.f;  // the older files write 0 for "not set"
  domain.top_k = members.maybe<int32_t>("top_k");
  domain.system_prompt = members.maybe<std::string>("system_prompt");
  domain.preload = members.flag("preload");
  domain.pin = members.flag("pin");
  domain.ttl_seconds = members.maybe<uint32_t>("ttl_seconds").value_or(0);
  domain.kv_cache_type = lower(members.text("kv_cache_type"));
  if (!domain.kv_cache_type.empty() && domain.kv_cache_type != "f16" &&
      domain.kv_cache_type != "f32")
    return invalid("kv_cache_type: " + quote(domain.kv_cache_type) + " is not one of f16, f32");
  const std::string quantize = members.text("quantize");
  domain.quantize = models::find_load_quantization(quantize);
  if (!quantize.empty() && domain.quantize == nullptr)
    return invalid("quantize: " + quote(quantize) + " is not one of " +
                   models::load_quantization_names());
  return Ok{};
}

Status read_service(const Json& object, const Settings& settings, Domain& domain) {
  auto model = read_service_model(object, settings);
  if (model.ok())
    domain.service = std::move(*model);
  else if (model.error().code == Code::kUnsupported)
    domain.unsupported = std::move(model.error().message);
  else
    return std::move(model.error());
  return Ok{};
}

Result<Domain> read_domain(const std::string& id, const Json& object, const Settings& settings) {
  for (const auto& [name, value] : object.items())
    if (const KeySpec* key = find_key(domain_keys(), name))
      LAI_TRY_STATUS(check_value(*key, value));
  const Members members(object);
  Domain domain;
  LAI_TRY_STATUS(read_names(id, members, domain));
  LAI_TRY_STATUS(read_generation(members, domain));
  LAI_TRY(domain.routing, read_routing_rules(members.object_or_empty("routing")));
  LAI_TRY(domain.backend, choose_backend(members, settings));
  LAI_TRY_STATUS(check_service_backend(domain, object));
  if (domain.model_path.empty() && domain.model_name.empty() && domain.backend != "deepseek-ocr")
    return invalid("neither 'model_path' nor 'model_name' says which model answers");
  domain.unsupported = unsupported_feature(domain, members);
  if (domain.backend == "hf-transformers") LAI_TRY_STATUS(read_service(object, settings, domain));
  domain.config = object;
  remove_secrets(domain.config);
  return domain;
}

void read_domains(const Json& domains, const Settings& settings, const Environment& environment,
                  DomainConfig& config) {
  for (const auto& [id, object] : domains.items()) {
    if (object.is_null()) continue;  // as the older server: an entry that is switched off
    if (!object.is_object()) {
      config.errors.push_back({id, "a domain must be an object"});
      continue;
    }
    warn_unknown_keys(domain_keys(), object, "", id, config.warnings);
    const auto toggle = object.find("enabled_env_var");
    if (toggle != object.end() && toggle->is_string() && *toggle != "" &&
        !is_truthy(environment(toggle->get<std::string>()))) {
      config.disabled.push_back({id, toggle->get<std::string>()});
      continue;
    }
    auto domain = read_domain(id, object, settings);
    if (!domain.ok()) {
      config.errors.push_back({id, domain.error().message});
      continue;
    }
    if (!domain->unsupported.empty()) config.warnings.push_back({id, domain->unsupported});
    config.domains.push_back(std::move(*domain));
  }
}

// A domain that does not say its layer or team takes them from the mapping.
void apply_layer_mapping(DomainConfig& config, const Json& domains) {
  for (const auto& [layer, teams] : config.layer_mapping.items())
    for (const auto& [team, ids] : teams.items())
      for (const Json& id : ids) {
        const auto text = id.get<std::string>();
        if (!domains.contains(text))
          config.warnings.push_back(
              {"", fmt::format("layer_mapping: {}.{} names the unknown domain {}", layer, team,
                               quote(text))});
        for (Domain& domain : config.domains) {
          if (domain.id != text) continue;
          if (domain.layer.empty()) domain.layer = layer;
          if (domain.team.empty()) domain.team = team;
        }
      }
}

void choose_default(DomainConfig& config, const std::string& wanted) {
  if (config.domains.empty()) return;
  const std::string name = wanted.empty() ? "general" : wanted;
  const Domain* chosen = config.find(name);
  if (chosen == nullptr) chosen = config.find("general");
  if (chosen == nullptr) chosen = &config.domains.front();
  config.default_domain = chosen->id;
  if (!wanted.empty() && chosen->id != wanted)
    config.warnings.push_back({"", "default_domain: " + quote(wanted) +
                                       " is not a usable domain; " + quote(chosen->id) +
                                       " takes its place"});
}

// Two domains may claim one name; the order of look-up, then of the file, decides who answers.
void warn_name_clashes(DomainConfig& config) {
  std::map<std::string, std::string> owner;
  for (const Domain& domain : config.domains) owner[domain.id] = domain.id;
  const auto claim = [&](const Domain& domain, std::string_view name, const char* key) {
    if (name.empty()) return;
    const auto [at, fresh] = owner.emplace(name, domain.id);
    if (fresh || at->second == domain.id) return;
    config.warnings.push_back({domain.id, std::string(key) + " " + quote(name) +
                                              " already names the domain " + quote(at->second)});
  };
  for (const Domain& domain : config.domains) claim(domain, domain.agent_id, "agent_id");
  for (const Domain& domain : config.domains)
    claim(domain, short_agent_id(domain.id), "the short id");
  for (const Domain& domain : config.domains)
    for (const std::string& alias : domain.aliases) claim(domain, alias, "alias");
}

}  // namespace

const Domain* DomainConfig::find(std::string_view id) const {
  const auto found = std::find_if(domains.begin(), domains.end(),
                                  [&](const Domain& domain) { return domain.id == id; });
  return found == domains.end() ? nullptr : &*found;
}

std::string_view short_agent_id(std::string_view id) {
  const auto dash = id.find('-');
  if (!id.starts_with("0x") || dash == std::string_view::npos) return "";
  return id.substr(0, dash);
}

Json without_secrets(Json config) {
  remove_secrets(config);
  return config;
}

Result<ConfigFile> parse_config_file(std::string_view json, const std::filesystem::path& path) {
  LAI_TRY(Json root, parse_json(json), path.string());
  if (!root.is_object()) return invalid(path.string() + ": the file must hold one object");
  const auto domains = root.find("domains");
  if (domains == root.end() || !domains->is_object())
    return invalid(path.string() + ": 'domains' is missing or not an object of id -> domain");
  return ConfigFile{path, std::move(root)};
}

Result<ConfigFile> load_config_file(const std::filesystem::path& path) {
  LAI_TRY(const std::string text, read_file(path, kConfigBytesMax), "config file");
  return parse_config_file(text, path);
}

DomainConfig read_domain_config(const ConfigFile& file, const Settings& settings,
                                const Environment& environment) {
  DomainConfig config;
  config.file = file.path;
  warn_unknown_keys(file_keys(), file.root, "", "", config.warnings);
  std::string wanted_default;
  for (const auto& [name, value] : file.root.items()) {
    const KeySpec* key = find_key(file_keys(), name);
    if (key == nullptr || value.is_null()) continue;
    if (const Status status = check_value(*key, value); !status.ok())
      config.errors.push_back({"", status.error().message});
    else if (name == "default_domain")
      wanted_default = value.get<std::string>();
    else if (name == "layer_mapping")
      config.layer_mapping = value;
    else if (name == "routing")
      config.routing = read_routing_options(value);
  }
  const Json& domains = file.root["domains"];
  read_domains(domains, settings, environment, config);
  apply_layer_mapping(config, domains);
  choose_default(config, wanted_default);
  warn_name_clashes(config);
  return config;
}

void log_problems(const DomainConfig& config) {
  const std::string file = config.file.string();
  for (const DomainProblem& problem : config.errors)
    log::error("{}: domain '{}': {}", file, problem.domain, problem.message);
  for (const DomainProblem& problem : config.warnings)
    log::warn("{}: domain '{}': {}", file, problem.domain, problem.message);
}

Result<DomainConfig> parse_domain_config(std::string_view json, const std::filesystem::path& file,
                                         const Settings& settings, const Environment& environment) {
  LAI_TRY(const ConfigFile read, parse_config_file(json, file));
  return read_domain_config(read, settings, environment);
}

Result<DomainConfig> load_domain_config(const std::filesystem::path& file, const Settings& settings,
                                        const Environment& environment) {
  LAI_TRY(const ConfigFile read, load_config_file(file));
  return read_domain_config(read, settings, environment);
}

}  // namespace localai::runtime
