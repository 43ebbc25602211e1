#include "runtime/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/route_eval.h"
#include "runtime/router_similarity.h"

namespace localai::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

DomainConfig parse(std::string_view json) {
  auto config = parse_domain_config(json, "domains.json", Settings{},
                                    [](std::string_view) { return std::nullopt; });
  EXPECT_TRUE(config.ok()) << config.error().message;
  EXPECT_TRUE(config->errors.empty()) << config->errors.front().message;
  return std::move(*config);
}

// A text's vector tells how often it says "red", "green" and "blue".
class ColourEmbedder final : public Embedder {
 public:
  Result<std::vector<std::vector<float>>> embed(std::span<const std::string> texts) override {
    if (!fault.empty()) return invalid(fault);
    std::vector<std::vector<float>> out;
    for (const std::string& text : texts) {
      longest = std::max(longest, text.size());
      std::vector<float> vector = {0.1f, 0.1f, 0.1f};
      const char* kWords[] = {"red", "green", "blue"};
      for (size_t i = 0; i < 3; ++i)
        for (size_t at = text.find(kWords[i]); at != std::string::npos;
             at = text.find(kWords[i], at + 1))
          vector[i] += 1;
      out.push_back(std::move(vector));
    }
    return out;
  }
  std::string fault;
  size_t longest = 0;
};

constexpr std::string_view kColours = R"({"domains": {
  "general": {"model_name": "m"},
  "roses": {"model_name": "m", "examples": ["red", "red red"], "keywords": ["rose"]},
  "grass": {"model_name": "m", "examples": ["green", "green green"], "keywords": ["lawn"]},
  "sky": {"model_name": "m", "examples": ["blue", "blue blue"], "keywords": ["cloud"]}},
  "routing": {"embedder": "colours", "min_similarity": 0.4}})";

RouteDecision decide(const Router& router, std::vector<std::string> texts,
                     AllowedDomains allowed = {}) {
  RouteRequest request;
  request.texts = std::move(texts);
  request.allowed = std::move(allowed);
  return router.decide(request);
}

std::string chosen(const Router& router, const std::string& text, AllowedDomains allowed = {}) {
  const RouteDecision decision = decide(router, {text}, std::move(allowed));
  return decision.domain + "|" + decision.stage;
}

TEST(Router, KeywordsCountOnWordBoundariesOnly) {
  const Router router(parse(R"({"domains": {
    "general": {"model_name": "m"},
    "gl": {"model_name": "m", "keywords": ["GL", "double entry"], "routing": {"keywords": {
        "reconcil*": 2, "straße": 1}}}}})"),
                      nullptr);
  for (const char* text : {"post it to the gl", "GL?", "a double-entry", "Double  Entry.",
                           "reconciliations", "RECONCILE", "STRASSE"})
    EXPECT_EQ(chosen(router, text), "gl|rules") << text;
  for (const char* text :
       {"glass", "eagl", "double the entry", "irreconcilable", "", "doubleentry"})
    EXPECT_EQ(chosen(router, text), "general|default") << text;
}

TEST(Router, EveryKindOfRuleSpeaksForItsDomain) {
  const Router router(parse(R"({"domains": {
    "general": {"model_name": "m"},
    "sql": {"model_name": "m", "routing": {"patterns": {"(?i)select .{1,40} from": 1}}},
    "arabic": {"model_name": "m", "routing": {"languages": {"ar": 1}}},
    "long": {"model_name": "m", "routing": {"length": {"min": 200}}},
    "eye": {"model_name": "m", "routing": {"has_image": 1}},
    "vip": {"model_name": "m", "routing": {"metadata": {"tier=gold": 1, "override": 5}}},
    "not": {"model_name": "m", "routing": {"keywords": {"cat": 1, "dog": -1}}}}})"),
                      nullptr);
  EXPECT_EQ(chosen(router, "SELECT a FROM b"), "sql|rules");
  EXPECT_EQ(chosen(router, "أين أقرب محطة قطار؟"), "arabic|rules");
  EXPECT_EQ(chosen(router, std::string(200, 'x')), "long|rules");
  EXPECT_EQ(chosen(router, std::string(199, 'x')), "general|default");
  EXPECT_EQ(chosen(router, "a cat"), "not|rules");
  EXPECT_EQ(chosen(router, "a cat and a dog"), "general|default");
  RouteRequest request;
  request.texts = {"what is this"};
  request.has_image = true;
  EXPECT_EQ(router.decide(request).domain, "eye");
  request.metadata = {{"tier", "silver"}};
  EXPECT_EQ(router.decide(request).domain, "eye");
  request.metadata = {{"tier", "gold"}, {"override", "x"}};
  EXPECT_EQ(router.decide(request).domain, "vip");
}

