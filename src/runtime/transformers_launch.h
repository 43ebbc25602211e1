#pragma once
// How this program starts a Transformers service of its own.
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "runtime/resolver.h"
#include "runtime/service_process.h"
#include "runtime/settings.h"

namespace localai::runtime {

struct TransformersLaunch {
  std::vector<std::string> command;  // program and arguments; empty: none is started
  std::chrono::seconds idle{600};    // ended after so long without a model; 0: never
};

// TRANSFORMERS_COMMAND, else what scripts/setup-transformers.sh made beside this program or in the
// working directory, else none. Errors: kInvalidArgument, naming the variable.
Result<TransformersLaunch> read_transformers_launch(const Environment& environment);

// The service's view of the config: {"models": {name: {"path"}}} of every domain whose model_path
// is there.
Json service_models(const Resolver& resolver);

// The process, without the hooks into its owner.
ServiceProcessOptions service_process_options(const TransformersLaunch& launch);

}  // namespace localai::runtime
