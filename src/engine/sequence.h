#pragma once
// One request inside the engine: what was asked, how far it is, and what it holds.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "base/sha256.h"
#include "engine/draft_policy.h"
#include "engine/engine.h"
#include "engine/output_assembler.h"

namespace localai::engine {

using Clock = std::chrono::steady_clock;

// `tokens` are the prompt and what was sampled; the first `computed` have their K and V (or their
// part in the recurrent state). The next step computes some of the rest, and where it reaches the
// last one, samples. So decode is the case of one pending token, a prompt one of many, and a
// sequence that lost its blocks simply starts again at 0.
struct Sequence {
  Sequence(Request asked, EventSink events, const text::Tokenizer& tokenizer)
      : request(std::move(asked)),
        sink(std::move(events)),
        tokens(std::move(request.prompt)),
        output(tokenizer, std::move(request.stop)) {
    timings.prompt_tokens = static_cast<uint32_t>(tokens.size());
  }

  Request request;  // prompt and stop have moved on
  EventSink sink;
  std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);

  std::vector<TokenId> tokens;
  uint32_t computed = 0;
  uint32_t tokens_max = 0;  // tokens.size() at which the answer ends with kLength
  uint64_t kv_kind = 0;     // BlockManager::match
  OutputAssembler output;

  std::vector<uint32_t> blocks;   // KV blocks, by position / kKvBlockTokens
  uint32_t published = 0;         // of them, offered to the prefix cache
  std::vector<Digest> keys;       // in the PrefixStore: before the first block, then of each block
  std::optional<uint32_t> state;  // place of the recurrent one, while running

  // Of models with recurrent state: places in the StateCache.
  struct Checkpoint {
    uint32_t blocks = 0, place = 0;  // the state after that many whole blocks
  };
  std::optional<uint32_t> restored_from;     // where this run of it began
  std::vector<uint32_t> checkpoint_at;       // ascending positions; a step ends at each
  std::vector<Checkpoint> held_checkpoints;  // not filed yet: their blocks are not published
  uint64_t answer_checkpoint = 0;            // serial under which the latest one is filed

  // Of the step being run: tokens that may follow the last one, and what they were found by.
  std::vector<TokenId> draft;
  uint32_t draft_matched = 0;
  std::optional<uint32_t> state_before_draft;  // place of a copy of `state`
  DraftRecord record;
  bool suspect = false;  // a draft that was not right left numbers that are not finite

  bool started = false;      // admitted at least once
  bool ended = false;        // its last event is out
  bool sink_broken = false;  // the sink threw: no more events
  Timings timings;
  Clock::time_point submitted_at = Clock::now(), started_at, first_token_at;

  [[nodiscard]] uint32_t pending() const { return static_cast<uint32_t>(tokens.size()) - computed; }
  // Positions that may come to be computed (the last token sampled is not).
  [[nodiscard]] uint32_t reach() const { return tokens_max - 1; }
  // Most tokens that the next step may compute.
  [[nodiscard]] uint32_t step_limit() const {
    for (const uint32_t position : checkpoint_at)
      if (position > computed) return position - computed;
    return ~uint32_t{0};
  }
  // Most drafted tokens that the next step may add to a pending one: so many as can be accepted.
  [[nodiscard]] uint32_t draft_limit() const {
    const uint32_t left = reach() - static_cast<uint32_t>(tokens.size());
    // A copy of the state may be filed at the end of a block, so a draft does not go past one.
    return state ? std::min(left, models::kKvBlockTokens - 1 - computed % models::kKvBlockTokens)
                 : left;
  }
  [[nodiscard]] std::span<const TokenId> block_tokens(uint32_t block) const {
    return std::span(tokens).subspan(size_t{block} * models::kKvBlockTokens,
                                     models::kKvBlockTokens);
  }
  // The token at a position, those of the draft included.
  [[nodiscard]] TokenId token_at(uint32_t position) const {
    return position < tokens.size() ? tokens[position] : draft[position - tokens.size()];
  }
  [[nodiscard]] bool cancel_asked() const { return cancelled->load(std::memory_order_relaxed); }
};

}  // namespace localai::engine
