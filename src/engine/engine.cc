#include "engine/engine.h"

#include <algorithm>
#include <cstring>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include "base/cpu.h"
#include "base/number.h"
#include "base/thread_pool.h"
#include "base/utf8.h"
#include "engine/inbox.h"
#include "engine/model_identity.h"
#include "engine/prefix_store.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/state_pool.h"

namespace localai::engine {
namespace {

constexpr uint32_t kThreadsMax = 256;
constexpr uint32_t kParallelMax = 1024;
constexpr uint32_t kPrefillChunkMax = 65536;
constexpr uint32_t kContextDefault = 2048;
constexpr uint32_t kSequencesDefault = 4;  // that the pools have room for, at full length
constexpr uint32_t kStatesMax = 2048;
constexpr uint32_t kStopStringsMax = 64;
constexpr size_t kStopBytesMax = 1024;
constexpr uint32_t kTopLogprobsMax = 128;
constexpr uint32_t kDraftTokensMax = 64;
constexpr uint64_t kPopulateBytes = 8 << 20;  // between two steps

Status check_range(const char* name, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return Ok{};
  return invalid(std::string(name) + ": " + std::to_string(value) + " is not within " +
                 std::to_string(low) + ".." + std::to_string(high));
}

Status check_options(const EngineOptions& options) {
  LAI_TRY_STATUS(check_range("threads", options.threads, 0, kThreadsMax));
  LAI_TRY_STATUS(check_range("parallel", options.parallel, 1, kParallelMax));
  LAI_TRY_STATUS(check_range("queue_max", options.queue_max, 1, 1u << 20));
  LAI_TRY_STATUS(check_range("prefill_chunk", options.prefill_chunk, 1, kPrefillChunkMax));
  LAI_TRY_STATUS(check_range("draft_tokens", options.draft_tokens, 1, kDraftTokensMax));
  const DType dtype = options.kv_dtype.value_or(DType::kF16);
  if (dtype != DType::kF16 && dtype != DType::kF32)
    return invalid("kv_dtype: " + std::string(dtype_name(dtype)) + " is not F16 or F32");
  return Ok{};
}

uint32_t context_of(const models::Model& model, const EngineOptions& options) {
  const uint32_t wanted = options.context_length == 0 ? kContextDefault : options.context_length;
  const uint32_t possible = model.info().context_length;
  return possible == 0 ? wanted : std::min(wanted, possible);
}

uint32_t blocks_for(uint64_t tokens) {
  return static_cast<uint32_t>((tokens + BlockManager::kTokens - 1) / BlockManager::kTokens);
}

bool keeps_on_disk(const models::Model& model, const EngineOptions& options) {
  return !options.prefix_dir.empty() && options.prefix_cache && model.state().recurrent_bytes == 0;
}

// Rows beside the one that is due of each sequence.
uint32_t draft_rows(const EngineOptions& options) {
  return options.speculation == Speculation::kOff ? 0 : options.draft_tokens;
}

Result<uint64_t> logits_bytes(const models::Model& model, const EngineOptions& options) {
  const auto bytes = checked_mul(uint64_t{model.info().vocab_size} * sizeof(float),
                                 uint64_t{options.parallel} + draft_rows(options));
  if (!bytes) return exhausted("logits: their size does not fit 64 bits");
  return PageRegion::rounded(*bytes);
}

// Null where nothing is kept on disk.
Result<std::unique_ptr<PrefixStore>> open_store(const LoadedModel& loaded,
                                                const EngineOptions& options) {
  if (!keeps_on_disk(*loaded.model, options)) return std::unique_ptr<PrefixStore>();
  LAI_TRY(const Digest identity, model_identity(loaded, *options.kv_dtype));
  return PrefixStore::open({options.prefix_dir, options.prefix_disk_bytes}, identity);
}

// Recurrent states. One of them is for checkpoints, or nothing is cached; unless their number was
// chosen, one more is for what a draft may have to go back to.
Status plan_recurrent(const EngineOptions& options, StatePlan& plan) {
  plan.running = options.parallel;
  if (plan.recurrent_bytes == 0) return Ok{};
  if (options.recurrent_bytes == 0) {
    plan.running = std::min(options.parallel, kSequencesDefault);
    plan.states = plan.running + (options.prefix_cache ? 1 : 0) + (draft_rows(options) > 0 ? 1 : 0);
    return Ok{};
  }
  plan.states = static_cast<uint32_t>(
      std::min<uint64_t>(options.recurrent_bytes / plan.recurrent_bytes, kStatesMax));
  if (plan.states == 0)
    return invalid("recurrent_bytes: " + std::to_string(options.recurrent_bytes) +
                   " is less than one state of " + std::to_string(plan.recurrent_bytes) + " bytes");
  plan.prefix_cache = options.prefix_cache && plan.states > 1;
  plan.running = std::min(options.parallel, plan.states - (plan.prefix_cache ? 1 : 0));
  return Ok{};
}

Result<StatePlan> plan_state(const models::Model& model, const EngineOptions& options) {
  LAI_TRY_STATUS(check_options(options));
  const models::StateGeometry& geometry = model.state();
  StatePlan plan;
  plan.kv_dtype = options.kv_dtype.value_or(DType::kF16);
  plan.block_bytes = geometry.block_bytes(plan.kv_dtype);
  plan.recurrent_bytes = geometry.recurrent_bytes;
  plan.prefix_cache = options.prefix_cache;
  LAI_TRY_STATUS(plan_recurrent(options, plan));
  const uint32_t per_sequence = blocks_for(context_of(model, options));
  uint64_t blocks = uint64_t{per_sequence} * std::min(options.parallel, kSequencesDefault);
  if (plan.block_bytes == 0) {
    // No attention: blocks cost nothing.
    blocks = uint64_t{per_sequence} * plan.states;
  } else if (options.kv_bytes > 0) {
    blocks = options.kv_bytes / plan.block_bytes;
    if (blocks == 0)
      return invalid("kv_bytes: " + std::to_string(options.kv_bytes) +
                     " is less than one block of " + std::to_string(plan.block_bytes) + " bytes");
  }
  if (blocks >= ~uint32_t{0} || !checked_mul(blocks, plan.block_bytes) ||
      !checked_mul(uint64_t{plan.states}, plan.recurrent_bytes))
    return exhausted("KV cache: " + std::to_string(blocks) + " blocks of " +
                     std::to_string(plan.block_bytes) + " bytes are more than can be addressed");
  plan.blocks = static_cast<uint32_t>(blocks);
  return plan;
}

// What K and V depend on besides tokens, and who may find them; 63 bits.
uint64_t kv_kind(bool long_rope, std::string_view salt) {
  uint64_t kind = 0;
  if (!salt.empty()) {
    const Digest digest = Sha256().add(salt).digest();
    std::memcpy(&kind, digest.data(), sizeof kind);
    kind = (kind >> 1 | 2) & ~uint64_t{1};
  }
  return kind | uint64_t{long_rope};
}

class RequestTicket final : public Ticket {
 public:
  explicit RequestTicket(std::shared_ptr<std::atomic<bool>> cancelled)
      : cancelled_(std::move(cancelled)) {}
  RequestTicket(const RequestTicket&) = delete;
  RequestTicket& operator=(const RequestTicket&) = delete;
  ~RequestTicket() override { RequestTicket::cancel(); }
  void cancel() override { cancelled_->store(true, std::memory_order_relaxed); }

