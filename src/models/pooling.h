#pragma once
// How an encoder's last rows become one vector, as a checkpoint states it.
#include <cstdint>

#include "base/result.h"
#include "formats/checkpoint.h"

namespace localai::models {

enum class Pooling : uint8_t {
  kMean,        // over all tokens
  kFirstToken,  // [CLS]
};

// GGUF's pooling_type, or 1_Pooling/config.json beside the weights (sentence-transformers); the
// mean where neither says. Errors: kUnsupported (another pooling, named), kCorrupt.
Result<Pooling> read_pooling(const formats::Checkpoint& checkpoint);

}  // namespace localai::models
