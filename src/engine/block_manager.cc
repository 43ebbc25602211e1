#include "engine/block_manager.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace localai::engine {

BlockManager::BlockManager(uint32_t blocks, bool prefix_cache)
    : nodes_(blocks),
      tokens_(prefix_cache ? size_t{blocks} * kTokens : 0),
      buckets_(std::bit_ceil(std::max(blocks, 1u)), kNone),
      prefix_cache_(prefix_cache) {
  free_.reserve(blocks);
  for (uint32_t b = blocks; b-- > 0;) free_.push_back(b);
}

// A multiply-xorshift over the ids (the finalizer of SplitMix64 each step). It only spreads; equal
// hashes are harmless because find() compares everything.
uint64_t BlockManager::hash_of(uint64_t parent, std::span<const text::TokenId> tokens) {
  uint64_t state = parent + 0x9E3779B97F4A7C15u;
  for (const text::TokenId token : tokens) {
    state ^= static_cast<uint32_t>(token);
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9u;
    state = (state ^ (state >> 27)) * 0x94D049BB133111EBu;
    state ^= state >> 31;
  }
  return state;
}

uint32_t BlockManager::find(uint64_t parent, uint64_t hash,
                            std::span<const text::TokenId> tokens) const {
  for (uint32_t b = buckets_[hash & (buckets_.size() - 1)]; b != kNone;
       b = nodes_[b].next_in_bucket) {
    if (nodes_[b].hash == hash && nodes_[b].parent == parent &&
        std::equal(tokens.begin(), tokens.end(), tokens_.begin() + ptrdiff_t{b} * kTokens))
      return b;
  }
  return kNone;
}

void BlockManager::match(std::span<const text::TokenId> tokens, uint64_t kind,
                         std::vector<uint32_t>& blocks) {
  if (!prefix_cache_) return;
  uint64_t parent = root(kind);
  for (size_t at = 0; at + kTokens <= tokens.size(); at += kTokens) {
    const auto piece = tokens.subspan(at, kTokens);
    const uint32_t block = find(parent, hash_of(parent, piece), piece);
    if (block == kNone) return;
    hold(block);
    blocks.push_back(block);
    parent = nodes_[block].serial;
  }
}

// Blocks after one parent are in no list; to look at all costs less than one token would.
std::optional<BlockManager::Part> BlockManager::match_part(std::span<const uint32_t> chain,
                                                           std::span<const text::TokenId> tokens,
                                                           uint64_t kind) {
  if (!prefix_cache_ || tokens.empty()) return std::nullopt;
  const uint64_t parent = chain.empty() ? root(kind) : nodes_[chain.back()].serial;
  if (parent == 0) return std::nullopt;
  tokens = tokens.first(std::min<size_t>(tokens.size(), kTokens));
  Part best;
  for (uint32_t b = 0; b < nodes_.size(); ++b) {
    if (nodes_[b].serial == 0 || nodes_[b].parent != parent) continue;
    const auto begin = tokens_.begin() + ptrdiff_t{b} * kTokens;
    const auto same = std::mismatch(tokens.begin(), tokens.end(), begin).first - tokens.begin();
    if (static_cast<uint32_t>(same) > best.tokens) best = {b, static_cast<uint32_t>(same)};
  }
  if (best.tokens == 0) return std::nullopt;
  hold(best.block);
  return best;
}

bool BlockManager::allocate(uint32_t count, std::vector<uint32_t>& blocks) {
  if (count > available()) return false;
  for (; count > 0; --count) {
    if (free_.empty()) {
      const uint32_t victim = oldest_;
      lru_remove(victim);
      forget(victim);
      free_.push_back(victim);
      ++evictions_;
    }
    const uint32_t block = free_.back();
    free_.pop_back();
    nodes_[block].references = 1;
    blocks.push_back(block);
  }
  return true;
}

void BlockManager::publish(std::vector<uint32_t>& chain, uint32_t index,
                           std::span<const text::TokenId> tokens, uint64_t kind) {
  if (!prefix_cache_) return;
  LAI_DCHECK(tokens.size() == kTokens && index < chain.size());
  const uint64_t parent = index == 0 ? root(kind) : nodes_[chain[index - 1]].serial;
  const uint32_t block = chain[index];
  // A chain that lost its parent (forget()) stays out of the cache from there on.
  if (parent == 0 || nodes_[block].serial != 0) return;
  const uint64_t hash = hash_of(parent, tokens);
  if (const uint32_t equal = find(parent, hash, tokens); equal != kNone) {
    hold(equal);
    drop(block);
    chain[index] = equal;
    return;
  }
  Node& node = nodes_[block];
  node.serial = next_serial_++;
  node.parent = parent;
  node.hash = hash;
  std::copy(tokens.begin(), tokens.end(), tokens_.begin() + ptrdiff_t{block} * kTokens);
  node.next_in_bucket = bucket(hash);
  bucket(hash) = block;
  ++cached_;
}

void BlockManager::release(std::vector<uint32_t>& blocks, size_t keep) {
  for (; blocks.size() > keep; blocks.pop_back()) drop(blocks.back());
}

void BlockManager::forget(uint32_t block) {
  Node& node = nodes_[block];
  if (node.serial == 0) return;
  uint32_t* link = &bucket(node.hash);
  while (*link != block) link = &nodes_[*link].next_in_bucket;
  *link = node.next_in_bucket;
  node.next_in_bucket = kNone;
  node.serial = 0;
  --cached_;
}

void BlockManager::hold(uint32_t block) {
  if (nodes_[block].references++ == 0) lru_remove(block);
}

void BlockManager::drop(uint32_t block) {
  LAI_DCHECK(nodes_[block].references > 0);
  if (--nodes_[block].references > 0) return;
  if (nodes_[block].serial != 0)
    lru_append(block);
  else
    free_.push_back(block);
}

void BlockManager::lru_append(uint32_t block) {
  nodes_[block].older = newest_;
  nodes_[block].newer = kNone;
  (newest_ == kNone ? oldest_ : nodes_[newest_].newer) = block;
  newest_ = block;
  ++evictable_;
}

void BlockManager::lru_remove(uint32_t block) {
  const Node& node = nodes_[block];
  (node.older == kNone ? oldest_ : nodes_[node.older].newer) = node.newer;
  (node.newer == kNone ? newest_ : nodes_[node.newer].older) = node.older;
  --evictable_;
}

}  // namespace localai::engine
