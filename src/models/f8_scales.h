#pragma once
// The scales beside F8 weights of safetensors: "X.weight_scale" (compressed-tensors) or
// "X.weight_scale_inv" (fine-grained FP8, the format of DeepSeek) for "X.weight". Either way
// w = q * scale.
#include <optional>
#include <string>

#include "formats/checkpoint.h"
#include "models/weights.h"

namespace localai::models {

struct F8Scales {
  std::string tensor;  // where they stand
  MatrixScales scales;
};

// The scales of the matrix `name`, or nothing when it is not F8 or has none. One for the tensor,
// one a row, or one a block of quantization_config.weight_block_size (128 x 128 when not stated).
// Errors: kUnsupported (another shape, type or block size), kCorrupt; all name file and tensor.
Result<std::optional<F8Scales>> read_f8_scales(const formats::Checkpoint& checkpoint,
                                               const std::string& name, const TensorView& weights);

}  // namespace localai::models
