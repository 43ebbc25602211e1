#include "runtime/settings.h"

#include <cctype>
#include <cstdlib>

#include "base/number.h"
#include "runtime/transformers_config.h"

namespace localai::runtime {
namespace {

std::string_view trim(std::string_view text) {
  const auto from = text.find_first_not_of(" \t\r\n");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t\r\n") - from + 1);
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const auto comma = text.find(',');
    const auto item = trim(text.substr(0, comma));
    if (!item.empty()) items.emplace_back(item);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return items;
}

template <class T>
Result<T> number_variable(const char* name, const std::string& value, T min, T max) {
  const auto number = parse_number<T>(trim(value));
  if (!number || *number < min || *number > max)
    return invalid(std::string(name) + "='" + value + "': not a whole number within " +
                   std::to_string(min) + ".." + std::to_string(max));
  return *number;
}

// "30", "30s", "500ms", "2m".
Result<std::chrono::milliseconds> duration_variable(const char* name, const std::string& value) {
  constexpr uint64_t kDayMs = 86'400'000;
  std::string_view text = trim(value);
  uint64_t unit = 1000;
  if (text.ends_with("ms")) {
    unit = 1;
    text.remove_suffix(2);
  } else if (text.ends_with('s')) {
    text.remove_suffix(1);
  } else if (text.ends_with('m')) {
    unit = 60'000;
    text.remove_suffix(1);
  }
  const auto number = parse_number<uint64_t>(text);
  if (!number || *number > kDayMs / unit || *number == 0)
    return invalid(std::string(name) + "='" + value +
                   "': not a time such as 30, 30s, 500ms or 2m, of at most a day");
  return std::chrono::milliseconds(*number * unit);
}

Status read_breaker(const Environment& environment, BreakerOptions& out) {
  constexpr const char* kFailures = "TRANSFORMERS_CB_FAILURE_THRESHOLD";
  constexpr const char* kSuccesses = "TRANSFORMERS_CB_SUCCESS_THRESHOLD";
  constexpr const char* kOpen = "TRANSFORMERS_CB_OPEN_TIMEOUT";
  if (const auto count = environment(kFailures); count && !count->empty()) {
    LAI_TRY(out.failure_threshold, number_variable<uint32_t>(kFailures, *count, 1, 1000));
  }
  if (const auto count = environment(kSuccesses); count && !count->empty()) {
    LAI_TRY(out.success_threshold, number_variable<uint32_t>(kSuccesses, *count, 1, 1000));
  }
  if (const auto time = environment(kOpen); time && !time->empty()) {
    LAI_TRY(out.open_for, duration_variable(kOpen, *time));
  }
  return Ok{};
}

}  // namespace

Environment process_environment() {
  return [](std::string_view name) -> std::optional<std::string> {
    const char* value = std::getenv(std::string(name).c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
}

bool is_truthy(const std::optional<std::string>& value) {
  if (!value) return false;
  std::string word(trim(*value));
  for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return !(word.empty() || word == "0" || word == "false" || word == "no" || word == "off");
}

const std::vector<VariableSpec>& known_variables() {
  static const std::vector<VariableSpec> kVariables = {
      {"DOMAIN_CONFIG_PATH", "the config file when --config names none"},
      {"DOMAIN_CONFIG_WATCH", "0: a changed config file is read again on SIGHUP alone"},
      {"DOMAIN_DATA_DIR", "folder of the domain store when --data-dir names none"},
      {"POSTGRES_DSN", "domains that the API changes are kept in this PostgreSQL database"},
      {"ENABLE_LAZY_LOADING", "models load on first use; 0 loads every domain's model at start"},
      {"MODEL_CACHE_MAX_MEMORY_MB", "hard budget of all loaded models together, in MiB"},
      {"MODEL_CACHE_WAIT_SECONDS", "how long a request waits for room in that budget"},
      {"DISABLE_VAULTGEMMA_FALLBACK", "1: VaultGemma is not the last fallback of every domain"},
      {"PRELOAD_MODELS", "names, separated by commas, that load at start"},
      {"GGUF_ENABLE", "1: a domain that names no backend is a GGUF file"},
      {"TRANSFORMERS_BASE_URL",
       "the Transformers service, http://HOST:PORT; set: a domain that names no backend uses it"},
      {"TRANSFORMERS_COMMAND",
       "program that is started as Transformers service; absent: the one of "
       "scripts/setup-transformers.sh"},
      {"TRANSFORMERS_IDLE_SECONDS",
       "the started service ends after so long without a model; 0: never (600)"},
      {"TRANSFORMERS_CB_FAILURE_THRESHOLD",
       "failures in a row after which a Transformers service is left alone for a while (5)"},
      {"TRANSFORMERS_CB_OPEN_TIMEOUT", "for how long: seconds, or 500ms, 30s, 2m (30s)"},
      {"TRANSFORMERS_CB_SUCCESS_THRESHOLD", "successes in a row that end its probation (2)"},
      {"CUDA_VISIBLE_DEVICES", "set: a GPU is wanted; accepted, this build computes on the CPU"},
      {"GGML_CUDA", "set: a GPU is wanted; accepted, this build computes on the CPU"},
      {"DISABLE_GGUF_GPU", "1: never a GPU"},
      {"GGUF_GPU_LAYERS", "layers on the GPU; accepted, this build computes on the CPU"},
  };
  return kVariables;
}

Result<Settings> read_settings(const Environment& environment) {
  Settings settings;
  if (const auto lazy = environment("ENABLE_LAZY_LOADING"); lazy && !trim(*lazy).empty())
    settings.lazy_loading = is_truthy(lazy);
  if (const auto budget = environment("MODEL_CACHE_MAX_MEMORY_MB"); budget && !budget->empty()) {
    LAI_TRY(const uint64_t mib,
            number_variable<uint64_t>("MODEL_CACHE_MAX_MEMORY_MB", *budget, 1, uint64_t{1} << 32));
    settings.cache_bytes_max = mib << 20;
  }
  if (const auto wait = environment("MODEL_CACHE_WAIT_SECONDS"); wait && !wait->empty()) {
    LAI_TRY(settings.cache_wait_seconds,
            number_variable<uint32_t>("MODEL_CACHE_WAIT_SECONDS", *wait, 0, 86400));
  }
  settings.vaultgemma_fallback = !is_truthy(environment("DISABLE_VAULTGEMMA_FALLBACK"));
  if (const auto layers = environment("GGUF_GPU_LAYERS"); layers && !layers->empty()) {
    LAI_TRY(settings.gpu_layers, number_variable<int32_t>("GGUF_GPU_LAYERS", *layers, -1, 100000));
  }
  settings.preload = split_list(environment("PRELOAD_MODELS").value_or(""));
  settings.gguf_enable = is_truthy(environment("GGUF_ENABLE"));
  if (const auto url = environment("TRANSFORMERS_BASE_URL"); url && !trim(*url).empty()) {
    LAI_TRY(settings.transformers_base_url, service_base_url(trim(*url)), "TRANSFORMERS_BASE_URL");
  }
  LAI_TRY_STATUS(read_breaker(environment, settings.breaker));
  settings.config_path = environment("DOMAIN_CONFIG_PATH").value_or("");
  if (const auto watch = environment("DOMAIN_CONFIG_WATCH"); watch && !trim(*watch).empty())
    settings.watch_config = is_truthy(watch);
  settings.data_dir = environment("DOMAIN_DATA_DIR").value_or("");
  settings.postgres_dsn = environment("POSTGRES_DSN").value_or("");
  settings.gpu_wanted = !is_truthy(environment("DISABLE_GGUF_GPU")) &&
                        (environment("CUDA_VISIBLE_DEVICES").value_or("") != "" ||
                         environment("GGML_CUDA").value_or("") != "");
  return settings;
}

}  // namespace localai::runtime
