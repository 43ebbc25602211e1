#include "server/api_error.h"

#include "base/codes.h"

namespace localai::server {

ApiError bad_field(std::string_view field, std::string_view message, std::string_view code) {
  ApiError error;
  error.message = std::string(field) + ": " + std::string(message);
  error.param = field;
  error.code = code;
  return error;
}

ApiError from_error(const Error& error) {
  const CodeInfo& info = code_info(error.code);
  ApiError out;
  out.status = info.http_status;
  out.type = info.openai_type;
  out.message = error.message;
  out.code = info.name;
  switch (error.code) {
    case Code::kNotFound:
      out.type = "invalid_request_error";  // as OpenAI has it
      out.param = "model";
      out.code = "model_not_found";
      break;
    case Code::kContextLength:
      out.code = "context_length_exceeded";
      break;
    default:
      break;
  }
  return out;
}

ApiError from_refusal(const net::Refusal& refusal) {
  ApiError out;
  out.status = refusal.status;
  out.message = refusal.message;
  out.code = refusal.code;
  if (refusal.status == 403) out.type = "permission_error";
  if (refusal.status >= 500) out.type = "unavailable_error";
  return out;
}

Json error_json(const ApiError& error) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  return {{"error",
           {{"message", error.message},
            {"type", error.type},
            {"param", or_null(error.param)},
            {"code", or_null(error.code)}}}};
}

net::Response error_response(const ApiError& error) {
  net::Response response;
  response.status = error.status;
  response.body = dump_json(error_json(error));
  if (error.status == 503) response.headers.push_back({"retry-after", "1"});
  return response;
}

}  // namespace localai::server
