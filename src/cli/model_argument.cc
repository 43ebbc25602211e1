#include "cli/model_argument.h"

#include <CLI/CLI.hpp>
#include <system_error>

#include "cli/service_options.h"
#include "runtime/resolver.h"

namespace localai::cli {

Result<std::filesystem::path> find_model(const std::string& name,
                                         const std::filesystem::path& models_dir) {
  if (name.empty()) return invalid("no model was named");
  // What can only be a path needs no config, so a broken one does not stand in its way.
  std::error_code ignored;
  if (name.find('/') != std::string::npos && std::filesystem::exists(name, ignored))
    return std::filesystem::path(name);
  ServiceArguments arguments;
  arguments.models_dir = models_dir.string();
  LAI_TRY(runtime::ServiceOptions options, service_options(arguments));
  options.resolver.any_path = true;
  const runtime::Resolver resolver(std::move(options.config), options.resolver);
  LAI_TRY(const runtime::Target target, resolver.resolve(name));
  if (target.source.service)
    return unsupported("'" + name +
                       "' answers through a Transformers service; this command works on files");
  return target.source.path;
}

Result<const models::QuantizationType*> parse_quantize(const std::string& value) {
  const models::QuantizationType* type = models::find_load_quantization(value);
  if (type != nullptr || value.empty()) return type;
  return invalid("--quantize: '" + value + "' is not one of " + models::load_quantization_names());
}

void add_quantize_option(CLI::App& command, std::string& value) {
  command.add_option("--quantize", value,
                     "quantize the weights while loading: " + models::load_quantization_names());
}

}  // namespace localai::cli
