#pragma once
// Which numbers a loaded model computes, in one hash: for what outlives the process.
#include "base/result.h"
#include "base/sha256.h"
#include "engine/engine.h"

namespace localai::engine {

// Changes with the files of the weights (size, time, and samples of every tensor), with the types
// they were loaded as, the precision, the type of K and V, and with the program itself.
Result<Digest> model_identity(const LoadedModel& loaded, DType kv_dtype);

}  // namespace localai::engine
