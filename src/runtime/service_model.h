#pragma once
// A model that answers in another process: a Transformers service.
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/json.h"

namespace localai::runtime {

inline constexpr uint32_t kServiceTimeoutSeconds = 120;

struct ServiceModel {
  std::string base_url;  // "http://host:9090"; "": the service that this program starts
  std::string name;      // of the model in the service
  std::string dtype;     // "float32", "bfloat16", "float16"; "": the service chooses
  Json quantization;     // as the service takes it; null: none
  // The longest wait for the first byte of an answer, for a load, and between two pieces.
  uint32_t timeout_seconds = kServiceTimeoutSeconds;

  // Tells two copies in memory apart: service, model, dtype and quantization. Stands where a model
  // of this process has its path.
  [[nodiscard]] std::filesystem::path identity() const;
  // {"model", "dtype"?, "quantization"?}: what every request to the service says.
  [[nodiscard]] Json placement() const;
};

}  // namespace localai::runtime
