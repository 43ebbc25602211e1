#include "text/token_trie.h"

#include <algorithm>
#include <deque>

namespace localai::text {
namespace {

constexpr size_t kNodesMax = size_t{1} << 26;

// Entries [begin, end) share the text that leads to `node`, `depth` bytes of it.
struct Pending {
  size_t begin, end, depth, node;
};

}  // namespace

Result<TokenTrie> TokenTrie::build(std::vector<Entry> entries) {
  TokenTrie out;
  std::erase_if(entries, [](const Entry& entry) { return entry.text.empty(); });
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.text < b.text; });
  std::deque<Pending> queue = {{0, entries.size(), 0, 0}};
  for (; !queue.empty(); queue.pop_front()) {
    Pending now = queue.front();
    // The entries that end here come first.
    for (; now.begin < now.end && entries[now.begin].text.size() == now.depth; ++now.begin)
      out.nodes_[now.node].value = entries[now.begin].value;
    out.nodes_[now.node].first_child = static_cast<uint32_t>(out.nodes_.size());
    while (now.begin < now.end) {
      const char byte = entries[now.begin].text[now.depth];
      size_t end = now.begin;
      while (end < now.end && entries[end].text[now.depth] == byte) ++end;
      if (out.nodes_.size() >= kNodesMax)
        return unsupported("the texts of the vocabulary are too long together");
      const size_t child = out.nodes_.size();
      out.nodes_.emplace_back().byte = static_cast<unsigned char>(byte);
      ++out.nodes_[now.node].children;
      if (now.node == 0) out.first_[static_cast<unsigned char>(byte)] = static_cast<int32_t>(child);
      queue.push_back({now.begin, end, now.depth + 1, child});
      now.begin = end;
    }
  }
  return out;
}

int32_t TokenTrie::child_of(int32_t node, unsigned char byte) const {
  if (node == 0) return first_[byte] > 0 ? first_[byte] : -1;
  const Node& parent = nodes_[static_cast<size_t>(node)];
  const auto begin = nodes_.begin() + parent.first_child;
  const auto end = begin + parent.children;
  const auto found = std::lower_bound(
      begin, end, byte, [](const Node& child, unsigned char b) { return child.byte < b; });
  if (found == end || found->byte != byte) return -1;
  return static_cast<int32_t>(found - nodes_.begin());
}

}  // namespace localai::text
