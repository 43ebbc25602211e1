#include "runtime/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace localai::runtime {
namespace {

constexpr size_t kFiredShown = 6;

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
    const bool allowed = !request.allowed ||
                         std::find(request.allowed->begin(), request.allowed->end(), domain.id) !=
                             request.allowed->end();
    scores.domains.push_back(allowed ? score(domain, request, read, found)
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

// The allowed domains' indices, best first; among equals the file's order stays.
Router::Ranking Router::rank(const RouteScores& scores) {
  Ranking ranking;
  for (size_t i = 0; i < scores.domains.size(); ++i)
    if (scores.domains[i].allowed) ranking.by_rules.push_back(i);
  std::stable_sort(ranking.by_rules.begin(), ranking.by_rules.end(), [&](size_t a, size_t b) {
    return scores.domains[a].score > scores.domains[b].score;
  });
  if (!scores.similarity) return ranking;
  ranking.by_similarity = ranking.by_rules;
  std::stable_sort(
      ranking.by_similarity.begin(), ranking.by_similarity.end(),
      [&](size_t a, size_t b) { return (*scores.similarity)[a] > (*scores.similarity)[b]; });
  return ranking;
}

bool Router::rules_are_clear(const RouteScores& scores, const RoutingOptions& options) {
  const std::vector<size_t> best = rank(scores).by_rules;
  if (best.empty() || scores.domains[best[0]].score < options.min_score) return false;
  return best.size() == 1 ||
         scores.domains[best[0]].score - scores.domains[best[1]].score >= options.min_lead;
}

RouteDecision Router::choose(const RouteScores& scores, const RoutingOptions& options) const {
  RouteDecision decision;
  decision.stage = "default";
  const Ranking ranking = rank(scores);
  if (ranking.by_rules.empty()) {
    decision.reason = "no domain may answer";
    return decision;
  }
  size_t chosen = default_of(scores);
  const size_t best = ranking.by_rules.front();
  if (rules_are_clear(scores, options)) {
    chosen = best;
    decision.stage = "rules";
  } else if (scores.similarity &&
             (*scores.similarity)[ranking.by_similarity.front()] >= options.min_similarity) {
    chosen = ranking.by_similarity.front();
    decision.stage = "embedding";
  } else if (scores.domains[best].score >= options.min_score) {
    chosen = best;
    decision.stage = "rules";
  }
  describe(scores, ranking, chosen, decision);
  return decision;
}

void Router::describe(const RouteScores& scores, const Ranking& ranking, size_t chosen,
                      RouteDecision& decision) const {
  decision.domain = domains_[chosen].id;
  const RouteScores::Domain& winner = scores.domains[chosen];
  const auto similarity_of = [&](size_t i) {
    return scores.similarity ? std::optional<double>((*scores.similarity)[i]) : std::nullopt;
  };
  if (decision.stage == "rules")
    decision.reason = fmt::format("rules: {:.4g} for {}", winner.score, joined(winner.fired));
  else if (decision.stage == "embedding")
    decision.reason = fmt::format("nearest by embedding: {:.3f}", *similarity_of(chosen));
  else
    decision.reason = "too little speaks for any domain; this is the default";
  if (!scores.similarity_error.empty())
    decision.reason += "; no embeddings: " + scores.similarity_error;

  std::vector<size_t> order =
      decision.stage == "embedding" ? ranking.by_similarity : ranking.by_rules;
  std::stable_partition(order.begin(), order.end(), [&](size_t i) { return i == chosen; });
  for (size_t i = 0; i < domains_.size(); ++i)
    if (!scores.domains[i].allowed) order.push_back(i);
  for (const size_t i : order) {
    const RouteScores::Domain& domain = scores.domains[i];
    std::string why = domain.fired.empty() ? "no rule speaks for it" : joined(domain.fired);
    if (i == chosen)
      why = decision.reason;
    else if (!domain.allowed)
      why = "not among the request's domains";
    else if (decision.stage == "embedding")
      why += fmt::format("; similarity {:.3f} is less than {:.3f}", *similarity_of(i),
                         *similarity_of(chosen));
    else if (decision.stage == "default")
      why += "; too little to decide";
    else if (domain.score == winner.score)
      why += fmt::format("; equal to {}, which stands first in the file", decision.domain);
    else
      why += fmt::format("; {:.4g} is less than {:.4g}", domain.score, winner.score);
    decision.candidates.push_back({domains_[i].id, domain.score, similarity_of(i), std::move(why)});
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
    candidates.push_back(std::move(one));
  }
  return {{"domain", decision.domain}, {"model", decision.model},   {"backend", decision.backend},
          {"stage", decision.stage},   {"reason", decision.reason}, {"candidates", candidates}};
}

}  // namespace localai::runtime
