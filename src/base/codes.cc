#include "base/codes.h"

namespace localai {

const CodeInfo& code_info(Code code) {
  static constexpr CodeInfo kTable[] = {
      {"invalid_argument", 400, "invalid_request_error", 2},
      {"not_found", 404, "not_found_error", 3},
      {"corrupt", 500, "server_error", 4},
      {"unsupported", 501, "not_supported_error", 5},
      {"exhausted", 503, "unavailable_error", 6},
      {"unavailable", 503, "unavailable_error", 7},
      {"cancelled", 499, "cancelled_error", 8},
      {"internal", 500, "server_error", 1},
      {"context_length", 400, "invalid_request_error", 2},
  };
  return kTable[static_cast<size_t>(code)];
}

}  // namespace localai
