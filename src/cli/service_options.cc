#include "cli/service_options.h"

#include <CLI/CLI.hpp>
#include <filesystem>

#include "cli/model_argument.h"
#include "cli/speculation_option.h"
#include "runtime/model_stores.h"

namespace localai::cli {
namespace {

constexpr const char* kDefaultConfig = "config/domains.json";

}  // namespace

std::string config_path(const ServiceArguments& arguments, const runtime::Settings& settings) {
  std::string path = arguments.config.empty() ? settings.config_path : arguments.config;
  std::error_code ignored;
  if (path.empty() && std::filesystem::exists(kDefaultConfig, ignored)) path = kDefaultConfig;
  return path;
}

Result<runtime::ConfigFile> read_config_file(const std::string& path) {
  if (path.empty()) return runtime::ConfigFile{};
  return runtime::load_config_file(path);
}

std::filesystem::path store_path(const ServiceArguments& arguments,
                                 const runtime::Settings& settings, const std::string& config) {
  const std::filesystem::path path(config);
  std::filesystem::path folder =
      arguments.data_dir.empty() ? settings.data_dir : arguments.data_dir;
  if (folder.empty()) folder = path.parent_path();
  const std::string name = path.empty() ? "domains" : path.stem().string();
  return folder / (name + ".db");
}

Result<std::unique_ptr<runtime::DomainStore>> open_store(const ServiceArguments& arguments,
                                                         const runtime::Settings& settings,
                                                         const std::string& config,
                                                         runtime::StoreAccess access) {
  if (!settings.postgres_dsn.empty())
    return runtime::make_postgres_domain_store(settings.postgres_dsn, access);
  return runtime::make_sqlite_domain_store(store_path(arguments, settings, config), access);
}

Result<runtime::DomainConfig> read_domains(const ServiceArguments& arguments,
                                           const runtime::Settings& settings) {
  const std::string config = config_path(arguments, settings);
  LAI_TRY(const runtime::ConfigFile file, read_config_file(config));
  LAI_TRY(const auto store, open_store(arguments, settings, config, runtime::StoreAccess::kRead));
  LAI_TRY(const std::vector<runtime::StoredDomain> stored, store->list());
  return runtime::overlay_config(file, stored, settings, runtime::process_environment());
}

void add_config_options(CLI::App& command, ServiceArguments& arguments) {
  command.add_option("--config", arguments.config,
                     "domains file (default: DOMAIN_CONFIG_PATH, else config/domains.json)");
  command.add_option("--models-dir", arguments.models_dir, "where models are looked up")
      ->capture_default_str();
  command.add_option("--data-dir", arguments.data_dir,
                     "folder of the domains that the API changes (default: DOMAIN_DATA_DIR, else "
                     "the config file's folder)");
}

void add_service_options(CLI::App& command, ServiceArguments& arguments) {
  add_config_options(command, arguments);
  command.add_option("--threads", arguments.threads, "threads of the engine; 0: one a core")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  add_quantize_option(command, arguments.quantize);
  add_speculation_option(command, arguments.speculation);
}

Result<runtime::ServiceOptions> bare_service_options(const ServiceArguments& arguments) {
  runtime::ServiceOptions options;
  LAI_TRY(options.settings, runtime::read_settings(runtime::process_environment()));
  LAI_TRY(options.launch, runtime::read_transformers_launch(runtime::process_environment()));
  options.resolver.models_dir = arguments.models_dir;
  options.resolver.transformers_base_url = options.settings.transformers_base_url;
  options.resolver.stores = runtime::stores_of(runtime::process_environment());
  options.resolver.engine.threads = arguments.threads;
  options.resolver.engine.speculation = arguments.speculation;
  LAI_TRY(options.resolver.quantize, parse_quantize(arguments.quantize));
  return options;
}

Result<runtime::ServiceOptions> service_options(const ServiceArguments& arguments) {
  LAI_TRY(runtime::ServiceOptions options, bare_service_options(arguments));
  LAI_TRY(options.config, read_domains(arguments, options.settings));
  runtime::log_problems(options.config);
  return options;
}

}  // namespace localai::cli
