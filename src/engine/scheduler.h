#pragma once
// The engine's thread: admits requests, runs step after step, hands out tokens. Owns all scheduling
// state; nobody else touches it. Continuous batching as in Orca (Yu et al. 2022), chunked prefill
// as in Sarathi-Serve (Agrawal et al. 2024).
//
// When the KV pool runs out, cached blocks that nobody holds go first; then the youngest running
// sequence gives its blocks back and waits in front of the queue. It starts again from its tokens
// so far, which gives the same bits (models::Model::forward), so its answer does not change. The
// oldest sequence never waits, so there is always progress.
//
// Speculation: a step may compute rows of drafted tokens after a sequence's pending one. Each of
// their logits is sampled as ever, and where the token sampled is the one drafted, the next row is
// as good as computed on its own (the same bits). A row of a wrong token is as if it had never
// been: its K and V are written over, recurrent state is put back and the right tokens run again.
#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/thread_pool.h"
#include "engine/inbox.h"
#include "engine/prefix_store.h"
#include "engine/sampler.h"
#include "engine/sequence.h"
#include "engine/state_pool.h"
#include "engine/step_builder.h"

namespace localai::engine {

class Scheduler {
 public:
  struct Limits {
    uint32_t parallel = 0;
    uint32_t prefill_chunk = 0;
    Speculation speculation = Speculation::kOff;
    uint32_t drafts = 0;  // drafted tokens in one step
    // A piece of work for between two steps, on this thread; false when there was none left.
    std::function<bool()> aside = [] { return false; };
  };
  // All arguments outlive the scheduler. `store` may be null. `logits` holds [parallel + drafts,
  // vocab_size].
  Scheduler(const models::Model& model, const text::Tokenizer& tokenizer, const Limits& limits,
            StatePool& pool, PrefixStore* store, std::span<float> logits, ThreadPool& threads,
            Inbox& inbox);

  // Until the inbox closes; then everything that runs or waits ends as cancelled. Sleeps when
  // there is nothing to do.
  void run();

  // Thread-safe.
  [[nodiscard]] EngineStats stats() const;
  [[nodiscard]] uint64_t workspace_bytes() const { return workspace_bytes_.load(); }

 private:
  using Queue = std::deque<std::unique_ptr<Sequence>>;

  void step();
  std::optional<std::chrono::milliseconds> patience();
  [[nodiscard]] bool idle() const { return running_.empty() && waiting_.empty(); }
  void work_aside();
  void drop_cancelled();
  void admit();
  bool take_prompt_blocks(Sequence& sequence);
  void take_part(Sequence& sequence, const BlockManager::Part& part);
  void load_blocks(Sequence& sequence);
  const Digest& key_before(Sequence& sequence, uint32_t block);
  void keep_checkpointed_blocks(Sequence& sequence);
  [[nodiscard]] bool has_state_for_another() const;
  void start(std::unique_ptr<Sequence> sequence);
  void draft();
  uint32_t draft_for(Sequence& sequence, uint32_t rows, uint32_t most);
  bool take_state_for_draft(Sequence& sequence);
  void drop_draft(StepPart& part);
  void settle_draft(const StepPart& part, uint32_t right);
  void reserve_blocks();
  void preempt_youngest();
  void forward();
  void accept(const StepPart& part);
  void accept_row(Sequence& sequence, uint32_t output_row);
  void publish(Sequence& sequence);
  void checkpoint_prompt(Sequence& sequence);
  void file_checkpoints(Sequence& sequence);
  void checkpoint_answer(Sequence& sequence);

  void emit(Sequence& sequence, Event event);
  void finish(Sequence& sequence, FinishReason reason, OutputAssembler::Output output);
  void flush_and_finish(Sequence& sequence, FinishReason reason);
  void fail(Sequence& sequence, Error error);
  void release(Sequence& sequence);
  void give_back(Sequence& sequence);
  void remove_ended();
  void fail_all(const char* what);
  void update_stats();

  const models::Model& model_;
  const text::Tokenizer& tokenizer_;
  const Limits limits_;
  bool aside_left_ = true;
  std::chrono::milliseconds wait_{250};  // before work aside
  const size_t row_stride_;              // of logits_
  const size_t vocabulary_;              // ids that may be sampled
  StatePool& pool_;
  PrefixStore* store_;
  std::span<float> logits_;
  ThreadPool& threads_;
  Inbox& inbox_;
  std::unique_ptr<models::Workspace> workspace_;

  Queue waiting_;                                   // oldest first
  std::vector<std::unique_ptr<Sequence>> running_;  // oldest first
  StepBuilder builder_;
  Sampler sampler_;
  DraftPolicy policy_;

  std::atomic<uint64_t> workspace_bytes_{0};
  mutable std::mutex stats_mutex_;
  EngineStats stats_;     // under stats_mutex_
  EngineStats counters_;  // of the thread itself: steps, rows, preemptions
};

}  // namespace localai::engine
