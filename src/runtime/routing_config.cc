#include "runtime/routing_config.h"

#include "runtime/keyword_index.h"

namespace localai::runtime {
namespace {

using Weights = std::vector<std::pair<std::string, double>>;

Weights weights_of(const Json& routing, const char* key) {
  Weights out;
  const auto found = routing.find(key);
  if (found == routing.end() || found->is_null()) return out;
  for (const auto& [name, weight] : found->items()) out.emplace_back(name, weight.get<double>());
  return out;
}

double number_of(const Json& object, const char* key, double otherwise) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? otherwise : found->get<double>();
}

}  // namespace

Result<RoutingRules> read_routing_rules(const Json& routing) {
  RoutingRules rules;
  rules.keywords = weights_of(routing, "keywords");
  KeywordIndex index;
  for (const auto& [keyword, weight] : rules.keywords)
    if (index.add(keyword) < 0)
      return invalid("routing: keywords: '" + keyword +
                     "' needs a letter or digit, and '*' only at the end of a word");
  for (const auto& [source, weight] : weights_of(routing, "patterns")) {
    LAI_TRY(auto pattern, text::Pattern::compile(source), "routing: patterns");
    rules.patterns.push_back({source, weight, std::move(pattern)});
  }
  rules.languages = weights_of(routing, "languages");
  rules.metadata = weights_of(routing, "metadata");
  rules.has_image = number_of(routing, "has_image", 0);
  const auto length = routing.find("length");
  if (length == routing.end() || length->is_null()) return rules;
  rules.length_weight = number_of(*length, "weight", 1);
  rules.length_min = number_of(*length, "min", rules.length_min);
  rules.length_max = number_of(*length, "max", rules.length_max);
  return rules;
}

RoutingOptions read_routing_options(const Json& routing) {
  RoutingOptions options;
  const auto embedder = routing.find("embedder");
  if (embedder != routing.end() && embedder->is_string())
    options.embedder = embedder->get<std::string>();
  const auto head = routing.find("head");
  if (head != routing.end() && head->is_string()) options.head = head->get<std::string>();
  options.min_score = number_of(routing, "min_score", options.min_score);
  options.min_lead = number_of(routing, "min_lead", options.min_lead);
  options.min_similarity = number_of(routing, "min_similarity", options.min_similarity);
  return options;
}

}  // namespace localai::runtime
