#include "runtime/keyword_index.h"

#include <algorithm>

#include "text/casefold.h"

namespace localai::runtime {

int KeywordIndex::add(std::string_view keyword) {
  const std::string folded = text::casefold(keyword);
  Keyword parts;
  std::string canonical;
  for (const Word& word : split_words(folded)) {
    const auto after = static_cast<size_t>(word.text.data() - folded.data()) + word.text.size() + 1;
    if (word.starred && after < folded.size() && folded[after] != ' ') return -1;
    parts.push_back({std::string(word.text), word.starred});
    canonical.append(word.text).append(word.starred ? "* " : " ");
  }
  if (parts.empty()) return -1;
  const auto [at, fresh] = numbers_.emplace(canonical, static_cast<int>(keywords_.size()));
  if (!fresh) return at->second;
  const Part& first = parts.front();
  ByFirstWord& index = first.prefix ? prefix_ : exact_;
  index[first.text].push_back(static_cast<uint32_t>(keywords_.size()));
  if (first.prefix) {
    const auto place =
        std::lower_bound(prefix_lengths_.begin(), prefix_lengths_.end(), first.text.size());
    if (place == prefix_lengths_.end() || *place != first.text.size())
      prefix_lengths_.insert(place, first.text.size());
  }
  keywords_.push_back(std::move(parts));
  return at->second;
}

void KeywordIndex::mark(const std::vector<uint32_t>& starting, const std::vector<Word>& words,
                        size_t at, std::vector<bool>& found) const {
  for (const uint32_t number : starting) {
    const Keyword& keyword = keywords_[number];
    if (found[number] || keyword.size() > words.size() - at) continue;
    bool all = true;
    for (size_t i = 0; i < keyword.size() && all; ++i) {
      const std::string_view word = words[at + i].text;
      all = keyword[i].prefix ? word.starts_with(keyword[i].text) : word == keyword[i].text;
    }
    if (all) found[number] = true;
  }
}

std::vector<bool> KeywordIndex::find(const std::vector<Word>& words) const {
  std::vector<bool> found(keywords_.size());
  for (size_t at = 0; at < words.size(); ++at) {
    const std::string_view word = words[at].text;
    if (const auto starting = exact_.find(word); starting != exact_.end())
      mark(starting->second, words, at, found);
    for (const size_t length : prefix_lengths_) {
      if (length > word.size()) break;
      const auto starting = prefix_.find(word.substr(0, length));
      if (starting != prefix_.end()) mark(starting->second, words, at, found);
    }
  }
  return found;
}

}  // namespace localai::runtime
