#include "text/added_tokens.h"

#include <algorithm>
#include <queue>
#include <utility>

#include "text/unicode.h"

namespace localai::text {
namespace {

size_t spaces_before(std::string_view text, size_t end) {
  for (TextChar c = char_before(text, end); c.is(kSpace); c = char_before(text, end))
    end -= c.bytes;
  return end;
}

}  // namespace

Result<AddedTokens> AddedTokens::build(std::vector<AddedToken> tokens, bool longest_first) {
  AddedTokens out;
  out.tokens_ = std::move(tokens);
  out.longest_first_ = longest_first;
  std::vector<TokenTrie::Entry> entries;
  for (size_t i = 0; i < out.tokens_.size(); ++i)
    entries.push_back({out.tokens_[i].text, static_cast<int32_t>(i)});
  LAI_TRY(out.trie_, TokenTrie::build(std::move(entries)));
  return out;
}

AddedTokens::Found AddedTokens::longest_at(std::string_view text, size_t at, size_t end,
                                           bool special) const {
  Found best;
  trie_.prefixes(text.substr(at, end - at), [&](int32_t token, size_t bytes) {
    if (special || !tokens_[static_cast<size_t>(token)].special) best = {at, bytes, token};
  });
  return best;
}

// Left to right, at each place the longest. Special tokens that are not wanted are found and passed
// over whole, as the reference does with encode_special_tokens.
std::vector<AddedTokens::Found> AddedTokens::leftmost(std::string_view text, bool special) const {
  std::vector<Found> out;
  for (size_t at = 0; at < text.size();) {
    const Found found = longest_at(text, at, text.size(), true);
    if (found.token >= 0 && (special || !tokens_[static_cast<size_t>(found.token)].special) &&
        stands_alone(text, found))
      out.push_back(found);
    at += std::max<size_t>(found.bytes, 1);
  }
  return out;
}

// The longest first, equals from the left, none over another. A place whose longest token does not
// fit any more tries its next shorter one when the turn of that length comes.
std::vector<AddedTokens::Found> AddedTokens::longest(std::string_view text, bool special) const {
  const auto later = [](const Found& a, const Found& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.at > b.at;
  };
  std::priority_queue<Found, std::vector<Found>, decltype(later)> waiting(later);
  for (size_t at = 0; at < text.size(); ++at)
    if (const Found found = longest_at(text, at, text.size(), special); found.token >= 0)
      waiting.push(found);
  std::vector<bool> taken(waiting.empty() ? 0 : text.size());
  std::vector<Found> out;
  while (!waiting.empty()) {
    const Found found = waiting.top();
    waiting.pop();
    size_t end = found.at;
    while (end < found.at + found.bytes && !taken[end]) ++end;
    if (end == found.at + found.bytes) {
      for (size_t i = found.at; i < end; ++i) taken[i] = true;
      out.push_back(found);
    } else if (const Found shorter = longest_at(text, found.at, end, special); shorter.token >= 0) {
      waiting.push(shorter);
    }
  }
  std::sort(out.begin(), out.end(), [](const Found& a, const Found& b) { return a.at < b.at; });
  return out;
}

bool AddedTokens::stands_alone(std::string_view text, const Found& found) const {
  if (!tokens_[static_cast<size_t>(found.token)].single_word) return true;
  return !char_before(text, found.at).is(kWord) && !char_at(text, found.at + found.bytes).is(kWord);
}

std::vector<Fragment> AddedTokens::split(std::string_view text, bool special) const {
  std::vector<Fragment> out;
  size_t done = 0;
  const auto found = tokens_.empty()  ? std::vector<Found>{}
                     : longest_first_ ? longest(text, special)
                                      : leftmost(text, special);
  for (const Found& f : found) {
    const AddedToken& token = tokens_[static_cast<size_t>(f.token)];
    size_t begin = f.at, end = f.at + f.bytes;
    if (token.lstrip) begin = std::max(spaces_before(text, begin), done);
    if (token.rstrip) end = run_end(text, end, kSpace);
    if (begin > done) out.push_back({-1, {done, begin}});
    out.push_back({token.id, {begin, end}});
    done = std::max(done, end);
  }
  if (done < text.size()) out.push_back({-1, {done, text.size()}});
  return out;
}

}  // namespace localai::text
