#pragma once
// `localai quantize`: a model file in, the same model with other element types out. A stream: in
// memory are a chunk of one tensor and the pages being read, so files may be larger than memory.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "models/quantization.h"
#include "tensor/convert.h"

namespace localai::models {

// Tensors of one kind ("ffn_down"), over all layers.
struct TensorClass {
  std::string name;
  uint64_t tensors = 0, bytes_before = 0, bytes_after = 0;
  std::map<std::string_view, uint64_t> types;  // after: how many tensors of each
  ConversionLoss loss;
};

struct QuantizeReport {
  uint64_t bytes_before = 0, bytes_after = 0;  // of the whole files
  uint64_t tensor_bytes_before = 0, tensor_bytes_after = 0, weights = 0;
  std::vector<TensorClass> classes;  // in the order of their first tensors
};

struct QuantizeProgress {
  size_t tensor = 0, tensors = 0;       // the one being written, from 0
  uint64_t bytes = 0, bytes_total = 0;  // of the input's tensors, done
  std::string_view name;
  DType from = DType::kF32, to = DType::kF32;
};

struct QuantizeOptions {
  const QuantizationType* type = nullptr;
  bool allow_requantize = false;  // quantized tensors as input; what was lost stays lost
  std::function<void(const QuantizeProgress&)> progress;  // before each chunk; may be empty
};

// Errors: kInvalidArgument (OUT is IN; a quantized input without allow_requantize; a weight that is
// not finite), kUnsupported (architecture), kExhausted (disk), and those of reading the input.
// Until it has succeeded, `out` is as it was.
Result<QuantizeReport> quantize_file(const std::filesystem::path& in,
                                     const std::filesystem::path& out,
                                     const QuantizeOptions& options, ThreadPool& pool);

}  // namespace localai::models
