#pragma once
// How many drafted tokens a decode step should check: as many as make tokens come fastest, judged
// by what steps of so many rows have cost here and by how often drafts have been right. Only the
// pace depends on it, never the answer. One thread.
#include <array>
#include <cstddef>
#include <cstdint>

namespace localai::engine {

// How often drafts of one sequence have been right, by the number of tokens that matched. Starts
// from what is usual and forgets slowly.
class DraftRecord {
 public:
  // The chance that one more drafted token is right.
  [[nodiscard]] double rate(uint32_t matched) const;
  // `right` of the drafted tokens were, and then one was not, or the draft ended.
  void count(uint32_t matched, uint32_t right, bool then_wrong);

 private:
  struct Kind {
    double right, seen;
  };
  static size_t kind_of(uint32_t matched);
  std::array<Kind, 4> kinds_{{{0.6, 2.0}, {1.0, 2.0}, {1.4, 2.0}, {1.7, 2.0}}};
};

class DraftPolicy {
 public:
  static constexpr uint32_t kRowsMax = 64;  // steps of more rows are not told apart

  // Of a step that has `rows` rows so far (one of them the sequence's own): how many drafted tokens
  // to add, up to `most`.
  uint32_t choose(uint32_t rows, double rate, uint32_t most);
  // A decode step without prompts took so long.
  void took(uint32_t rows, double milliseconds);

 private:
  [[nodiscard]] double cost(uint32_t rows) const;
  void doubt(uint32_t rows, uint32_t most);

  std::array<double, kRowsMax + 1> cost_{};  // milliseconds by rows; 0: not known
};

}  // namespace localai::engine
