#pragma once
// The one table from an error code to what the outside sees: HTTP status, OpenAI error type, exit
// status of a command.
#include <string_view>

#include "base/result.h"

namespace localai {

struct CodeInfo {
  std::string_view name;         // "invalid_argument", for logs
  int http_status;               // 400, 404, ...
  std::string_view openai_type;  // "invalid_request_error", ...
  int exit_status;               // of a command; 0 is success
};

const CodeInfo& code_info(Code code);

}  // namespace localai
