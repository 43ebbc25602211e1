#pragma once
// The router's embedding model: the one that the config's "routing" names, loaded when it is first
// needed and kept.
#include <memory>

#include "runtime/embedder.h"
#include "runtime/model_cache.h"
#include "runtime/resolver.h"

namespace localai::runtime {

// Both are null when the config names none. A model that is not there or cannot be loaded is an
// error of embed(), every time: the router then goes by rules and says why.

// A copy of its own, for commands.
std::shared_ptr<Embedder> router_embedder(const Resolver& resolver);

// Through the model cache, which counts it, and keeps one copy of it and of the same model of a
// domain. It is in use as long as the result lives, so it is never evicted. embed() waits for the
// load for a moment only: a model that has no room, or is not there in time, is an error of that
// call. Not to be called on the cache's thread, nor after the cache's end.
std::shared_ptr<Embedder> cached_router_embedder(const Resolver& resolver, ModelCache& cache);

}  // namespace localai::runtime
