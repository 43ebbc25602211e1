#include "engine/scheduler.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "engine/prompt_lookup.h"

namespace localai::engine {
namespace {

uint32_t blocks_for(size_t tokens) {
  return static_cast<uint32_t>((tokens + BlockManager::kTokens - 1) / BlockManager::kTokens);
}

double milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

}  // namespace

Scheduler::Scheduler(const models::Model& model, const text::Tokenizer& tokenizer,
                     const Limits& limits, StatePool& pool, PrefixStore* store,
                     std::span<float> logits, ThreadPool& threads, Inbox& inbox)
    : model_(model),
      tokenizer_(tokenizer),
      limits_(limits),
      row_stride_(model.info().vocab_size),
      vocabulary_(std::min<size_t>(row_stride_, tokenizer.size())),
      pool_(pool),
      store_(store),
      logits_(logits),
      threads_(threads),
      inbox_(inbox),
      workspace_(model.make_workspace()),
      builder_(limits.prefill_chunk) {
  update_stats();
}

void Scheduler::run() {
  while (true) {
    try {
      if (!inbox_.take(waiting_, patience())) break;
      const bool was_idle = idle();
      step();
      if (was_idle || !idle())
        work_aside();
      else
        wait_ = std::chrono::milliseconds{20};
    } catch (const std::exception& error) {  // std::bad_alloc, and what libraries throw
      fail_all(error.what());
    }
    update_stats();
  }
  for (const auto& sequence : running_) flush_and_finish(*sequence, FinishReason::kCancelled);
  for (const auto& sequence : waiting_) flush_and_finish(*sequence, FinishReason::kCancelled);
  remove_ended();
  update_stats();
}

// How long to wait for a request. What is done aside leaves room for the first one, for which the
// model was loaded, most likely, and for those who carry an answer's end away.
std::optional<std::chrono::milliseconds> Scheduler::patience() {
  constexpr std::chrono::milliseconds kNone{0};
  if (!idle()) return kNone;
  if (!aside_left_) return std::nullopt;
  return std::exchange(wait_, kNone);
}

// Not while somebody waits for the first token.
void Scheduler::work_aside() {
  const bool first = std::any_of(running_.begin(), running_.end(), [](const auto& sequence) {
    return sequence->computed < sequence->timings.prompt_tokens;
  });
  if (aside_left_ && waiting_.empty() && !first) aside_left_ = limits_.aside();
}

void Scheduler::step() {
  drop_cancelled();
  admit();
  if (running_.empty()) return;
  builder_.plan(running_);
  draft();
  reserve_blocks();
  forward();
  for (const StepPart& part : builder_.parts()) {
    part.sequence->computed += part.rows - part.drafts;
    checkpoint_prompt(*part.sequence);
    if (part.remaining == 0) accept(part);
  }
  remove_ended();
}

void Scheduler::drop_cancelled() {
  const auto drop = [this](const std::unique_ptr<Sequence>& sequence) {
    if (sequence->cancel_asked()) flush_and_finish(*sequence, FinishReason::kCancelled);
  };
  std::for_each(running_.begin(), running_.end(), drop);
  std::for_each(waiting_.begin(), waiting_.end(), drop);
  remove_ended();
}

void Scheduler::admit() {
  while (!waiting_.empty() && running_.size() < limits_.parallel) {
    if (!has_state_for_another() || !take_prompt_blocks(*waiting_.front())) {
      LAI_CHECK(!running_.empty());  // submit() refused what an empty pool cannot hold
      return;
    }
    std::unique_ptr<Sequence> sequence = std::move(waiting_.front());
    waiting_.pop_front();
    start(std::move(sequence));
  }
}

// Checkpoints that running sequences are about to file may hold the last places for a while.
bool Scheduler::has_state_for_another() const {
  return !pool_.recurrent() || pool_.states().held() < pool_.states().total();
}

// Blocks for all tokens so far, cached ones first. One more must stay for each running sequence
// that can still grow, or the newcomer would be set back at once.
bool Scheduler::take_prompt_blocks(Sequence& sequence) {
  const std::span<const TokenId> tokens = sequence.tokens;
  BlockManager& blocks = pool_.blocks();
  // The last row gives the logits.
  blocks.match(tokens.first(tokens.size() - 1), sequence.kv_kind, sequence.blocks);
  if (pool_.recurrent()) keep_checkpointed_blocks(sequence);
  const auto cached = static_cast<uint32_t>(sequence.blocks.size());
  const uint32_t missing = blocks_for(tokens.size()) - cached;
  const auto growing =
      std::count_if(running_.begin(), running_.end(), [](const std::unique_ptr<Sequence>& other) {
        return blocks_for(other->reach()) > other->blocks.size();
      });
  const uint64_t needed = missing + static_cast<uint64_t>(growing);
  std::optional<BlockManager::Part> part;
  if (!pool_.recurrent() && needed < blocks.available())  // with one to spare, which is held
    part = blocks.match_part(
        sequence.blocks, tokens.first(tokens.size() - 1).subspan(cached * BlockManager::kTokens),
        sequence.kv_kind);
  if (needed > blocks.available() || !blocks.allocate(missing, sequence.blocks)) {
    blocks.release(sequence.blocks);
    return false;
  }
  sequence.published = cached;
  sequence.computed = cached * BlockManager::kTokens;
  if (store_ != nullptr) load_blocks(sequence);
  if (part) {
    if (sequence.published == cached) take_part(sequence, *part);
    blocks.give_back(*part);
  }
  return true;
}

// What the block holds after those tokens is written over before it is read.
void Scheduler::take_part(Sequence& sequence, const BlockManager::Part& part) {
  const std::span<const std::byte> from = pool_.block(part.block);
  std::copy(from.begin(), from.end(), pool_.block(sequence.blocks[sequence.published]).begin());
  sequence.computed += part.tokens;
}

// Fills allocated blocks with what the disk has of the tokens that follow the cached ones.
void Scheduler::load_blocks(Sequence& sequence) {
  const auto whole = static_cast<uint32_t>((sequence.tokens.size() - 1) / BlockManager::kTokens);
  while (sequence.published < whole) {
    const uint32_t block = sequence.published;
    const std::span<const TokenId> tokens = sequence.block_tokens(block);
    if (!store_->load(key_before(sequence, block), tokens, pool_.block(sequence.blocks[block])))
      return;
    pool_.blocks().publish(sequence.blocks, block, tokens, sequence.kv_kind);
    ++sequence.published;
    sequence.computed += BlockManager::kTokens;
  }
}

const Digest& Scheduler::key_before(Sequence& sequence, uint32_t block) {
  std::vector<Digest>& keys = sequence.keys;
  if (keys.empty()) keys.push_back(store_->root(sequence.kv_kind));
  while (keys.size() <= block)
    keys.push_back(
        store_->key(keys.back(), sequence.block_tokens(static_cast<uint32_t>(keys.size()) - 1)));
  return keys[block];
}

// Of the cached blocks, those up to the last one with a checkpoint. The next ones are wanted where
// the rest of them ends (what two prompts begin with, a third may too) and at the prompt's last
// block.
void Scheduler::keep_checkpointed_blocks(Sequence& sequence) {
  const uint32_t matched = static_cast<uint32_t>(sequence.blocks.size());
  uint32_t kept = matched;
  sequence.restored_from.reset();
  for (; kept > 0; --kept) {
    const uint64_t serial = pool_.blocks().serial(sequence.blocks[kept - 1]);
    sequence.restored_from = pool_.states().find(serial);
    if (sequence.restored_from) break;
  }
  pool_.blocks().release(sequence.blocks, kept);
  const auto last = static_cast<uint32_t>((sequence.tokens.size() - 1) / BlockManager::kTokens);
  sequence.checkpoint_at.clear();
  for (const uint32_t blocks : {matched, last})
    if (blocks > kept && (sequence.checkpoint_at.empty() || blocks > matched))
      sequence.checkpoint_at.push_back(blocks * BlockManager::kTokens);
}

void Scheduler::start(std::unique_ptr<Sequence> sequence) {
  if (pool_.recurrent()) {
    sequence->state = pool_.states().take();  // perhaps the very place restored from
    pool_.start(*sequence->state, sequence->restored_from);
  }
  if (!sequence->started) {
    sequence->started = true;
    sequence->started_at = Clock::now();
    sequence->timings.cached_tokens = sequence->computed;
    inbox_.left_queue(1);
  }
  running_.push_back(std::move(sequence));
}

// Adds drafts to the sequences that decode, oldest first, as far as they pay.
void Scheduler::draft() {
  uint32_t left = limits_.drafts, rows = 0;
  for (const StepPart& part : builder_.parts()) rows += part.rows;
  for (StepPart& part : builder_.parts()) {
    if (left == 0) return;
    if (part.remaining > 0 || part.rows > 1) continue;
    part.drafts = draft_for(*part.sequence, rows, std::min(left, part.sequence->draft_limit()));
    part.rows += part.drafts;
    rows += part.drafts;
    left -= part.drafts;
  }
}

// Fills sequence.draft with at most `most` tokens for a step of `rows` so far.
uint32_t Scheduler::draft_for(Sequence& sequence, uint32_t rows, uint32_t most) {
  sequence.draft.clear();
  if (most == 0) return 0;
  sequence.draft_matched = look_up(sequence.tokens, most, sequence.draft);
  if (sequence.draft.empty()) return 0;
  uint32_t count = most;
  if (limits_.speculation == Speculation::kAuto)
    count = policy_.choose(rows, sequence.record.rate(sequence.draft_matched), most);
  if (count > 0 && pool_.recurrent() && !take_state_for_draft(sequence)) count = 0;
  sequence.draft.resize(count);
  sequence.timings.drafted_tokens += count;
  counters_.drafted += count;
  return count;
}

// Not the last checkpoint's place: to keep a prefix saves more.
bool Scheduler::take_state_for_draft(Sequence& sequence) {
  StateCache& states = pool_.states();
  const bool some_free = states.held() + states.filed() < states.total();
  if (!some_free && states.held() + 1 >= states.total()) return false;
  sequence.state_before_draft = states.take();
  return true;
}

void Scheduler::drop_draft(StepPart& part) {
  Sequence& sequence = *part.sequence;
  sequence.timings.drafted_tokens -= part.drafts;
  counters_.drafted -= part.drafts;
  part.rows -= part.drafts;
  part.drafts = 0;
  sequence.draft.clear();
  if (sequence.state_before_draft) pool_.states().free(*sequence.state_before_draft);
  sequence.state_before_draft.reset();
}

void Scheduler::reserve_blocks() {
  for (size_t i = 0; i < builder_.parts().size(); ++i) {
    StepPart& part = builder_.parts()[i];
    Sequence& sequence = *part.sequence;
    if (blocks_for(sequence.computed + part.rows) >
        sequence.blocks.size() + pool_.blocks().available())
      drop_draft(part);
    const uint32_t needed = blocks_for(sequence.computed + part.rows);
    const auto held = static_cast<uint32_t>(sequence.blocks.size());
    if (needed <= held) continue;
    // The youngest may be this very sequence: then it is out of the plan, and so out of the loop.
    while (!pool_.blocks().allocate(needed - held, sequence.blocks)) {
      const bool self = running_.back().get() == &sequence;
      preempt_youngest();
      if (self) return;
    }
  }
}

void Scheduler::preempt_youngest() {
  std::unique_ptr<Sequence> youngest = std::move(running_.back());
  running_.pop_back();
  builder_.remove(youngest.get());
  give_back(*youngest);
  youngest->computed = youngest->published = 0;
  waiting_.push_front(std::move(youngest));
  ++counters_.preemptions;
}

void Scheduler::forward() {
  const models::Step step = builder_.build(pool_);
  if (step.tokens.empty()) return;
  const Clock::time_point start = Clock::now();
  bool decode_only = true;
  for (const StepPart& part : builder_.parts()) {
    const Sequence& sequence = *part.sequence;
    if (sequence.state_before_draft) pool_.start(*sequence.state_before_draft, sequence.state);
    decode_only &= part.rows == part.drafts + 1;
  }
  model_.forward(step, *workspace_, threads_, logits_.data());
  if (decode_only)
    policy_.took(static_cast<uint32_t>(step.tokens.size()), milliseconds(Clock::now() - start));
  workspace_bytes_.store(workspace_->bytes(), std::memory_order_relaxed);
  ++counters_.steps;
  counters_.rows += step.tokens.size();
}

void Scheduler::accept(const StepPart& part) {
  Sequence& sequence = *part.sequence;
  for (uint32_t row = 1; row <= part.drafts; ++row)
    if (!std::isfinite(logits_[(part.output_row + row) * row_stride_])) sequence.suspect = true;
  uint32_t right = 0;
  while (true) {
    accept_row(sequence, part.output_row + right);
    if (sequence.ended || right == part.drafts || sequence.tokens.back() != sequence.draft[right])
      break;
    ++right;
    ++sequence.computed;
    ++sequence.timings.accepted_tokens;
    ++counters_.accepted;
  }
  if (part.drafts > 0) settle_draft(part, right);
}

void Scheduler::settle_draft(const StepPart& part, uint32_t right) {
  Sequence& sequence = *part.sequence;
  if (sequence.ended) return;
  const bool wrong = right < part.drafts;
  sequence.record.count(sequence.draft_matched, right, wrong);
  if (!sequence.state_before_draft) return;
  if (wrong) {
    pool_.start(*sequence.state, sequence.state_before_draft);
    sequence.computed -= right + 1;
  }
  pool_.states().free(*sequence.state_before_draft);
  sequence.state_before_draft.reset();
}

// What follows a sequence's last computed token, from that row of the logits.
void Scheduler::accept_row(Sequence& sequence, uint32_t output_row) {
  if (sequence.cancel_asked()) return flush_and_finish(sequence, FinishReason::kCancelled);
  const Request& request = sequence.request;
  Result<Sample> sampled =
      sampler_.sample(logits_.subspan(output_row * row_stride_, vocabulary_),
                      {&request.sampling, sequence.tokens, request.logprobs, request.top_logprobs});
  if (!sampled.ok()) {
    if (sampled.error().code == Code::kInternal) pool_.discard(sequence.blocks);
    return fail(sequence, std::move(sampled.error()));
  }
  publish(sequence);
  file_checkpoints(sequence);
  checkpoint_answer(sequence);
  const TokenId token = sampled->token;
  if (sequence.timings.completion_tokens++ == 0) sequence.first_token_at = Clock::now();
  sequence.tokens.push_back(token);
  if (!request.ignore_eos && tokenizer_.ends_generation(token))
    return flush_and_finish(sequence, FinishReason::kStop);
  OutputAssembler::Output output = sequence.output.push(token);
  emit(sequence, TextEvent{std::move(output.text), token, sampled->logprob,
                           std::move(sampled->top_logprobs)});
  if (sequence.sink_broken) return release(sequence);
  if (output.stop) return finish(sequence, FinishReason::kStop, {"", std::move(output.stop)});
  if (sequence.tokens.size() >= sequence.tokens_max)
    flush_and_finish(sequence, FinishReason::kLength);
}

// Only blocks that finite logits have been computed from get into the cache.
void Scheduler::publish(Sequence& sequence) {
  for (; (sequence.published + 1) * BlockManager::kTokens <= sequence.computed;
       ++sequence.published) {
    const uint32_t block = sequence.published;
    const std::span<const TokenId> tokens = sequence.block_tokens(block);
    pool_.blocks().publish(sequence.blocks, block, tokens, sequence.kv_kind);
    if (store_ != nullptr)
      store_->save(key_before(sequence, block), tokens, pool_.block(sequence.blocks[block]));
  }
}

// Copies the state where one is wanted. It is filed once its blocks are published.
void Scheduler::checkpoint_prompt(Sequence& sequence) {
  const auto& wanted = sequence.checkpoint_at;
  if (std::find(wanted.begin(), wanted.end(), sequence.computed) == wanted.end()) return;
  const std::optional<uint32_t> place = pool_.states().take();
  if (!place) return;
  pool_.start(*place, sequence.state);
  sequence.held_checkpoints.push_back({sequence.computed / BlockManager::kTokens, *place});
}

void Scheduler::file_checkpoints(Sequence& sequence) {
  for (const Sequence::Checkpoint& held : sequence.held_checkpoints)
    pool_.states().file(held.place, pool_.blocks().serial(sequence.blocks[held.blocks - 1]));
  sequence.held_checkpoints.clear();
}

// An answer keeps one checkpoint, at its last whole block, for the next turn of a conversation.
void Scheduler::checkpoint_answer(Sequence& sequence) {
  if (!pool_.recurrent() || sequence.computed % BlockManager::kTokens != 0) return;
  StateCache& states = pool_.states();
  const uint32_t block = sequence.blocks[sequence.computed / BlockManager::kTokens - 1];
  const uint64_t serial = pool_.blocks().serial(block);
  if (serial == 0 || states.find(serial)) return;
  if (const auto before = states.find(sequence.answer_checkpoint)) states.free(*before);
  const std::optional<uint32_t> place = states.take();
  if (!place) return;
  pool_.start(*place, sequence.state);
  states.file(*place, serial);
  sequence.answer_checkpoint = serial;
}

void Scheduler::emit(Sequence& sequence, Event event) {
  try {
    sequence.sink(std::move(event));
  } catch (const std::exception& error) {
    log::warn("an event sink threw ({}); its request ends", error.what());
    sequence.sink_broken = true;
  } catch (...) {
    log::warn("an event sink threw; its request ends");
    sequence.sink_broken = true;
  }
}

void Scheduler::finish(Sequence& sequence, FinishReason reason, OutputAssembler::Output output) {
  const Clock::time_point now = Clock::now();
  Timings& timings = sequence.timings;
  timings.queue_ms =
      milliseconds((sequence.started ? sequence.started_at : now) - sequence.submitted_at);
  if (sequence.started) {
    const Clock::time_point first = timings.completion_tokens > 0 ? sequence.first_token_at : now;
    timings.prefill_ms = milliseconds(first - sequence.started_at);
    timings.decode_ms = milliseconds(now - first);
  }
  emit(sequence, FinishedEvent{reason, std::move(output.text), std::move(output.stop), timings});
  release(sequence);
}

void Scheduler::flush_and_finish(Sequence& sequence, FinishReason reason) {
  OutputAssembler::Output output = sequence.output.finish();
  if (output.stop && reason == FinishReason::kLength) reason = FinishReason::kStop;
  finish(sequence, reason, std::move(output));
}

void Scheduler::fail(Sequence& sequence, Error error) {
  emit(sequence, FailedEvent{std::move(error)});
  release(sequence);
}

void Scheduler::release(Sequence& sequence) {
  give_back(sequence);
  sequence.ended = true;
}

void Scheduler::give_back(Sequence& sequence) {
  if (sequence.suspect) pool_.discard(sequence.blocks);
  sequence.suspect = false;
  pool_.blocks().release(sequence.blocks);
  if (sequence.state_before_draft) pool_.states().free(*sequence.state_before_draft);
  sequence.state_before_draft.reset();
  for (const Sequence::Checkpoint& held : sequence.held_checkpoints)
    pool_.states().free(held.place);
  sequence.held_checkpoints.clear();
  sequence.checkpoint_at.clear();
  sequence.answer_checkpoint = 0;
  if (sequence.state) pool_.states().free(*sequence.state);
  sequence.state.reset();
}

void Scheduler::remove_ended() {
  const auto ended = [](const std::unique_ptr<Sequence>& sequence) { return sequence->ended; };
  std::erase_if(running_, ended);
  uint32_t never_started = 0;
  for (const auto& sequence : waiting_) never_started += sequence->ended && !sequence->started;
  if (std::erase_if(waiting_, ended) > 0) inbox_.left_queue(never_started);
}

void Scheduler::fail_all(const char* what) {
  log::error("engine: a step failed: {}", what);
  const Error error{Code::kInternal, std::string("the engine's step failed: ") + what};
  for (const auto& sequence : running_)
    if (!sequence->ended) fail(*sequence, error);
  for (const auto& sequence : waiting_)
    if (!sequence->ended) fail(*sequence, error);
  remove_ended();
}

void Scheduler::update_stats() {
  EngineStats now = counters_;
  now.running = static_cast<uint32_t>(running_.size());
  now.settled = !aside_left_;
  for (const auto& sequence : waiting_) now.waiting += sequence->started;
  now.kv_blocks = pool_.blocks().total();
  now.kv_blocks_free = pool_.blocks().available();
  now.kv_blocks_cached = pool_.blocks().cached();
  now.evictions = pool_.blocks().evictions();
  now.states = pool_.states().total();
  now.checkpoints = pool_.states().filed();
  const std::lock_guard lock(stats_mutex_);
  stats_ = now;
}

EngineStats Scheduler::stats() const {
  const std::lock_guard lock(stats_mutex_);
  EngineStats now = stats_;
  now.waiting += inbox_.waiting();
  return now;
}

}  // namespace localai::engine
