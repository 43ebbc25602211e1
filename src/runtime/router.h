#pragma once
// Which domain answers a request that names none: rules, then embeddings, then the default. A pure
// function of the config, the embedding model and the request: no clock, no chance, no order of
// threads or hash tables; equal scores go to the domain that stands first in the file.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "runtime/domain_config.h"
#include "runtime/embedder.h"
#include "runtime/keyword_index.h"
#include "runtime/route_text.h"
#include "runtime/router_similarity.h"

namespace localai::runtime {

// How many of the user's messages are read, newest first.
inline constexpr size_t kRouteMessagesMax = 4;

struct RouteRequest {
  std::vector<std::string> texts;  // what the user wrote, newest first; any bytes
  bool has_image = false;
  Json metadata;           // an object of texts, or null
  AllowedDomains allowed;  // never left, whatever scores
};

struct RouteCandidate {
  std::string domain;
  double score = 0;                  // of the rules
  std::optional<double> similarity;  // where embeddings were asked: how likely it is by them
  std::optional<double> total;       // of the two, by which it was ranked then
  std::string why;                   // what spoke for it, and why it lost
};

struct RouteDecision {
  std::string domain;                      // "": nothing may answer
  std::string model, backend;              // of that domain; left to whoever knows the disk
  std::string stage;                       // "explicit", "rules", "embedding", "default"
  std::string reason;                      // one line
  std::vector<RouteCandidate> candidates;  // the best first
};
Json route_decision_json(const RouteDecision& decision);  // the answer of POST /v1/route

// What was measured of one text: by domain, in the config's order.
struct RouteScores {
  struct Domain {
    double score = 0;
    std::vector<std::string> fired;  // rules that hold, as shown
    bool allowed = true;
  };
  std::vector<Domain> domains;
  std::optional<std::vector<float>> similarity;  // likelihoods
  std::string similarity_error;                  // why there is none although there is an embedder
};

// Immutable; thread-safe. Keeps nothing of the config.
class Router {
 public:
  // Without an embedder the embedding stage is left out.
  Router(const DomainConfig& config, std::shared_ptr<Embedder> embedder);

  // The newest text decides; where it says nothing, the one before it.
  [[nodiscard]] RouteDecision decide(const RouteRequest& request) const;

  // The two halves of it, for one text: what is measured, and what follows with `options`.
  [[nodiscard]] RouteScores measure(const RouteRequest& request, const std::string& text) const;
  void add_similarity(const std::string& text, RouteScores& scores) const;
  [[nodiscard]] RouteDecision choose(const RouteScores& scores,
                                     const RoutingOptions& options) const;
  // The rules' score and, weighed, the logarithm of the likelihood. There is a similarity.
  static double total_of(const RouteScores& scores, size_t domain);
  // Do the rules decide without a look at embeddings?
  static bool rules_are_clear(const RouteScores& scores, const RoutingOptions& options);
  [[nodiscard]] const RoutingOptions& options() const { return options_; }
  [[nodiscard]] bool has_embedder() const { return similarity_.has_value(); }

 private:
  struct KeywordRule {
    int keyword = 0;  // of index_
    std::string shown;
    double weight = 0;
  };
  struct DomainRules {
    std::string id;
    std::vector<KeywordRule> keywords;
    RoutingRules rules;
  };
  using Ranking = std::vector<size_t>;  // indices of the allowed domains, best first

  void add_keywords(const DomainConfig& config);
  [[nodiscard]] RouteScores::Domain score(const DomainRules& domain, const RouteRequest& request,
                                          const RouteText& text,
                                          const std::vector<bool>& found) const;
  [[nodiscard]] size_t default_of(const RouteScores& scores) const;
  static Ranking rank_by_rules(const RouteScores& scores);
  static Ranking rank_by_total(const RouteScores& scores);
  static std::string reason_of(const RouteScores& scores, size_t chosen, const std::string& stage);
  [[nodiscard]] std::string loss_of(const RouteScores& scores, size_t loser, size_t chosen,
                                    const RouteDecision& decision) const;
  void describe(const RouteScores& scores, Ranking order, bool embedded, size_t chosen,
                RouteDecision& decision) const;

  std::vector<DomainRules> domains_;
  size_t default_ = 0;
  RoutingOptions options_;
  KeywordIndex index_;
  std::optional<Similarity> similarity_;
};

}  // namespace localai::runtime
