#pragma once
// The router's embedding model: the one that the config's "routing" names, loaded when it is first
// needed and kept.
#include <memory>

#include "runtime/embedder.h"
#include "runtime/resolver.h"

namespace localai::runtime {

// Null when the config names none. A model that is not there or cannot be loaded is an error of
// embed(), every time: the router then goes by rules and says why.
std::shared_ptr<Embedder> router_embedder(const Resolver& resolver);

}  // namespace localai::runtime
