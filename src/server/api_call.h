#pragma once
// One call of an endpoint on its way through the Api, and the answers that handlers share.
#include <memory>
#include <string>

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

net::Response json_response(const Json& body, int status = 200);
Json loaded_json(const runtime::LoadedEntry& entry);

}  // namespace localai::server
