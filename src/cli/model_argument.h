#pragma once
// Where a command finds MODEL: see docs/CONFIGURATION.md, "How a model is looked up".
#include <filesystem>
#include <string>

#include "base/result.h"
#include "models/quantization.h"

namespace CLI {
class App;
}

namespace localai::cli {

// Domain id, agent id, alias, model name, path: through the same resolver as requests, with the
// default config file. Errors: kNotFound and what else the resolver says, naming the model.
Result<std::filesystem::path> find_model(const std::string& name,
                                         const std::filesystem::path& models_dir = "models");

// The value of --quantize: what weights become while loading; "" is null, as they are. Errors:
// kInvalidArgument, naming the allowed ones.
Result<const models::QuantizationType*> parse_quantize(const std::string& value);
// Declares --quantize.
void add_quantize_option(CLI::App& command, std::string& value);

}  // namespace localai::cli
