#pragma once
// Where a command finds MODEL: see docs/CONFIGURATION.md, "How a model is looked up".
#include <filesystem>
#include <string>

#include "base/result.h"

namespace localai::cli {

// A path as given, then below `models_dir`, then a file or directory there whose name (without
// ".gguf") is `name`. Errors: kNotFound, naming the model and what was tried.
Result<std::filesystem::path> find_model(const std::string& name,
                                         const std::filesystem::path& models_dir = "models");

}  // namespace localai::cli
