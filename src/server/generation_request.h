#pragma once
// The bodies of POST /v1/chat/completions and /v1/completions, checked and translated. Pure: text
// in, request or error out. Source: OpenAI API reference, "Create chat completion" and "Create
// completion"; top_k, min_p, repetition_penalty and ignore_eos as other local servers have them.
#include <string>
#include <string_view>
#include <variant>

#include "runtime/backend.h"
#include "server/api_error.h"

namespace localai::server {

struct GenerationRequest {
  std::string model;  // "" and "auto": the router decides
  bool stream = false;
  bool include_usage = false;  // of stream_options
  bool progress = false;       // x-localai-progress: a stream begins before its model is ready
  runtime::GenerateRequest generate;
};
using ParsedRequest = std::variant<GenerationRequest, ApiError>;

// Every field is used, accepted without effect (user, store, service_tier, safety_identifier,
// prompt_cache_key), or refused by name; null counts as absent.
ParsedRequest parse_chat_request(std::string_view body);
ParsedRequest parse_completion_request(std::string_view body);
// The body of POST /v1/route: a chat request, whose messages may also hold images, or {"input":
// text} with `model`, `domains` and `metadata`.
ParsedRequest parse_route_request(std::string_view body);

}  // namespace localai::server
