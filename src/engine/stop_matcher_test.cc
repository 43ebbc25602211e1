#include "engine/stop_matcher.h"

#include <gtest/gtest.h>

#include "engine/random.h"

namespace localai::engine {
namespace {

struct Outcome {
  std::string shown, held;
  std::string stop;  // "": none
  bool operator==(const Outcome&) const = default;
};

Outcome feed(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopMatcher matcher(stops);
  Outcome outcome;
  for (const std::string& text : pieces) {
    StopMatcher::Piece piece = matcher.push(text);
    outcome.shown += piece.text;
    if (piece.stop) {
      outcome.stop = matcher.stop(*piece.stop);
      return outcome;
    }
  }
  outcome.held = matcher.take_held();
  return outcome;
}

TEST(StopMatcher, HoldsBackOnlyWhatMayBecomeAStop) {
  StopMatcher matcher({"<|end|>", "\n\n"});
  EXPECT_EQ(matcher.push("one <").text, "one ");
  EXPECT_EQ(matcher.push("|en").text, "");
  EXPECT_EQ(matcher.push("ter\n").text, "<|enter");
  EXPECT_EQ(matcher.push("x").text, "\nx");
  const auto last = matcher.push("end\n\nrest");
  EXPECT_EQ(last.text, "end");
  ASSERT_TRUE(last.stop);
  EXPECT_EQ(matcher.stop(*last.stop), "\n\n");
}

TEST(StopMatcher, FallsBackInsideARepetitiveStop) {
  EXPECT_EQ(feed({"aab"}, {"a", "a", "a", "b", "c"}), (Outcome{"a", "", "aab"}));
  EXPECT_EQ(feed({"abab!"}, {"ababab"}), (Outcome{"ab", "abab", ""}));
}

TEST(StopMatcher, TheFirstToBeCompleteWins) {
  EXPECT_EQ(feed({"abc", "b"}, {"xabc"}), (Outcome{"xa", "", "b"}));
  EXPECT_EQ(feed({"c", "abc"}, {"xabc"}), (Outcome{"x", "", "abc"}));
}

// The slow and obvious way: after each byte, does the text end in a stop?
Outcome reference(const std::vector<std::string>& stops, const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::string best;
    for (const std::string& stop : stops)
      if (stop.size() > best.size() && stop.size() <= end &&
          text.compare(end - stop.size(), stop.size(), stop) == 0)
        best = stop;
    if (!best.empty()) return {text.substr(0, end - best.size()), "", best};
  }
  size_t keep = 0;
  for (const std::string& stop : stops)
    for (size_t n = 1; n < stop.size() && n <= text.size(); ++n)
      if (text.compare(text.size() - n, n, stop, 0, n) == 0) keep = std::max(keep, n);
  return {text.substr(0, text.size() - keep), text.substr(text.size() - keep), ""};
}

TEST(StopMatcher, AgreesWithTheObviousWayHoweverTheTextIsCut) {
  for (uint64_t round = 0; round < 3000; ++round) {
    uint64_t at = 0;
    const auto pick = [&](uint32_t below) {
      return static_cast<uint32_t>(uniform_at(round, at++) * below);
    };
    const auto word = [&](uint32_t length) {
      std::string out;
      for (uint32_t i = 0; i < length; ++i) out += static_cast<char>('a' + pick(2));
      return out;
    };
    std::vector<std::string> stops;
    for (uint32_t i = 0, count = 1 + pick(3); i < count; ++i) stops.push_back(word(1 + pick(8)));
    const std::string text = word(pick(40));
    std::vector<std::string> pieces;
    for (size_t done = 0; done < text.size();) {
      pieces.push_back(text.substr(done, 1 + pick(5)));
      done += pieces.back().size();
    }
    ASSERT_EQ(feed(stops, pieces), reference(stops, text)) << text << " " << stops[0];
  }
}

}  // namespace
}  // namespace localai::engine
