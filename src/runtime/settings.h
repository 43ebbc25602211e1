#pragma once
// What the environment says: the variables that a deployment sets beside the config file.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/circuit_breaker.h"

namespace localai::runtime {

// The value of one variable, or nothing when it is not set. A function, so that tests bring their
// own environment.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;
Environment process_environment();

// Set, not empty, and none of 0, false, no, off (spaces trimmed, any case).
bool is_truthy(const std::optional<std::string>& value);

struct Settings {
  bool lazy_loading = true;                         // ENABLE_LAZY_LOADING
  uint64_t cache_bytes_max = uint64_t{8192} << 20;  // MODEL_CACHE_MAX_MEMORY_MB
  uint32_t cache_wait_seconds = 30;                 // MODEL_CACHE_WAIT_SECONDS
  std::vector<std::string> preload;                 // PRELOAD_MODELS, a comma list of names
  bool vaultgemma_fallback = true;                  // not DISABLE_VAULTGEMMA_FALLBACK
  bool gguf_enable = false;                         // GGUF_ENABLE
  std::string transformers_base_url;                // TRANSFORMERS_BASE_URL, without "/v1"
  BreakerOptions breaker;                           // TRANSFORMERS_CB_*
  std::string config_path;                          // DOMAIN_CONFIG_PATH; "" when not set
  bool watch_config = true;                         // DOMAIN_CONFIG_WATCH
  std::string data_dir;                             // DOMAIN_DATA_DIR; "" when not set
  std::string postgres_dsn;                         // POSTGRES_DSN; "" when not set
  bool gpu_wanted = false;            // CUDA_VISIBLE_DEVICES or GGML_CUDA, not DISABLE_GGUF_GPU
  std::optional<int32_t> gpu_layers;  // GGUF_GPU_LAYERS
};

struct VariableSpec {
  std::string_view name, meaning;
};
// Every variable that read_settings() looks at; docs/CONFIGURATION.md is checked against it.
const std::vector<VariableSpec>& known_variables();

// Errors: kInvalidArgument naming the variable, its value and what is allowed.
Result<Settings> read_settings(const Environment& environment);

}  // namespace localai::runtime
