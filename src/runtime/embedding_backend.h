#pragma once
// The backend of embedding models: one thread that turns requests into vectors, one after the
// other, each over all of the machine's threads.
#include <memory>

#include "models/model.h"
#include "runtime/model_cache.h"

namespace localai::runtime {

// What load_embedding_model() will hold: weights, and scratch as large as it may get. Errors: as
// engine::Embedder::load.
Result<engine::EngineMemory> embedding_memory(const ModelSource& source,
                                              const models::ModelOptions& options);
Result<std::unique_ptr<Backend>> load_embedding_model(const ModelSource& source,
                                                      const models::ModelOptions& options);

// `name`: for messages.
std::unique_ptr<Backend> make_embedding_backend(std::unique_ptr<engine::Embedder> embedder,
                                                std::string name);

}  // namespace localai::runtime
