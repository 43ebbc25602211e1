#pragma once
// safetensors <-> GGUF, weights, hyperparameters, tokenizer and chat template. It stands in
// engine/ because it needs both the architectures' tables (models/) and the tokenizers (text/).
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "tensor/dtype.h"

namespace localai::engine {

struct ConvertOptions {
  std::optional<DType> dtype;                    // F32, F16 or BF16 for matrices; none: as they are
  uint64_t shard_bytes_max = uint64_t{5} << 30;  // of safetensors files
  std::function<void(uint64_t done, uint64_t total)> progress;  // bytes; may be null
};

struct ConvertReport {
  std::string architecture, from, to;  // formats
  uint64_t tensors = 0, bytes = 0;     // written, without headers
  bool tokenizer = false;
};

// A safetensors directory becomes the GGUF file `out`, a GGUF file the directory `out`. Streams:
// memory holds headers, the tokenizer and a few MiB of weights. `out` appears when it is whole.
// What the other format cannot say is refused, never dropped.
// Errors: kInvalidArgument (`out` exists already), kUnsupported (architecture, tokenizer, a
// property without a key, a quantized type), kCorrupt, kExhausted (disk); all name the file.
Result<ConvertReport> convert_model(const std::filesystem::path& in,
                                    const std::filesystem::path& out,
                                    const ConvertOptions& options);

}  // namespace localai::engine
