#include "engine/convert/convert.h"

#include <system_error>

#include "base/cpu.h"
#include "engine/convert/gguf_metadata.h"
#include "engine/convert/source_model.h"
#include "models/bind.h"
#include "models/model.h"

namespace localai::engine {

Result<SourceModel> read_source(const formats::Checkpoint& checkpoint) {
  SourceModel model;
  LAI_TRY(model.spec, models::architecture_of(checkpoint));
  const models::Metadata metadata(checkpoint);
  LAI_TRY(model.hyper, models::read_hyperparameters(*model.spec, metadata));
  LAI_TRY(const kernels::KernelSet* kernels, kernels::select_kernels(cpu_features(), ""));
  LAI_TRY(model.weights, models::bind_weights(*model.spec, checkpoint, *kernels,
                                              models::Precision::kExact, model.hyper));
  return model;
}

uint64_t bytes_of(std::span<const PlannedTensor> tensors) {
  uint64_t total = 0;
  for (const PlannedTensor& tensor : tensors)
    total += dtype_bytes(tensor.dtype, tensor.shape.elements()).value_or(0);
  return total;
}

Status write_tensors(std::span<const PlannedTensor> tensors, const ConvertOptions& options,
                     FunctionRef<Status(std::span<const std::byte>)> sink) {
  const uint64_t total = bytes_of(tensors);
  uint64_t done = 0;
  const auto counted = [&](std::span<const std::byte> piece) -> Status {
    LAI_TRY_STATUS(sink(piece));
    done += piece.size();
    if (options.progress) options.progress(done, total);
    return Ok{};
  };
  for (const PlannedTensor& tensor : tensors) LAI_TRY_STATUS(write_tensor(tensor, counted));
  return Ok{};
}

Result<ConvertReport> convert_model(const std::filesystem::path& in,
                                    const std::filesystem::path& out,
                                    const ConvertOptions& options) {
  std::error_code ignored;
  if (std::filesystem::exists(out, ignored)) return invalid(out.string() + ": exists already");
  LAI_TRY(const formats::Checkpoint checkpoint, formats::Checkpoint::open(in));
  return checkpoint.gguf() == nullptr ? convert_to_gguf(checkpoint, out, options)
                                      : convert_to_directory(checkpoint, out, options);
}

}  // namespace localai::engine
