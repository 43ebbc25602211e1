#pragma once
// Where a command finds MODEL: see docs/CONFIGURATION.md, "How a model is looked up".
#include <filesystem>
#include <string>

#include "base/result.h"

namespace localai::cli {

// Domain id, agent id, alias, model name, path: through the same resolver as requests, with the
// default config file. Errors: kNotFound and what else the resolver says, naming the model.
Result<std::filesystem::path> find_model(const std::string& name,
                                         const std::filesystem::path& models_dir = "models");

}  // namespace localai::cli
