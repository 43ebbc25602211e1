#pragma once
// Which backend a model directory needs: the native engine where it has the architecture, a
// Transformers service for every other one.
#include <filesystem>
#include <string>

namespace localai::runtime {

struct BackendChoice {
  bool service = false;      // a Transformers service, not this program
  std::string architecture;  // model_type of config.json; "" when nothing says
  std::string reason;        // of the choice, for people
};

// From config.json alone. What is no directory with one, or names no architecture, is the native
// engine's: it says best what is wrong with it.
BackendChoice choose_backend_of(const std::filesystem::path& model);

}  // namespace localai::runtime