 private:
  std::shared_ptr<std::atomic<bool>> cancelled_;
};

// What an engine holds beside its model.
struct Regions {
  EngineOptions options;
  StatePlan plan;
  StatePool pool;
  PageRegion logits;
};

Result<Regions> allocate(const models::Model& model, EngineOptions options) {
  LAI_TRY(const StatePlan plan, plan_state(model, options));
  LAI_TRY(const uint64_t logits, logits_bytes(model, options));
  LAI_TRY(StatePool pool, StatePool::create(plan));
  LAI_TRY(PageRegion rows, PageRegion::reserve(logits, "logits"));
  return Regions{std::move(options), plan, std::move(pool), std::move(rows)};
}

EngineOptions with_kv_dtype(EngineOptions options, const LoadedModel& loaded) {
  if (!options.kv_dtype)
    options.kv_dtype = loaded.precision == models::Precision::kExact ? DType::kF32 : DType::kF16;
  return options;
}

class NativeEngine final : public Engine {
 public:
  NativeEngine(LoadedModel model, Regions regions, std::unique_ptr<PrefixStore> store)
      : loaded_(std::move(model)),
        context_length_(context_of(*loaded_.model, regions.options)),
        pool_blocks_(regions.plan.blocks),
        pool_(std::move(regions.pool)),
        logits_(std::move(regions.logits)),
        store_(std::move(store)),
        threads_(regions.options.threads == 0 ? usable_cpu_count() : regions.options.threads),
        inbox_(regions.options.queue_max),
        scheduler_(*loaded_.model, *loaded_.tokenizer,
                   {.parallel = regions.plan.running,
                    .prefill_chunk = regions.options.prefill_chunk,
                    .speculation = regions.options.speculation,
                    .drafts = draft_rows(regions.options),
                    .aside =
                        [this] {
                          return pool_.populate(kPopulateBytes) ||
                                 logits_.populate(kPopulateBytes) ||
                                 loaded_.model->pack_more(threads_);
                        }},
                   pool_, store_.get(),
                   {reinterpret_cast<float*>(logits_.data()), logits_.bytes() / sizeof(float)},
                   threads_, inbox_),
        thread_([this] { scheduler_.run(); }) {}
  NativeEngine(const NativeEngine&) = delete;
  NativeEngine& operator=(const NativeEngine&) = delete;
  ~NativeEngine() override {
    inbox_.close();
    thread_.join();
  }