TEST(Router, EqualsGoToTheFirstInTheFileAndTheLoserIsTold) {
  const Router router(parse(R"({"domains": {
    "general": {"model_name": "m"},
    "b": {"model_name": "m", "routing": {"keywords": {"word": 1}}},
    "a": {"model_name": "m", "routing": {"keywords": {"word": 1}}}}})"),
                      nullptr);
  const RouteDecision decision = decide(router, {"a word"});
  EXPECT_EQ(decision.domain, "b");
  ASSERT_EQ(decision.candidates.size(), 3u);
  EXPECT_EQ(decision.candidates[0].domain, "b");
  EXPECT_EQ(decision.candidates[1].domain, "a");
  EXPECT_THAT(decision.candidates[1].why, HasSubstr("equal to b, which stands first"));
  EXPECT_THAT(decision.candidates[2].why, HasSubstr("0 is less than 1"));
}

TEST(Router, ASharedPlainKeywordCountsLess) {
  const Router router(parse(R"({"domains": {
    "a": {"model_name": "m", "keywords": ["control", "audit"]},
    "b": {"model_name": "m", "keywords": ["control", "quality"]}}, "default_domain": "a"})"),
                      nullptr);
  const RouteDecision decision = decide(router, {"quality control"});
  EXPECT_EQ(decision.domain, "b");
  EXPECT_DOUBLE_EQ(decision.candidates[0].score, 1.5);
  EXPECT_DOUBLE_EQ(decision.candidates[1].score, 0.5);
}

TEST(Router, AnOlderMessageDecidesWhereTheNewestSaysNothing) {
  const Router router(parse(kColours), nullptr);
  const RouteDecision decision = decide(router, {"and then?", "thanks", "a rose"});
  EXPECT_EQ(decision.domain, "roses");
  EXPECT_THAT(decision.reason, HasSubstr("message 2 before the last"));
  EXPECT_EQ(decide(router, {"1", "2", "3", "4", "a rose"}).domain, "general") << "four are read";
}

TEST(Router, EmbeddingsDecideWhereRulesDoNot) {
  auto embedder = std::make_shared<ColourEmbedder>();
  const Router router(parse(kColours), embedder);
  EXPECT_EQ(chosen(router, "something blue"), "sky|embedding");
  EXPECT_EQ(chosen(router, "green and green"), "grass|embedding");
  EXPECT_EQ(chosen(router, "red rose rose"), "roses|embedding");
  EXPECT_EQ(chosen(router, "nothing of the kind"), "general|default");
  const RouteDecision decision = decide(router, {"something blue"});
  ASSERT_EQ(decision.candidates.size(), 4u);
  EXPECT_GT(*decision.candidates[0].similarity, 0.4);
  EXPECT_GT(*decision.candidates[0].total, *decision.candidates[1].total);
  EXPECT_THAT(decision.candidates[1].why, HasSubstr("is less than"));
  EXPECT_EQ(dump_json(route_decision_json(decision)),
            dump_json(route_decision_json(decide(router, {"something blue"}))));
}

TEST(Router, WithoutAWorkingEmbedderItGoesByRulesAndSaysSo) {
  auto embedder = std::make_shared<ColourEmbedder>();
  embedder->fault = "no such model";
  const Router router(parse(kColours), embedder);
  const RouteDecision rules = decide(router, {"a cloud"});
  EXPECT_EQ(rules.domain + "|" + rules.stage, "sky|rules");
  EXPECT_THAT(rules.reason, HasSubstr("no embeddings: no such model"));
  EXPECT_THAT(decide(router, {"blue"}).reason, HasSubstr("no embeddings: no such model"));
  EXPECT_THAT(decide(Router(parse(kColours), nullptr), {"blue"}).reason,
              Not(HasSubstr("no embeddings")));
}

TEST(Router, TheAllowListIsNeverLeft) {
  const Router router(parse(kColours), std::make_shared<ColourEmbedder>());
  using List = std::vector<std::string>;
  EXPECT_EQ(chosen(router, "blue cloud cloud", List{"roses", "grass"}), "roses|default");
  EXPECT_EQ(chosen(router, "green", List{"roses", "grass"}), "grass|embedding");
  EXPECT_EQ(chosen(router, "hm", List{"sky"}), "sky|default");
  EXPECT_EQ(chosen(router, "rose", List{}), "|default");
  const RouteDecision decision = decide(router, {"cloud"}, List{"grass"});
  for (const RouteCandidate& candidate : decision.candidates) {
    if (candidate.domain == "grass") continue;
    EXPECT_EQ(candidate.why, "not among the request's domains") << candidate.domain;
  }
}

