#include "runtime/route_eval.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "text/casefold.h"

namespace localai::runtime {
namespace {

Result<LabelledPrompt> parse_line(std::string_view line) {
  LAI_TRY(const Json json, parse_json(line));
  if (!json.is_object()) return invalid("must be an object");
  LabelledPrompt out;
  const auto prompt = json.find("prompt"), accept = json.find("accept");
  if (prompt == json.end() || !prompt->is_string()) return invalid("'prompt' must be a text");
  out.prompt = prompt->get<std::string>();
  if (accept == json.end() || !accept->is_array() || accept->empty())
    return invalid("'accept' must be a list of domain ids");
  for (const Json& id : *accept) {
    if (!id.is_string()) return invalid("'accept' must be a list of domain ids");
    out.accept.push_back(id.get<std::string>());
  }
  return out;
}

bool accepts(const LabelledPrompt& prompt, const std::string& domain) {
  return std::find(prompt.accept.begin(), prompt.accept.end(), domain) != prompt.accept.end();
}

// The older server: the domain with the most keywords that are substrings of the lower-cased
// prompt; the default when there is none. It broke ties by chance: the share of right ones counts.
double substring_chance(const DomainConfig& config, const LabelledPrompt& prompt) {
  const std::string folded = text::casefold(prompt.prompt);
  size_t best = 1, tied = 0, right = 0;
  for (const Domain& domain : config.domains) {
    const auto score = static_cast<size_t>(std::count_if(
        domain.keywords.begin(), domain.keywords.end(), [&](const std::string& keyword) {
          return folded.find(text::casefold(keyword)) != std::string::npos;
        }));
    if (score < best) continue;
    if (score > best) tied = right = 0;
    best = score;
    ++tied;
    if (accepts(prompt, domain.id)) ++right;
  }
  if (tied == 0) return accepts(prompt, config.default_domain) ? 1 : 0;
  return static_cast<double>(right) / static_cast<double>(tied);
}

// The accepted domains that there are; what is not there is noted.
LabelledPrompt configured(const DomainConfig& config, const LabelledPrompt& prompt,
                          std::set<std::string>& unknown) {
  LabelledPrompt out{prompt.prompt, {}};
  for (const std::string& id : prompt.accept) {
    if (config.find(id) != nullptr)
      out.accept.push_back(id);
    else
      unknown.insert(id);
  }
  if (out.accept.empty()) out.accept.push_back(config.default_domain);
  return out;
}

void count(const LabelledPrompt& prompt, const RouteDecision& decision, RouteEvaluation& out) {
  const bool right = accepts(prompt, decision.domain);
  const std::string& expected = right ? decision.domain : prompt.accept.front();
  ++out.total;
  ++out.by_stage[decision.stage];
  ++out.confusion[expected][decision.domain];
  if (right) {
    ++out.right;
    ++out.right_by_stage[decision.stage];
  } else {
    out.misses.push_back({prompt.prompt, expected, decision.domain, decision.reason});
  }
}

std::vector<RouteEvaluation::SweepPoint> sweep_points(bool embeddings) {
  std::vector<RouteEvaluation::SweepPoint> points;
  for (const double score : {0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0})
    for (int i = 0; i <= (embeddings ? 8 : 0); ++i)
      points.push_back({score, embeddings ? 0.05 * i : 0.0, 0});
  return points;
}

void sweep_prompt(const Router& router, const LabelledPrompt& prompt, const RouteScores& scores,
                  RouteEvaluation& out) {
  RoutingOptions options = router.options();
  for (RouteEvaluation::SweepPoint& point : out.sweep) {
    options.min_score = point.min_score;
    options.min_similarity = point.min_similarity;
    if (accepts(prompt, router.choose(scores, options).domain)) ++point.right;
  }
}

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

RouteEvaluation::Times times_of(std::vector<double> times) {
  if (times.empty()) return {};
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) {
    return times[static_cast<size_t>(std::lround(share * static_cast<double>(times.size() - 1)))];
  };
  return {at(0.5), at(0.99)};
}

}  // namespace

