#pragma once
// Which KV block belongs to whom: reference counts, the prefix cache over full blocks, and LRU
// eviction. Knows block ids and token ids, never the bytes. One thread.
//
// A cached block is a node of a prefix tree: its parent node and its kKvBlockTokens tokens. It is
// found by a hash of both and accepted only when both are equal, so two different prefixes can
// never share a block. Blocks that no sequence holds stay cached until their place is needed; a
// parent is always evicted after its children (sequences hold whole chains and give back the last
// block first). vLLM's paged attention (Kwon et al. 2023) and SGLang's RadixAttention (Zheng et al.
// 2024) describe the technique.
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "models/model.h"
#include "text/vocabulary.h"

namespace localai::engine {

class BlockManager {
 public:
  static constexpr uint32_t kTokens = models::kKvBlockTokens;

  BlockManager(uint32_t blocks, bool prefix_cache);

  // Appends the cached blocks that hold the longest prefix of `tokens` in whole blocks, each with
  // one more reference. `kind`: what K and V depend on besides the tokens; blocks of different
  // kinds are never shared.
  void match(std::span<const text::TokenId> tokens, uint64_t kind, std::vector<uint32_t>& blocks);
  // The cached block after `chain`, which match() found, that begins with most of `tokens`: with
  // one more reference, until give_back(). K and V of those tokens are the same for any sequence.
  struct Part {
    uint32_t block = 0, tokens = 0;
  };
  [[nodiscard]] std::optional<Part> match_part(std::span<const uint32_t> chain,
                                               std::span<const text::TokenId> tokens,
                                               uint64_t kind);
  void give_back(const Part& part) { drop(part.block); }
  // Appends `count` blocks with one reference each, evicting cached ones oldest first. All or none.
  bool allocate(uint32_t count, std::vector<uint32_t>& blocks);
  // Offers block `index` of a chain, full and holding `tokens`, to the cache. When an equal one is
  // there already, the chain takes that one instead (the bits are the same) and gives its own back.
  // Blocks [0, index) of the chain have been published before, with the same `kind`.
  void publish(std::vector<uint32_t>& chain, uint32_t index, std::span<const text::TokenId> tokens,
               uint64_t kind);
  // Drops one reference of each block from the `keep`th on and takes those off the list.
  void release(std::vector<uint32_t>& blocks, size_t keep = 0);
  // Takes a block out of the cache, so that no later request finds it (its numbers are suspect).
  void forget(uint32_t block);

  // Identity of a cached block's content, never used twice; 0 when it is not cached.
  [[nodiscard]] uint64_t serial(uint32_t block) const { return nodes_[block].serial; }
  [[nodiscard]] uint32_t references(uint32_t block) const { return nodes_[block].references; }
  [[nodiscard]] uint32_t total() const { return static_cast<uint32_t>(nodes_.size()); }
  // Blocks that allocate() can hand out now: free ones and cached ones that nobody holds.
  [[nodiscard]] uint32_t available() const {
    return static_cast<uint32_t>(free_.size()) + evictable_;
  }
  [[nodiscard]] uint32_t cached() const { return cached_; }
  [[nodiscard]] uint64_t evictions() const { return evictions_; }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  struct Node {
    uint64_t serial = 0;  // identity of this content while cached; never used twice. 0: not cached
    uint64_t parent = 0;  // serial of the block before, root() at the start of a sequence
    uint64_t hash = 0;
    uint32_t references = 0;
    uint32_t next_in_bucket = kNone;
    uint32_t older = kNone, newer = kNone;  // LRU list of cached blocks without references
  };

  // Serials count up from 1 and never get this far.
  static uint64_t root(uint64_t kind) { return kind | uint64_t{1} << 63; }
  static uint64_t hash_of(uint64_t parent, std::span<const text::TokenId> tokens);
  uint32_t find(uint64_t parent, uint64_t hash, std::span<const text::TokenId> tokens) const;
  uint32_t& bucket(uint64_t hash) { return buckets_[hash & (buckets_.size() - 1)]; }
  void hold(uint32_t block);
  void drop(uint32_t block);
  void lru_append(uint32_t block);
  void lru_remove(uint32_t block);

  std::vector<Node> nodes_;
  std::vector<text::TokenId> tokens_;  // [blocks, kTokens] of cached blocks
  std::vector<uint32_t> buckets_;      // heads of chains; a power of two
  std::vector<uint32_t> free_;
  bool prefix_cache_;
  uint64_t next_serial_ = 1;
  uint32_t oldest_ = kNone, newest_ = kNone;
  uint32_t evictable_ = 0, cached_ = 0;
  uint64_t evictions_ = 0;
};

}  // namespace localai::engine