TEST(Router, OddTextsAreAnswered) {
  auto embedder = std::make_shared<ColourEmbedder>();
  const Router router(parse(kColours), embedder);
  using namespace std::string_literals;
  const std::string odd[] = {""s,
                             "\0\0"s,
                             "rose\0lawn"s,
                             "\xFF\xFE\x80 rose"s,
                             "\xF4\x90\x80\x80"s,
                             "\xED\xA0\x80"s,
                             "\xE2\x82"s,
                             std::string(3 << 20, 'a'),
                             std::string(1 << 20, '\xF0'),
                             "\u202E\u0301\u0301 rose"s};
  for (const std::string& text : odd) EXPECT_FALSE(decide(router, {text}).domain.empty());
  EXPECT_EQ(chosen(router, "\xFF rose rose cloud\0 blue"s), "sky|embedding");
  EXPECT_LE(embedder->longest, kEmbeddedHeadBytes + kEmbeddedTailBytes + 8);
  // What stands in the middle of a very long prompt is not read; its ends are.
  const std::string filler(1 << 20, '.');
  EXPECT_EQ(decide(router, {filler + " rose"}).domain, "roses");
  EXPECT_EQ(decide(router, {"rose " + filler}).domain, "roses");
  EXPECT_EQ(chosen(router, filler + " rose " + filler), "general|default");
}

TEST(EmbeddedPart, CutsBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += "€";
  const std::string part = embedded_part(text);
  EXPECT_EQ(part.find("€"), 0u);
  EXPECT_EQ((part.size() - 1) % 3, 0u);
  EXPECT_EQ(embedded_part("short"), "short");
}

TEST(RoutingHead, IsWrittenAndReadAndRefusesWhatIsWrong) {
  const std::vector<std::vector<float>> vectors = {{1, 0}, {0.9f, 0.1f}, {0, 1}, {0.1f, 0.9f}};
  const std::vector<FitSample> samples = {
      {&vectors[0], 0}, {&vectors[1], 0}, {&vectors[2], 2}, {&vectors[3], 2}};
  auto head = fit_routing_head("e", {"a", "none", "b"}, samples);
  ASSERT_TRUE(head.ok()) << head.error().message;
  ASSERT_EQ(head->rows.size(), 2u);
  EXPECT_GT(head->probabilities({1, 0})[0], 0.6f);
  EXPECT_GT(head->probabilities({0, 1})[1], 0.6f);
  const std::string text = write_routing_head(*head);
  auto read = parse_routing_head(text);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->embedder, "e");
  EXPECT_NEAR(read->probabilities({1, 0})[0], head->probabilities({1, 0})[0], 0.01);
  EXPECT_FALSE(fit_routing_head("e", {"a"}, {}).ok());
  for (const char* json :
       {"", "[]", "{}", R"({"embedder": 1})", R"({"embedder": "e", "dimension": 0})",
        R"({"embedder": "e", "dimension": -1, "domains": {}})",
        R"({"embedder": "e", "dimension": 2, "domains": []})",
        R"({"embedder": "e", "dimension": 2, "domains": {"a": {"bias": 0, "weights": [1]}}})",
        R"({"embedder": "e", "dimension": 1, "domains": {"a": {"bias": 0, "weights": ["x"]}}})",
        R"({"embedder": "e", "dimension": 1, "domains": {"a": {"bias": 1e99, "weights": [1]}}})"})
    EXPECT_FALSE(parse_routing_head(json).ok()) << json;
}

TEST(RouteEvaluation, CountsWhatIsRight) {
  const DomainConfig config = parse(kColours);
  auto prompts = parse_labelled_prompts(
      "{\"prompt\": \"a rose\", \"accept\": [\"roses\"]}\n\n"
      "{\"prompt\": \"cloud\", \"accept\": [\"grass\"]}\n"
      "{\"prompt\": \"hm\", \"accept\": [\"gone\"]}\n");
  ASSERT_TRUE(prompts.ok()) << prompts.error().message;
  const RouteEvaluation result = evaluate_router(Router(config, nullptr), config, *prompts, true);
  EXPECT_EQ(result.total, 3u);
  EXPECT_EQ(result.right, 2u) << "the default is right where nothing that is accepted exists";
  EXPECT_EQ(result.rules_right, 2u);
  EXPECT_DOUBLE_EQ(result.substring_right, 2);
  EXPECT_EQ(result.confusion.at("grass").at("sky"), 1u);
  EXPECT_THAT(result.unknown, ElementsAre("gone"));
  ASSERT_FALSE(result.sweep.empty());
  for (const char* line : {"", "x", "[]", "{}", R"({"prompt": 1, "accept": ["a"]})",
                           R"({"prompt": "p", "accept": []})", R"({"prompt": "p", "accept": [1]})"})
    EXPECT_FALSE(parse_labelled_prompts(line).ok()) << line;
}

}  // namespace
}  // namespace localai::runtime