  Result<std::unique_ptr<Ticket>> submit(Request request, EventSink sink) override {
    LAI_TRY_STATUS(check(request));
    const uint64_t asked = request.max_tokens;
    auto sequence =
        std::make_unique<Sequence>(std::move(request), std::move(sink), *loaded_.tokenizer);
    sequence->tokens_max = static_cast<uint32_t>(
        asked == 0 ? reach() : std::min<uint64_t>(sequence->tokens.size() + asked, reach()));
    const bool long_rope =
        info().long_rope_after != 0 && sequence->reach() > info().long_rope_after;
    sequence->kv_kind = kv_kind(long_rope, sequence->request.cache_salt);
    auto ticket = std::make_unique<RequestTicket>(sequence->cancelled);
    LAI_TRY_STATUS(inbox_.push(std::move(sequence)));
    return std::unique_ptr<Ticket>(std::move(ticket));
  }

  const models::ModelInfo& info() const override { return loaded_.model->info(); }
  const text::Tokenizer& tokenizer() const override { return *loaded_.tokenizer; }
  const LoadedModel& loaded() const override { return loaded_; }
  uint32_t context_length() const override { return context_length_; }
  EngineMemory memory() const override {
    return {info().weights_mapped_bytes, info().weights_private_bytes, pool_.bytes(),
            logits_.bytes() + scheduler_.workspace_bytes() +
                (store_ == nullptr ? 0 : PrefixStore::kQueueBytes)};
  }
  EngineStats stats() const override { return scheduler_.stats(); }

 private:
  // Tokens that one sequence can come to, alone in the pool. The last sampled one needs no K and V.
  uint64_t reach() const {
    return std::min<uint64_t>(context_length_, uint64_t{pool_blocks_} * BlockManager::kTokens + 1);
  }

  Status check(const Request& request) const;
  Status check_prompt(const Request& request) const;

