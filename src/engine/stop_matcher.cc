#include "engine/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace localai::engine {
namespace {

std::vector<uint32_t> borders(std::string_view text) {
  std::vector<uint32_t> border(text.size(), 0);
  for (size_t i = 1; i < text.size(); ++i) {
    uint32_t length = border[i - 1];
    while (length > 0 && text[i] != text[length]) length = border[length - 1];
    border[i] = text[i] == text[length] ? length + 1 : 0;
  }
  return border;
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  automata_.reserve(stops.size());
  for (std::string& stop : stops) {
    std::vector<uint32_t> fallback = borders(stop);
    automata_.push_back({std::move(stop), std::move(fallback), 0});
  }
}

bool StopMatcher::Automaton::feed(char byte) {
  while (matched > 0 && text[matched] != byte) matched = fallback[matched - 1];
  if (text[matched] == byte) ++matched;
  return matched == text.size();
}

StopMatcher::Piece StopMatcher::push(std::string_view text) {
  if (automata_.empty()) return {std::string(text), std::nullopt};
  for (size_t at = 0; at < text.size(); ++at) {
    std::optional<size_t> found;
    for (size_t i = 0; i < automata_.size(); ++i)
      if (automata_[i].feed(text[at]) &&
          (!found || automata_[i].text.size() > automata_[*found].text.size()))
        found = i;
    if (!found) continue;
    held_.append(text.substr(0, at + 1));
    held_.resize(held_.size() - automata_[*found].text.size());
    return {std::exchange(held_, {}), found};
  }
  held_.append(text);
  size_t keep = 0;
  for (const Automaton& automaton : automata_) keep = std::max<size_t>(keep, automaton.matched);
  std::string certain = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return {std::move(certain), std::nullopt};
}

std::string StopMatcher::take_held() { return std::exchange(held_, {}); }

}  // namespace localai::engine
