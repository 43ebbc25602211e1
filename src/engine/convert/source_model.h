#pragma once
// Inside convert/: a model opened for conversion, checked as a load checks it.
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/convert/convert.h"
#include "engine/convert/tensor_plan.h"
#include "formats/checkpoint.h"
#include "models/arch.h"
#include "models/weights.h"

namespace localai::engine {

struct SourceModel {
  const models::ArchSpec* spec = nullptr;
  models::Hyperparameters hyper;
  models::Weights weights;  // bound: views into the checkpoint
};

// Errors: those of models::Model::load().
Result<SourceModel> read_source(const formats::Checkpoint& checkpoint);

// Writes all planned tensors in order and reports progress.
Status write_tensors(std::span<const PlannedTensor> tensors, const ConvertOptions& options,
                     FunctionRef<Status(std::span<const std::byte>)> sink);
uint64_t bytes_of(std::span<const PlannedTensor> tensors);

// The two directions.
Result<ConvertReport> convert_to_gguf(const formats::Checkpoint& checkpoint,
                                      const std::filesystem::path& out,
                                      const ConvertOptions& options);
Result<ConvertReport> convert_to_directory(const formats::Checkpoint& checkpoint,
                                           const std::filesystem::path& out,
                                           const ConvertOptions& options);

}  // namespace localai::engine
