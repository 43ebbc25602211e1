#pragma once
// What a client is told when a request fails. Source: OpenAI API reference, "Error codes":
// {"error": {"message", "type", "param", "code"}}.
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "net/guard.h"
#include "net/http.h"

namespace localai::server {

struct ApiError {
  int status = 400;
  std::string type = "invalid_request_error";
  std::string message;
  std::string param;  // field of the request; "" is null
  std::string code;   // stable word for programs; "" is null
};

// A 400 about one field. The message begins with its name.
ApiError bad_field(std::string_view field, std::string_view message, std::string_view code);
// A failure of the service. An unknown model is 404 model_not_found, too long a prompt 400
// context_length_exceeded, a full queue or a refused load 503.
ApiError from_error(const Error& error);
ApiError from_refusal(const net::Refusal& refusal);

Json error_json(const ApiError& error);
net::Response error_response(const ApiError& error);

}  // namespace localai::server
