#pragma once
// How well the router does on labelled prompts.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/router.h"

namespace localai::runtime {

struct LabelledPrompt {
  std::string prompt;
  std::vector<std::string> accept;  // any of these domains is right; not empty
};

// One JSON object {"prompt", "accept"} a line; empty lines are skipped.
// Errors: kInvalidArgument, naming the line.
Result<std::vector<LabelledPrompt>> parse_labelled_prompts(std::string_view jsonl);

struct RouteEvaluation {
  size_t total = 0, right = 0;
  std::map<std::string, size_t> by_stage, right_by_stage;
  // expected -> chosen -> count. Expected is the accepted domain that was chosen, else the first.
  std::map<std::string, std::map<std::string, size_t>> confusion;
  struct Miss {
    std::string prompt, expected, chosen, reason;
  };
  std::vector<Miss> misses;
  // Accepted ids that are not configured, sorted: switched off, or misspelt. Where a prompt accepts
  // nothing else, the default domain is right.
  std::vector<std::string> unknown;
  struct SweepPoint {
    double min_score = 0, min_similarity = 0;
    size_t right = 0;
  };
  std::vector<SweepPoint> sweep;  // when asked for
  std::string similarity_error;   // why the embeddings had no say, of the last prompt
  double substring_right = 0;     // of the older server's substring counting, ties shared evenly
  size_t rules_right = 0;         // of the rules alone
  struct Times {
    double p50 = 0, p99 = 0;  // microseconds
  };
  Times rules, embedding;  // of the two stages, each asked for every prompt

  [[nodiscard]] double accuracy() const {
    return total == 0 ? 0 : static_cast<double>(right) / static_cast<double>(total);
  }
};

// `sweep`: also with other thresholds.
RouteEvaluation evaluate_router(const Router& router, const DomainConfig& config,
                                const std::vector<LabelledPrompt>& prompts, bool sweep);

Json route_evaluation_json(const RouteEvaluation& evaluation);

}  // namespace localai::runtime
