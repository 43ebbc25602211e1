#include "cli/service_options.h"

#include <CLI/CLI.hpp>
#include <filesystem>

#include "base/log.h"
#include "cli/model_argument.h"
#include "runtime/model_stores.h"

namespace localai::cli {
namespace {

constexpr const char* kDefaultConfig = "config/domains.json";

}  // namespace

Result<runtime::DomainConfig> read_config(const ServiceArguments& arguments,
                                          const runtime::Settings& settings) {
  std::string path = arguments.config.empty() ? settings.config_path : arguments.config;
  std::error_code ignored;
  if (path.empty() && std::filesystem::exists(kDefaultConfig, ignored)) path = kDefaultConfig;
  if (path.empty()) return runtime::DomainConfig{};  // models are named directly then
  LAI_TRY(runtime::DomainConfig config,
          runtime::load_domain_config(path, settings, runtime::process_environment()));
  for (const runtime::DomainProblem& problem : config.errors)
    log::error("{}: domain '{}': {}", path, problem.domain, problem.message);
  for (const runtime::DomainProblem& problem : config.warnings)
    log::warn("{}: domain '{}': {}", path, problem.domain, problem.message);
  return config;
}

void add_config_options(CLI::App& command, ServiceArguments& arguments) {
  command.add_option("--config", arguments.config,
                     "domains file (default: DOMAIN_CONFIG_PATH, else config/domains.json)");
  command.add_option("--models-dir", arguments.models_dir, "where models are looked up")
      ->capture_default_str();
}

void add_service_options(CLI::App& command, ServiceArguments& arguments) {
  add_config_options(command, arguments);
  command.add_option("--threads", arguments.threads, "threads of the engine; 0: one a core")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  add_quantize_option(command, arguments.quantize);
}

Result<runtime::ServiceOptions> service_options(const ServiceArguments& arguments) {
  runtime::ServiceOptions options;
  LAI_TRY(options.settings, runtime::read_settings(runtime::process_environment()));
  LAI_TRY(options.launch, runtime::read_transformers_launch(runtime::process_environment()));
  LAI_TRY(options.config, read_config(arguments, options.settings));
  options.resolver.models_dir = arguments.models_dir;
  options.resolver.stores = runtime::stores_of(runtime::process_environment());
  options.resolver.engine.threads = arguments.threads;
  LAI_TRY(options.resolver.quantize, parse_quantize(arguments.quantize));
  return options;
}

}  // namespace localai::cli
