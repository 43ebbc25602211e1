#pragma once
// One call of an endpoint on its way through the Api, and the answers that handlers share.
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "net/http.h"
#include "server/api.h"
#include "server/api_error.h"

namespace localai::server {

struct Api::Call {
  net::Request request;
  std::string id;  // what stands for "{id}" in the pattern, decoded
  std::shared_ptr<net::Sink> sink;

  void fail(const ApiError& error) const { sink->respond(error_response(error)); }
};

// The value of `name` in "a=1&b=2", as it stands there, or "".
std::string_view query_value(std::string_view query, std::string_view name);
net::Response json_response(const Json& body, int status = 200);
Json loaded_json(const runtime::LoadedEntry& entry);

}  // namespace localai::server
