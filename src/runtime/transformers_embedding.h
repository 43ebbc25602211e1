#pragma once
// Texts to vectors by a Transformers service.
#include <memory>
#include <stop_token>
#include <vector>

#include "runtime/backend.h"
#include "runtime/transformers_service.h"

namespace localai::runtime {

// As Backend::embed. Errors at once: kInvalidArgument (token ids, which the service does not take),
// kUnavailable (the breaker is open); later, through `sink`: what the service says, kUnavailable
// (no answer), kCancelled. The service outlives the call of `sink`.
Status start_embedding(TransformersService& service, const ServiceModel& model,
                       const std::vector<engine::EmbeddingInput>& inputs, std::stop_token stop,
                       EmbeddingSink sink);

}  // namespace localai::runtime