Result<std::vector<LabelledPrompt>> parse_labelled_prompts(std::string_view jsonl) {
  std::vector<LabelledPrompt> out;
  for (size_t number = 1; !jsonl.empty(); ++number) {
    const size_t end = std::min(jsonl.find('\n'), jsonl.size());
    const std::string_view line = jsonl.substr(0, end);
    jsonl.remove_prefix(std::min(end + 1, jsonl.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    LAI_TRY(LabelledPrompt prompt, parse_line(line), "line " + std::to_string(number));
    out.push_back(std::move(prompt));
  }
  if (out.empty()) return invalid("there are no labelled prompts in it");
  return out;
}

RouteEvaluation evaluate_router(const Router& router, const DomainConfig& config,
                                const std::vector<LabelledPrompt>& prompts, bool sweep) {
  RouteEvaluation out;
  if (sweep) out.sweep = sweep_points(router.has_embedder());
  std::vector<double> rules, embedding;
  std::set<std::string> unknown;
  for (const LabelledPrompt& labelled : prompts) {
    const LabelledPrompt prompt = configured(config, labelled, unknown);
    RouteRequest request;
    request.texts = {prompt.prompt};
    auto start = Clock::now();
    RouteScores scores = router.measure(request, prompt.prompt);
    const RouteDecision by_rules = router.choose(scores, router.options());
    rules.push_back(microseconds_since(start));
    if (accepts(prompt, by_rules.domain)) ++out.rules_right;
    if (router.has_embedder()) {
      start = Clock::now();
      router.add_similarity(prompt.prompt, scores);
      // The first prompt also waits for the model.
      if (out.total > 0) embedding.push_back(microseconds_since(start));
    }
    count(prompt, router.choose(scores, router.options()), out);
    out.substring_right += substring_chance(config, prompt);
    out.similarity_error = scores.similarity_error;
    sweep_prompt(router, prompt, scores, out);
  }
  out.unknown.assign(unknown.begin(), unknown.end());
  out.rules = times_of(std::move(rules));
  out.embedding = times_of(std::move(embedding));
  return out;
}

Json route_evaluation_json(const RouteEvaluation& evaluation) {
  const auto share = [&](double right) {
    return evaluation.total == 0 ? 0 : right / static_cast<double>(evaluation.total);
  };
  Json out = {{"accuracy", evaluation.accuracy()},
              {"total", evaluation.total},
              {"right", evaluation.right},
              {"rules_accuracy", share(static_cast<double>(evaluation.rules_right))},
              {"substring_accuracy", share(evaluation.substring_right)}};
  out["stages"] = Json::object();
  for (const auto& [stage, total] : evaluation.by_stage) {
    const auto right = evaluation.right_by_stage.find(stage);
    out["stages"][stage] = {
        {"total", total}, {"right", right == evaluation.right_by_stage.end() ? 0 : right->second}};
  }
  out["rules_us"] = {{"p50", evaluation.rules.p50}, {"p99", evaluation.rules.p99}};
  out["embedding_us"] = {{"p50", evaluation.embedding.p50}, {"p99", evaluation.embedding.p99}};
  if (!evaluation.similarity_error.empty()) out["no_embeddings"] = evaluation.similarity_error;
  out["confusion"] = evaluation.confusion;
  out["unknown"] = evaluation.unknown;
  out["misses"] = Json::array();
  for (const RouteEvaluation::Miss& miss : evaluation.misses)
    out["misses"].push_back({{"prompt", miss.prompt},
                             {"expected", miss.expected},
                             {"chosen", miss.chosen},
                             {"reason", miss.reason}});
  if (evaluation.sweep.empty()) return out;
  out["sweep"] = Json::array();
  for (const RouteEvaluation::SweepPoint& point : evaluation.sweep)
    out["sweep"].push_back({{"min_score", point.min_score},
                            {"min_similarity", point.min_similarity},
                            {"accuracy", share(static_cast<double>(point.right))}});
  return out;
}

}  // namespace localai::runtime
