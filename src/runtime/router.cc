#include "runtime/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace localai::runtime {
namespace {

constexpr size_t kFiredShown = 6;
// What a likelihood counts beside the rules: the best over prompts that neither had seen.
constexpr double kEvidence = 1.0;
constexpr double kLikelihoodMin = 1e-4;  // one below it is no more against a domain than this

std::string fired_rule(std::string_view what, double weight) {
  return fmt::format("{} ({:+.4g})", what, weight);
}

std::string joined(const std::vector<std::string>& items) {
  std::string out;
  for (size_t i = 0; i < std::min(items.size(), kFiredShown); ++i)
    out += (i == 0 ? "" : ", ") + items[i];
  if (items.size() > kFiredShown) out += fmt::format(" and {} more", items.size() - kFiredShown);
  return out;
}

// Does "key=value" or "key" hold of the request's metadata?
bool metadata_holds(const Json& metadata, const std::string& rule) {
  if (!metadata.is_object()) return false;
  const size_t at = rule.find('=');
  const auto found = metadata.find(rule.substr(0, at));
  if (found == metadata.end()) return false;
  return at == std::string::npos || (found->is_string() && *found == rule.substr(at + 1));
}

}  // namespace

Router::Router(const DomainConfig& config, std::shared_ptr<Embedder> embedder)
    : options_(config.routing) {
  for (const Domain& domain : config.domains) {
    if (domain.id == config.default_domain) default_ = domains_.size();
    domains_.push_back({domain.id, {}, domain.routing});
  }
  add_keywords(config);
  if (embedder) similarity_.emplace(config, std::move(embedder));
}

// A plain keyword counts 1 for each of its words, shared among the domains that list it; a weight
// in "routing" takes the place of that.
void Router::add_keywords(const DomainConfig& config) {
  std::map<int, double> listed_by;
  std::vector<std::map<int, std::string>> plain(domains_.size());
  for (size_t i = 0; i < domains_.size(); ++i) {
    for (const std::string& keyword : config.domains[i].keywords)
      if (const int number = index_.add(keyword); number >= 0) plain[i].emplace(number, keyword);
    for (const auto& [number, keyword] : plain[i]) listed_by[number] += 1;
  }
  for (size_t i = 0; i < domains_.size(); ++i) {
    DomainRules& domain = domains_[i];
    for (const auto& [keyword, weight] : domain.rules.keywords) {
      const int number = index_.add(keyword);
      plain[i].erase(number);
      domain.keywords.push_back({number, keyword, weight});
    }
    for (const auto& [number, keyword] : plain[i])
      domain.keywords.push_back(
          {number, keyword, static_cast<double>(index_.words_of(number)) / listed_by[number]});
  }
}

RouteScores::Domain Router::score(const DomainRules& domain, const RouteRequest& request,
                                  const RouteText& text, const std::vector<bool>& found) const {
  RouteScores::Domain out;
  const auto add = [&](std::string_view what, double weight) {
    if (weight == 0) return;
    out.score += weight;
    out.fired.push_back(fired_rule(what, weight));
  };
  for (const KeywordRule& rule : domain.keywords)
    if (found[static_cast<size_t>(rule.keyword)]) add(rule.shown, rule.weight);
  for (const PatternRule& rule : domain.rules.patterns)
    if (rule.pattern->find(text.text, 0)) add("pattern " + rule.source, rule.weight);
  for (const auto& [language, weight] : domain.rules.languages)
    if (language == text.language) add("language " + language, weight);
  for (const auto& [rule, weight] : domain.rules.metadata)
    if (metadata_holds(request.metadata, rule)) add("metadata " + rule, weight);
  if (request.has_image) add("an image", domain.rules.has_image);
  const auto length = static_cast<double>(text.characters);
  if (length >= domain.rules.length_min && length <= domain.rules.length_max)
    add(fmt::format("{} characters", text.characters), domain.rules.length_weight);
  return out;
}

RouteScores Router::measure(const RouteRequest& request, const std::string& text) const {
  const RouteText read = read_route_text(text);
  const std::vector<bool> found = index_.find(read.words);
  RouteScores scores;
  for (const DomainRules& domain : domains_) {
    scores.domains.push_back(is_allowed(request.allowed, domain.id)
                                 ? score(domain, request, read, found)
                                 : RouteScores::Domain{0, {}, false});
  }
  return scores;
}

void Router::add_similarity(const std::string& text, RouteScores& scores) const {
  if (!similarity_) return;
  auto similarity = similarity_->of(read_route_text(text).text);
  if (similarity.ok())
    scores.similarity = std::move(*similarity);
  else
    scores.similarity_error = similarity.error().message;
}

// The default where it is allowed, else the first that is.
size_t Router::default_of(const RouteScores& scores) const {
  if (scores.domains[default_].allowed) return default_;
  const auto first = std::find_if(scores.domains.begin(), scores.domains.end(),
                                  [](const RouteScores::Domain& domain) { return domain.allowed; });
  return static_cast<size_t>(first - scores.domains.begin());
}

// Among equals the file's order stays.
Router::Ranking Router::rank_by_rules(const RouteScores& scores) {
  Ranking ranking;
  for (size_t i = 0; i < scores.domains.size(); ++i)
    if (scores.domains[i].allowed) ranking.push_back(i);
  std::stable_sort(ranking.begin(), ranking.end(), [&](size_t a, size_t b) {
    return scores.domains[a].score > scores.domains[b].score;
  });
  return ranking;
}

double Router::total_of(const RouteScores& scores, size_t domain) {
  const auto likely = static_cast<double>((*scores.similarity)[domain]);
  return scores.domains[domain].score + kEvidence * std::log(std::max(likely, kLikelihoodMin));
}

