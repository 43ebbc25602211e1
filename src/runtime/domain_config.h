#pragma once
// The config file: domains by id. One bad domain never takes the others down; whatever is wrong is
// kept by domain and shown. The keys are in runtime/domain_keys.h.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "models/quantization.h"
#include "runtime/routing_config.h"
#include "runtime/service_model.h"
#include "runtime/settings.h"
#include "text/chat_template.h"

namespace localai::runtime {

inline constexpr uint64_t kConfigBytesMax = 16u << 20;

struct Domain {
  std::string id, name, layer, team, agent_id;
  std::string backend;  // "gguf", "safetensors", "hf-transformers", "deepseek-ocr"
  std::string model_path, model_name;
  std::vector<std::string> aliases, tags, keywords, stop;
  std::vector<std::string> fallbacks;  // fallback_model, then fallback_models
  std::optional<uint32_t> max_tokens, context_length;
  std::optional<float> temperature, top_p;
  std::optional<int32_t> top_k;
  std::optional<std::string> system_prompt;
  std::shared_ptr<const text::ChatTemplate> compiled_template;  // null: the model's own
  std::string kv_cache_type;                                    // "", "f16", "f32"
  const models::QuantizationType* quantize = nullptr;           // while loading; null: not
  bool preload = false, pin = false;
  uint32_t ttl_seconds = 0;           // 0: stays until another model needs the room
  std::string description;            // for the router: what it answers
  std::vector<std::string> examples;  // for the router: what it is asked
  RoutingRules routing;
  Json config;                          // the object as read, without secrets
  uint64_t version = 0;                 // in the domain store; 0: it is as the file has it
  std::optional<ServiceModel> service;  // of an hf-transformers domain: the model that answers
  std::string unsupported;              // what this build cannot do for it; "" when it can answer
};

struct DomainProblem {
  std::string domain;  // id; "" when it concerns the whole file
  std::string message;
};

struct DisabledDomain {
  std::string id, variable;
};

struct DomainConfig {
  std::filesystem::path file;   // where it was read; its folder is the first for relative paths
  std::vector<Domain> domains;  // usable ones, in file order
  std::string default_domain;   // id of a usable one; "" when there is none
  Json layer_mapping = Json::object();
  RoutingOptions routing;
  std::vector<DomainProblem> errors;    // each took one domain (or layer_mapping) out
  std::vector<DomainProblem> warnings;  // unknown keys, names that two domains claim, ...
  std::vector<DisabledDomain> disabled;

  [[nodiscard]] const Domain* find(std::string_view id) const;
};

// A config file before its keys are looked at: an object with an object "domains".
struct ConfigFile {
  std::filesystem::path path;  // "": there is none, and no domains
  Json root = {{"domains", Json::object()}};
};
// Errors: kInvalidArgument (not JSON, not an object, no "domains"), naming the file.
Result<ConfigFile> parse_config_file(std::string_view json, const std::filesystem::path& path);
// The same from a file. Errors: kNotFound too.
Result<ConfigFile> load_config_file(const std::filesystem::path& path);
DomainConfig read_domain_config(const ConfigFile& file, const Settings& settings,
                                const Environment& environment);
// Logs what is wrong with it, domain by domain.
void log_problems(const DomainConfig& config);

// A domain's config without keys of other services; null stays null.
Json without_secrets(Json config);

// parse_config_file() and read_domain_config().
Result<DomainConfig> parse_domain_config(std::string_view json, const std::filesystem::path& file,
                                         const Settings& settings, const Environment& environment);
Result<DomainConfig> load_domain_config(const std::filesystem::path& file, const Settings& settings,
                                        const Environment& environment);

// The short form of "0x3579-VectorProcessingAgent": "0x3579"; "" for an id without one.
std::string_view short_agent_id(std::string_view id);

}  // namespace localai::runtime
