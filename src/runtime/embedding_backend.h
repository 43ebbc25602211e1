#pragma once
// The backend of embedding models: one thread that turns requests into vectors, one after the
// other, each over all of the machine's threads.
#include <memory>

#include "models/model.h"
#include "runtime/model_cache.h"

namespace localai::runtime {

// Opens the weights; the bytes are theirs and the scratch's. Errors: as engine::Embedder::load.
Result<std::unique_ptr<PreparedModel>> prepare_embedding_model(const ModelSource& source,
                                                               const models::ModelOptions& options);

// `name`: for messages.
std::unique_ptr<Backend> make_embedding_backend(std::unique_ptr<engine::Embedder> embedder,
                                                std::string name);

}  // namespace localai::runtime