Router::Ranking Router::rank_by_total(const RouteScores& scores) {
  std::vector<double> totals;
  for (size_t i = 0; i < scores.domains.size(); ++i) totals.push_back(total_of(scores, i));
  Ranking ranking = rank_by_rules(scores);
  std::sort(ranking.begin(), ranking.end(), [&](size_t a, size_t b) {
    return totals[a] != totals[b] ? totals[a] > totals[b] : a < b;
  });
  return ranking;
}

bool Router::rules_are_clear(const RouteScores& scores, const RoutingOptions& options) {
  const Ranking best = rank_by_rules(scores);
  if (best.empty() || scores.domains[best[0]].score < options.min_score) return false;
  return best.size() == 1 ||
         scores.domains[best[0]].score - scores.domains[best[1]].score >= options.min_lead;
}

RouteDecision Router::choose(const RouteScores& scores, const RoutingOptions& options) const {
  RouteDecision decision;
  decision.stage = "default";
  Ranking ranking = rank_by_rules(scores);
  if (ranking.empty()) {
    decision.reason = "no domain may answer";
    return decision;
  }
  const bool embedded = scores.similarity && !rules_are_clear(scores, options);
  if (embedded) ranking = rank_by_total(scores);
  const size_t best = ranking.front();
  size_t chosen = default_of(scores);
  if (scores.domains[best].score >= options.min_score ||
      (embedded && static_cast<double>((*scores.similarity)[best]) >= options.min_similarity)) {
    chosen = best;
    decision.stage = embedded ? "embedding" : "rules";
  }
  describe(scores, ranking, embedded, chosen, decision);
  return decision;
}

std::string Router::reason_of(const RouteScores& scores, size_t chosen, const std::string& stage) {
  const RouteScores::Domain& winner = scores.domains[chosen];
  std::string reason = "too little speaks for any domain; this is the default";
  if (stage == "rules")
    reason = fmt::format("rules: {:.4g} for {}", winner.score, joined(winner.fired));
  if (stage == "embedding")
    reason =
        fmt::format("embeddings: likely by {:.3f}, rules {:.4g}{}{}", (*scores.similarity)[chosen],
                    winner.score, winner.fired.empty() ? "" : " for ", joined(winner.fired));
  if (!scores.similarity_error.empty()) reason += "; no embeddings: " + scores.similarity_error;
  return reason;
}

std::string Router::loss_of(const RouteScores& scores, size_t loser, size_t chosen,
                            const RouteDecision& decision) const {
  const RouteScores::Domain& domain = scores.domains[loser];
  if (!domain.allowed) return "not among the request's domains";
  const std::string why = domain.fired.empty() ? "no rule speaks for it" : joined(domain.fired);
  if (decision.stage == "default") return why + "; too little to decide";
  const bool embedded = decision.stage == "embedding";
  const double own = embedded ? total_of(scores, loser) : domain.score;
  const double best = embedded ? total_of(scores, chosen) : scores.domains[chosen].score;
  if (own == best)
    return why + fmt::format("; equal to {}, which stands first in the file", decision.domain);
  return why +
         fmt::format("; {}{:.4g} is less than {:.4g}", embedded ? "in total " : "", own, best);
}

void Router::describe(const RouteScores& scores, Ranking order, bool embedded, size_t chosen,
                      RouteDecision& decision) const {
  decision.domain = domains_[chosen].id;
  decision.reason = reason_of(scores, chosen, decision.stage);
  std::stable_partition(order.begin(), order.end(), [&](size_t i) { return i == chosen; });
  for (size_t i = 0; i < domains_.size(); ++i)
    if (!scores.domains[i].allowed) order.push_back(i);
  for (const size_t i : order) {
    RouteCandidate candidate;
    candidate.domain = domains_[i].id;
    candidate.score = scores.domains[i].score;
    if (scores.similarity) candidate.similarity = static_cast<double>((*scores.similarity)[i]);
    if (embedded) candidate.total = total_of(scores, i);
    candidate.why = i == chosen ? decision.reason : loss_of(scores, i, chosen, decision);
    decision.candidates.push_back(std::move(candidate));
  }
}

RouteDecision Router::decide(const RouteRequest& request) const {
  RouteDecision newest;
  static const std::vector<std::string> kNoText = {""};
  const std::vector<std::string>& texts = request.texts.empty() ? kNoText : request.texts;
  for (size_t i = 0; i < std::min(texts.size(), kRouteMessagesMax); ++i) {
    RouteScores scores = measure(request, texts[i]);
    RouteDecision decision = choose(scores, options_);
    // Embeddings cost more than rules: they are asked where rules alone cannot decide.
    if (similarity_ && !decision.domain.empty() && !rules_are_clear(scores, options_)) {
      add_similarity(texts[i], scores);
      decision = choose(scores, options_);
    }
    if (decision.stage != "default") {
      if (i > 0) decision.reason += fmt::format("; by the user's message {} before the last", i);
      return decision;
    }
    if (i == 0) newest = std::move(decision);
  }
  return newest;
}

Json route_decision_json(const RouteDecision& decision) {
  Json candidates = Json::array();
  for (const RouteCandidate& candidate : decision.candidates) {
    Json one = {{"domain", candidate.domain}, {"score", candidate.score}, {"why", candidate.why}};
    if (candidate.similarity) one["similarity"] = *candidate.similarity;
    if (candidate.total) one["total"] = *candidate.total;
    candidates.push_back(std::move(one));
  }
  return {{"domain", decision.domain}, {"model", decision.model},   {"backend", decision.backend},
          {"stage", decision.stage},   {"reason", decision.reason}, {"candidates", candidates}};
}

}  // namespace localai::runtime
