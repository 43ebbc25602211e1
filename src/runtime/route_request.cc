#include "runtime/route_request.h"

#include <algorithm>

namespace localai::runtime {
namespace {

std::string quoted_list(const std::vector<std::string>& names) {
  constexpr size_t kShown = 8;
  std::string out;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i)
    out += (i == 0 ? "'" : ", '") + names[i] + "'";
  return names.size() > kShown ? out + ", ..." : out;
}

// A chat's user messages, the newest first; where there are none, all that is there.
std::vector<std::string> user_texts(const Json& messages) {
  std::vector<std::string> users, others;
  if (!messages.is_array()) return users;
  for (size_t i = messages.size(); i-- > 0;) {
    const Json& message = messages[i];
    if (!message.is_object()) continue;
    const auto content = message.find("content");
    if (content == message.end() || !content->is_string()) continue;
    const auto role = message.find("role");
    const bool user = role != message.end() && *role == "user";
    (user ? users : others).push_back(content->get<std::string>());
  }
  return users.empty() ? others : users;
}

// Does a request for `model` stay among the domains that it allows?
Status check_allowed(const Resolver& resolver, const std::string& model, const RouteRequest& asked,
                     const RouteHints& hints) {
  const Domain* domain = resolver.find_domain(model);
  if (!asked.allowed || (domain != nullptr && is_allowed(asked.allowed, domain->id))) return Ok{};
  return invalid("model: '" + model + "' is not among the request's domains (" +
                 quoted_list(hints.domains) + ")");
}

// As far as the config alone tells.
void describe_model(const Domain& domain, RouteDecision& decision) {
  decision.model = domain.model_name.empty() ? model_name_of(domain.model_path) : domain.model_name;
  decision.backend = domain.backend;
}

Result<RouteDecision> decide(const Router& router, const RouteRequest& asked) {
  RouteDecision decision = router.decide(asked);
  if (decision.domain.empty())
    return not_found("no model was named, and no domain is configured to answer");
  return decision;
}

}  // namespace

bool asks_router(const std::string& model) { return model.empty() || model == "auto"; }

Result<RouteRequest> route_request_of(const Resolver& resolver, const GenerateRequest& request) {
  RouteRequest out;
  if (const auto* chat = std::get_if<ChatInput>(&request.input))
    out.texts = user_texts(chat->messages);
  else if (const auto* text = std::get_if<std::string>(&request.input))
    out.texts.push_back(*text);
  out.has_image = request.route.has_image;
  out.metadata = request.route.metadata;
  if (request.route.domains.empty()) return out;
  out.allowed.emplace();
  for (const std::string& name : request.route.domains)
    if (const Domain* domain = resolver.find_domain(name)) out.allowed->push_back(domain->id);
  if (out.allowed->empty())
    return not_found("domains: none of " + quoted_list(request.route.domains) +
                     " is a configured domain");
  return out;
}

Result<Candidates> choose_candidates(const Resolver& resolver, const Router& router,
                                     const std::string& model, const GenerateRequest& request) {
  LAI_TRY(const RouteRequest asked, route_request_of(resolver, request));
  if (!asks_router(model)) {
    LAI_TRY_STATUS(check_allowed(resolver, model, asked, request.route));
    return resolver.candidates(model, asked.allowed);
  }
  LAI_TRY(const RouteDecision decision, decide(router, asked));
  LAI_TRY(Candidates out, resolver.candidates(decision.domain, asked.allowed));
  out.route = decision.stage;
  out.route_reason = decision.reason;
  return out;
}

Result<RouteDecision> explain_route(const Resolver& resolver, const Router& router,
                                    const std::string& model, const GenerateRequest& request) {
  LAI_TRY(const RouteRequest asked, route_request_of(resolver, request));
  RouteDecision decision;
  if (asks_router(model)) {
    LAI_TRY(decision, decide(router, asked));
  } else {
    LAI_TRY_STATUS(check_allowed(resolver, model, asked, request.route));
    decision.stage = "explicit";
    decision.reason = "the request names it";
    if (const Domain* named = resolver.find_domain(model)) {
      decision.domain = named->id;
    } else {
      LAI_TRY(const Target target, resolver.resolve(model));
      decision.model = target.resolution.model;
      decision.backend = target.resolution.backend;
    }
    decision.candidates = {{decision.domain, 0, std::nullopt, std::nullopt, decision.reason}};
  }
  const Domain* domain = resolver.config().find(decision.domain);
  if (domain == nullptr) return decision;
  describe_model(*domain, decision);
  if (auto target = resolver.resolve(domain->id); target.ok()) {
    decision.model = target->resolution.model;
    decision.backend = target->resolution.backend;
  }
  return decision;
}

}  // namespace localai::runtime
