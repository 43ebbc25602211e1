#pragma once
// The flags and files that every command over the service shares: config, environment, models.
#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"
#include "runtime/local_service.h"

namespace CLI {
class App;
}

namespace localai::cli {

struct ServiceArguments {
  std::string config;  // "": DOMAIN_CONFIG_PATH, else config/domains.json where there is one
  std::string models_dir = "models";
  std::string data_dir;  // of the domain store; "": DOMAIN_DATA_DIR, else the config file's folder
  uint32_t threads = 0;
  std::string quantize;  // of every model; "": as its domain says
  engine::Speculation speculation = engine::Speculation::kAuto;
};
// --config, --models-dir, --data-dir
void add_config_options(CLI::App& command, ServiceArguments& arguments);
void add_service_options(CLI::App& command,
                         ServiceArguments& arguments);  // and --threads, --quantize, --speculation

// Reads the environment, the config file and the domain store. Bad domains are logged, not fatal; a
// file or store that cannot be read is an error.
Result<runtime::ServiceOptions> service_options(const ServiceArguments& arguments);
// The same without domains.
Result<runtime::ServiceOptions> bare_service_options(const ServiceArguments& arguments);
// The path of the config file; "" when models are named directly.
std::string config_path(const ServiceArguments& arguments, const runtime::Settings& settings);
// The file of that path; no domains for "".
Result<runtime::ConfigFile> read_config_file(const std::string& path);
// The file of the SQLite store: called as the config file is, in the data directory or beside it.
std::filesystem::path store_path(const ServiceArguments& arguments,
                                 const runtime::Settings& settings, const std::string& config);
// Where changed domains are kept: PostgreSQL where POSTGRES_DSN is set, else that file. Errors:
// kInvalidArgument (a DSN that is none).
Result<std::unique_ptr<runtime::DomainStore>> open_store(const ServiceArguments& arguments,
                                                         const runtime::Settings& settings,
                                                         const std::string& config,
                                                         runtime::StoreAccess access);
// The domains of the file and the store, as a server would have them.
Result<runtime::DomainConfig> read_domains(const ServiceArguments& arguments,
                                           const runtime::Settings& settings);

}  // namespace localai::cli
