#include "engine/draft_policy.h"

#include <algorithm>

namespace localai::engine {
namespace {

constexpr double kRowShare = 0.1;  // of a row's time that one more is thought to take, untried
constexpr double kFollow = 0.2;    // weight of a new time
constexpr double kDoubt = 0.01;    // pull towards the untried guess, each time a draft was let go
constexpr double kMemory = 32;     // drafted tokens after which a record forgets half

}  // namespace

size_t DraftRecord::kind_of(uint32_t matched) {
  return matched < 3 ? 0 : matched < 5 ? 1 : matched < 9 ? 2 : 3;
}

double DraftRecord::rate(uint32_t matched) const {
  const Kind& kind = kinds_[kind_of(matched)];
  return kind.right / kind.seen;
}

void DraftRecord::count(uint32_t matched, uint32_t right, bool then_wrong) {
  Kind& kind = kinds_[kind_of(matched)];
  kind.right += right;
  kind.seen += right + (then_wrong ? 1 : 0);
  if (kind.seen < kMemory) return;
  kind.right /= 2;
  kind.seen /= 2;
}

double DraftPolicy::cost(uint32_t rows) const {
  rows = std::min(rows, kRowsMax);
  if (cost_[rows] > 0) return cost_[rows];
  uint32_t below = rows, above = rows;
  while (below > 0 && cost_[below] == 0) --below;
  while (above < kRowsMax && cost_[above] == 0) ++above;
  const auto guess = [](uint32_t count) { return 1 + kRowShare * (count - 1); };
  if (below == 0 && cost_[above] == 0) return guess(rows);
  if (below == 0) return cost_[above] * guess(rows) / guess(above);
  if (cost_[above] == 0) return cost_[below] * guess(rows) / guess(below);
  return cost_[below] + (cost_[above] - cost_[below]) * (rows - below) / (above - below);
}

uint32_t DraftPolicy::choose(uint32_t rows, double rate, uint32_t most) {
  uint32_t best = 0;
  double tokens = rows, chance = 1, best_pace = tokens / cost(rows);
  for (uint32_t drafts = 1; drafts <= most; ++drafts) {
    chance *= rate;
    tokens += chance;
    const double pace = tokens / cost(rows + drafts);
    if (pace <= best_pace) continue;
    best = drafts;
    best_pace = pace;
  }
  if (best == 0) doubt(rows, most);
  return best;
}

void DraftPolicy::took(uint32_t rows, double milliseconds) {
  if (rows > kRowsMax || milliseconds <= 0) return;
  double& known = cost_[rows];
  if (known == 0)
    known = milliseconds;
  else  // one slow step, where something else ran, says little
    known += kFollow * (std::min(milliseconds, 2 * known) - known);
}

// A time that was slow once would never be measured again: it comes down until it is.
void DraftPolicy::doubt(uint32_t rows, uint32_t most) {
  if (rows > kRowsMax || cost_[rows] == 0) return;
  for (uint32_t more = 1; more <= most && rows + more <= kRowsMax; ++more) {
    double& known = cost_[rows + more];
    const double guess = cost_[rows] * (1 + kRowShare * more / rows);
    if (known > guess) known += kDoubt * (guess - known);
  }
}

}  // namespace localai::engine