  LoadedModel loaded_;
  uint32_t context_length_;
  uint32_t pool_blocks_;
  StatePool pool_;
  PageRegion logits_;
  std::unique_ptr<PrefixStore> store_;
  ThreadPool threads_;
  Inbox inbox_;
  Scheduler scheduler_;
  std::thread thread_;  // last: it uses all the others
};

Result<std::unique_ptr<Engine>> assemble(LoadedModel model, Regions regions) {
  LAI_TRY(auto store, open_store(model, regions.options));
  return std::unique_ptr<Engine>(
      std::make_unique<NativeEngine>(std::move(model), std::move(regions), std::move(store)));
}

Status NativeEngine::check_prompt(const Request& request) const {
  if (request.prompt.empty()) return invalid("the prompt is empty");
  for (const TokenId id : request.prompt)
    if (id < 0 || static_cast<uint32_t>(id) >= info().vocab_size)
      return invalid("prompt: token " + std::to_string(id) + " is not within 0.." +
                     std::to_string(info().vocab_size - 1));
  if (request.prompt.size() >= context_length_)
    return localai::context_length("prompt has " + std::to_string(request.prompt.size()) +
                                   " tokens, the context is " + std::to_string(context_length_));
  const uint64_t tokens =
      std::min<uint64_t>(request.prompt.size() + std::max(request.max_tokens, 1u), context_length_);
  if (tokens > reach())
    return invalid("prompt and answer of " + std::to_string(tokens) + " tokens need " +
                   std::to_string(blocks_for(tokens - 1)) + " KV blocks, the pool has " +
                   std::to_string(pool_blocks_) + " (kv_bytes)");
  return Ok{};
}

Status NativeEngine::check(const Request& request) const {
  LAI_TRY_STATUS(check_prompt(request));
  LAI_TRY_STATUS(check_sampling(request.sampling,
                                std::min<size_t>(info().vocab_size, loaded_.tokenizer->size())));
  LAI_TRY_STATUS(check_range("top_logprobs", request.top_logprobs, 0, kTopLogprobsMax));
  LAI_TRY_STATUS(check_range("number of stop strings", request.stop.size(), 0, kStopStringsMax));
  for (const std::string& stop : request.stop) {
    LAI_TRY_STATUS(check_range("bytes of a stop string", stop.size(), 1, kStopBytesMax));
    if (!is_valid_utf8(stop)) return invalid("stop: a string is not valid UTF-8");
  }
  return Ok{};
}

}  // namespace

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

Result<std::unique_ptr<Engine>> Engine::create(LoadedModel model, const EngineOptions& options) {
  LAI_CHECK(model.model != nullptr && model.tokenizer != nullptr);
  LAI_TRY(Regions regions, allocate(*model.model, with_kv_dtype(options, model)));
  return assemble(std::move(model), std::move(regions));
}

// The tokenizer takes as long as all the rest, once weights are packed later.
Result<std::unique_ptr<Engine>> Engine::load(std::shared_ptr<const formats::Checkpoint> checkpoint,
                                             const models::ModelOptions& model_options,
                                             const EngineOptions& options) {
  LoadedModel loaded;
  loaded.precision = model_options.precision;
  loaded.checkpoint = std::move(checkpoint);
  auto weights = std::async(std::launch::async, [&]() -> Result<Regions> {
    LAI_TRY(loaded.model, models::Model::load(loaded.checkpoint, model_options));
    return allocate(*loaded.model, with_kv_dtype(options, loaded));
  });
  Result<TextModel> text = load_text_model(*loaded.checkpoint);
  LAI_TRY(Regions regions, weights.get());  // its error first: as in load_model()
  LAI_TRY_STATUS(text.ok() ? Status(Ok{}) : std::move(text.error()),
                 loaded.checkpoint->path().string());
  loaded.set_text(std::move(*text));
  return assemble(std::move(loaded), std::move(regions));
}

EngineMemory Engine::predicted_memory(const models::Model& model, const EngineOptions& options) {
  const models::ModelInfo& info = model.info();
  EngineMemory out{info.weights_mapped_bytes, info.weights_private_bytes, 0, 0};
  const Result<StatePlan> plan = plan_state(model, options);
  const Result<uint64_t> logits = logits_bytes(model, options);
  if (!plan.ok() || !logits.ok()) return out;
  out.kv_bytes = plan->kv_region_bytes() + plan->recurrent_region_bytes();
  out.scratch_bytes =
      *logits +
      model.workspace_bytes(size_t{options.prefill_chunk} + options.parallel + draft_rows(options),
                            blocks_for(context_of(model, options)),
                            options.threads == 0 ? usable_cpu_count() : options.threads);
  if (keeps_on_disk(model, options)) out.scratch_bytes += PrefixStore::kQueueBytes;
  return out;
}

}  // namespace localai::engine
