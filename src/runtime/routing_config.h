#pragma once
// What a config file says about routing: the key "routing" of a domain and of the file.
#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/pattern.h"

namespace localai::runtime {

// Ids of the domains that may answer; nothing: any.
using AllowedDomains = std::optional<std::vector<std::string>>;
inline bool is_allowed(const AllowedDomains& allowed, const std::string& id) {
  return !allowed || std::find(allowed->begin(), allowed->end(), id) != allowed->end();
}

// A regular expression that speaks for a domain where it matches.
struct PatternRule {
  std::string source;
  double weight = 0;
  std::shared_ptr<const text::Pattern> pattern;
};

// Each rule that holds adds its weight, which may be negative.
struct RoutingRules {
  std::vector<std::pair<std::string, double>> keywords;  // beside the domain's plain `keywords`
  std::vector<PatternRule> patterns;
  std::vector<std::pair<std::string, double>> languages;  // ISO 639-1
  std::vector<std::pair<std::string, double>> metadata;   // "key=value", or "key" for any value
  double has_image = 0;
  double length_weight = 0;  // when the prompt has length_min..length_max characters
  double length_min = 0, length_max = std::numeric_limits<double>::infinity();
};

// Of the whole file.
struct RoutingOptions {
  std::string embedder;         // model of the embedding stage; "": that stage is left out
  std::string head;             // file of its RoutingHead; "": fitted to the domains' own texts
  double min_score = 1;         // rules below it decide nothing
  double min_lead = 2;          // with an embedder: a smaller lead is left to the embeddings
  double min_similarity = 0.1;  // embeddings below it decide nothing
};

// Both take the value of "routing" after check_value(). Errors: kInvalidArgument, naming the rule.
Result<RoutingRules> read_routing_rules(const Json& routing);
RoutingOptions read_routing_options(const Json& routing);

}  // namespace localai::runtime
