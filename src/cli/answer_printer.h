#pragma once
// One answer of the service on the terminal: text as it comes, the whole of it in the end.
#include <string>

#include "base/result.h"
#include "runtime/service.h"

namespace localai::cli {

// Sampling and length as flags give them; what is not given is the domain's, then the engine's.
struct GenerationArguments {
  runtime::SamplingOverrides sampling;
  std::optional<uint32_t> max_tokens;
};

// Writes the answer to stdout while it is generated and returns it. Errors: what start() or the
// backend failed with.
Result<std::string> print_answer(runtime::Service& service, const std::string& model,
                                 runtime::GenerateRequest request);

}  // namespace localai::cli
