#pragma once
// The backend over our own engine: GGUF files and safetensors directories.
#include <memory>

#include "models/model.h"
#include "runtime/backend.h"
#include "runtime/model_cache.h"

namespace localai::runtime {

// A backend over an engine that is already there.
std::unique_ptr<Backend> make_native_backend(std::unique_ptr<engine::Engine> engine);

// Opens models for the cache: maps and checks the file, predicts what the engine will need, then
// allocates it. pack: as ModelOptions::pack.
std::unique_ptr<ModelOpener> make_native_opener(bool pack = true);

}  // namespace localai::runtime
