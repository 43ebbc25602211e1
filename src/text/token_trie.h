#pragma once
// A trie over the bytes of texts, each with a number: which of them begin a given text.
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace localai::text {

// Immutable, thread-safe. Nodes lie breadth first, the children of one side by side.
class TokenTrie {
 public:
  struct Entry {
    std::string_view text;
    int32_t value = 0;  // >= 0
  };
  // Empty texts are left out; of equal texts the last wins. Errors: kUnsupported (more than 2^26
  // nodes: more text than any real vocabulary has).
  static Result<TokenTrie> build(std::vector<Entry> entries);

  // Calls found(value, bytes) for every text that `text` begins with, the shortest first.
  template <class Found>
  void prefixes(std::string_view text, const Found& found) const {
    int32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = child_of(node, static_cast<unsigned char>(text[i]));
      if (node < 0) return;
      const int32_t value = nodes_[static_cast<size_t>(node)].value;
      if (value >= 0) found(value, i + 1);
    }
  }

 private:
  struct Node {
    int32_t value = -1;
    uint32_t first_child = 0;
    uint16_t children = 0;
    unsigned char byte = 0;
  };
  [[nodiscard]] int32_t child_of(int32_t node, unsigned char byte) const;

  std::vector<Node> nodes_ = std::vector<Node>(1);  // 0 is the root
  std::array<int32_t, 256> first_{};                // the root's children; 0: none
};

}  // namespace localai::text
