#pragma once
// The `messages` of a chat request: roles known, contents text.
#include <optional>

#include "base/json.h"
#include "server/api_error.h"

namespace localai::server {

// Writes {"role", "content"[, "name"]} objects to `out`: contents given as text parts are joined,
// "developer" becomes "system" (its older name). `messages` may be null. Returns the fault, if any.
std::optional<ApiError> read_messages(const Json* messages, Json& out);

}  // namespace localai::server
