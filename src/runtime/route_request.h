#pragma once
// From a generation request to the router's question, and from its answer to a model.
#include <string>

#include "base/result.h"
#include "runtime/backend.h"
#include "runtime/resolver.h"
#include "runtime/router.h"

namespace localai::runtime {

// Empty and "auto" leave the choice to the router.
bool asks_router(const std::string& model);

// The user's texts, newest first, and the hints. Names of the allow-list that no domain has are
// left out. Errors: kNotFound (no domain has any of its names).
Result<RouteRequest> route_request_of(const Resolver& resolver, const GenerateRequest& request);

// Who may answer a request for `model`. Errors: the resolver's; kInvalidArgument (a model outside
// the request's domains).
Result<Candidates> choose_candidates(const Resolver& resolver, const Router& router,
                                     const std::string& model, const GenerateRequest& request);

// The decision alone; names that lead to no file are shown as the config has them. Errors: as
// choose_candidates(), but a domain whose model is not there is none.
Result<RouteDecision> explain_route(const Resolver& resolver, const Router& router,
                                    const std::string& model, const GenerateRequest& request);

}  // namespace localai::runtime
