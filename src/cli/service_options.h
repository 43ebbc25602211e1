#pragma once
// The flags and files that every command over the service shares: config, environment, models.
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
  uint32_t threads = 0;
  std::string quantize;  // of every model; "": as its domain says
  engine::Speculation speculation = engine::Speculation::kAuto;
};
void add_config_options(CLI::App& command, ServiceArguments& arguments);  // --config, --models-dir
void add_service_options(CLI::App& command,
                         ServiceArguments& arguments);  // and --threads, --quantize, --speculation

// Reads the environment and the config file. Bad domains are logged, not fatal; a file that cannot
// be read is an error.
Result<runtime::ServiceOptions> service_options(const ServiceArguments& arguments);
// The same without domains.
Result<runtime::ServiceOptions> bare_service_options(const ServiceArguments& arguments);
// The path of the config file; "" when models are named directly.
std::string config_path(const ServiceArguments& arguments, const runtime::Settings& settings);
// The file of that path; no domains for "".
Result<runtime::ConfigFile> read_config_file(const std::string& path);

}  // namespace localai::cli
