#pragma once
// POST /v1/embeddings: the body, checked and translated, and the answer. Pure. Source: OpenAI API
// reference, "Create embeddings".
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/service.h"
#include "server/api_error.h"

namespace localai::server {

struct EmbeddingCall {
  std::string model;  // "": the default domain
  std::vector<engine::EmbeddingInput> inputs;
  bool base64 = false;                 // little-endian float32 in place of an array of numbers
  std::optional<uint32_t> dimensions;  // the first so many, brought back to length 1
};
using ParsedEmbeddingCall = std::variant<EmbeddingCall, ApiError>;

// Every field is used, accepted without effect (user), or refused by name; null counts as absent.
ParsedEmbeddingCall parse_embedding_call(std::string_view body);

// The body of the answer; a 400 when more dimensions were asked for than the model has.
std::variant<Json, ApiError> render_embeddings(const EmbeddingCall& call,
                                               const runtime::EmbeddingAnswer& answer);

}  // namespace localai::server
