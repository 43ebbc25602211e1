#pragma once
// The native engine: one loaded model, many sequences. One thread owns all scheduling state and
// runs step after step: the decode row of every running sequence plus a piece of one prompt
// (continuous batching, chunked prefill). Requests come in and events go out through queues.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "models/model.h"
#include "text/tokenizer.h"

namespace localai::engine {

using text::TokenId;

// Order of application: logit_bias, repetition/presence/frequency penalties, temperature, top_k,
// top_p, min_p, then one draw. temperature 0 is greedy: the largest logit, lowest id on ties.
struct SamplingParams {
  float temperature = 0.8f;        // 0..2 (larger allowed up to 100)
  int32_t top_k = 40;              // 0: off
  float top_p = 0.95f;             // 1: off
  float min_p = 0.f;               // 0: off
  float repetition_penalty = 1.f;  // 1: off; divides positive, multiplies negative logits
  float presence_penalty = 0.f;    // -2..2
  float frequency_penalty = 0.f;   // -2..2
  uint32_t penalty_window = 256;   // last tokens (prompt and answer) that the penalties look at
  uint64_t seed = 0;               // the draw at a position depends on (seed, position) alone
  std::vector<std::pair<TokenId, float>> logit_bias;
};

struct Request {
  std::vector<TokenId> prompt;  // not empty, ids in range, shorter than the context
  SamplingParams sampling;
  uint32_t max_tokens = 0;  // 0: as far as the context reaches
  // At most 64 strings, UTF-8, each 1..1024 bytes. The answer ends before the one that is complete
  // first; of two that end at the same byte the longer counts.
  std::vector<std::string> stop;
  bool ignore_eos = false;
  std::string cache_salt;  // prefixes are shared with requests of the same salt only
  // Log-softmax of the logits as the model gave them: before bias, penalties and temperature, as
  // OpenAI-compatible servers report it.
  bool logprobs = false;      // of each token
  uint32_t top_logprobs = 0;  // and of the most probable ones; at most 128
};

enum class FinishReason : uint8_t { kStop, kLength, kCancelled };
std::string_view finish_reason_name(FinishReason reason);  // "stop", "length", "cancelled"

struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0.f;
};
// New text that is certain: whole UTF-8 characters, no part of a possible stop string held back.
struct TextEvent {
  std::string text;  // may be empty when a token added none yet
  TokenId token = 0;
  std::optional<TokenLogprob> logprob;
  std::vector<TokenLogprob> top_logprobs;  // descending
};
struct Timings {
  uint32_t prompt_tokens = 0;
  uint32_t cached_tokens = 0;      // of the prompt, taken from the prefix cache, disk included
  uint32_t completion_tokens = 0;  // sampled, the end-of-generation token included
  uint32_t drafted_tokens = 0;     // checked beside them
  uint32_t accepted_tokens = 0;    // of those, the ones that were right
  double queue_ms = 0;             // submit() to the first step
  double prefill_ms = 0;           // to the first token
  double decode_ms = 0;            // to the end
};
struct FinishedEvent {
  FinishReason reason = FinishReason::kStop;
  std::string text;                        // what was still held back
  std::optional<std::string> stop_string;  // the one that matched
  Timings timings;
};
struct FailedEvent {
  Error error;
};
using Event = std::variant<TextEvent, FinishedEvent, FailedEvent>;

// Called on the engine's thread, in order; must not block (all sequences wait for it). The last
// event is Finished or Failed, exactly one, also after a cancel; the sink is destroyed after it. A
// sink that throws ends its own request without further events and touches no other.
using EventSink = std::function<void(Event)>;

// Held by whoever asked; dropping it cancels at the next token. Thread-safe.
class Ticket {
 public:
  virtual ~Ticket() = default;
  virtual void cancel() = 0;
};

// Checking drafted tokens beside the one that is due: off, where it makes answers come faster, or
// wherever there is a draft. Tokens, log-probabilities and text are the same bits in all three.
enum class Speculation : uint8_t { kOff, kAuto, kAlways };

struct EngineOptions {
  uint32_t threads = 0;           // 1..256; 0: usable_cpu_count()
  uint32_t context_length = 0;    // per sequence; 0: min(model's, 2048); never past the model's
  uint32_t parallel = 8;          // 1..1024 sequences that run at once; more wait in the queue
  uint32_t queue_max = 512;       // waiting requests; more are refused (kExhausted)
  uint32_t prefill_chunk = 256;   // 1..65536 prompt rows in one step
  uint64_t kv_bytes = 0;          // size of the KV pool; 0: context_length * min(parallel, 4)
  std::optional<DType> kv_dtype;  // none: F32 with exact precision, else F16
  // Reuse KV blocks of equal prefixes; of models with recurrent state, as far as a checkpoint of
  // that state is kept.
  bool prefix_cache = true;
  // Size of the pool of recurrent states, of the sequences that run and of checkpoints; it bounds
  // how many run. 0: min(parallel, 4) states, one more for checkpoints with prefix_cache, and one
  // more with speculation.
  uint64_t recurrent_bytes = 0;
  // Keeps full KV blocks in files too, for later processes; "": does not. Not of models with
  // recurrent state, and only with prefix_cache.
  std::filesystem::path prefix_dir;
  uint64_t prefix_disk_bytes = uint64_t{4} << 30;  // of all files there, of all models
  Speculation speculation = Speculation::kAuto;
  uint32_t draft_tokens = 8;  // 1..64 drafted tokens in one step, over all sequences
};

struct EngineMemory {
  uint64_t weights_mapped_bytes = 0, weights_private_bytes = 0, kv_bytes = 0, scratch_bytes = 0;
  [[nodiscard]] uint64_t total() const {
    return weights_mapped_bytes + weights_private_bytes + kv_bytes + scratch_bytes;
  }
};

// Only the tokenizer and template (a vocabulary-only GGUF is enough).
struct TextModel {
  std::shared_ptr<const text::Tokenizer> tokenizer;
  std::string chat_template, bos_text, eos_text;
};
Result<TextModel> load_text_model(const formats::Checkpoint& checkpoint);

// A model file opened: everything that is known before weights are touched.
struct LoadedModel {
  std::shared_ptr<const formats::Checkpoint> checkpoint;
  std::unique_ptr<models::Model> model;
  std::shared_ptr<const text::Tokenizer> tokenizer;
  models::Precision precision = models::Precision::kFast;  // that the model was loaded with
  std::string chat_template;                               // source; "" when the model has none
  std::string bos_text, eos_text;                          // for the template

  void set_text(TextModel text);
};
Result<LoadedModel> load_model(const std::filesystem::path& path,
                               const models::ModelOptions& options);
// What the engine is doing; a consistent enough picture for metrics and tests.
struct EngineStats {
  uint32_t waiting = 0, running = 0;
  uint32_t kv_blocks = 0;         // in the pool
  uint32_t kv_blocks_free = 0;    // that can be had: unused, or cached and held by no sequence
  uint32_t kv_blocks_cached = 0;  // full blocks that a later prompt could reuse
  uint64_t steps = 0, rows = 0;   // forward passes, and rows in them
  uint64_t evictions = 0;         // cached blocks given up
  uint32_t states = 0;            // recurrent ones, in the pool
  uint32_t checkpoints = 0;       // of them, kept for prefixes
  uint64_t preemptions = 0;       // sequences set back to the queue because the pool ran out
  uint64_t drafted = 0;           // tokens checked by speculation
  uint64_t accepted = 0;          // of them, right
  bool settled = true;  // nothing left to be done between steps: weights packed, pages there
};

class Engine {
 public:
  // Allocates the KV pool and starts the engine's thread. Errors: kInvalidArgument (an option out
  // of range, named), kExhausted (no memory).
  static Result<std::unique_ptr<Engine>> create(LoadedModel model, const EngineOptions& options);
  // load_model() and create(), side by side where they can be: the way to a soon first token.
  static Result<std::unique_ptr<Engine>> load(std::shared_ptr<const formats::Checkpoint> checkpoint,
                                              const models::ModelOptions& model_options,
                                              const EngineOptions& options);
  virtual ~Engine() = default;  // cancels what runs, then joins

  // Thread-safe; returns at once. Errors: kContextLength (prompt not shorter than the context:
  // "prompt has 3000 tokens, the context is 2048"), kInvalidArgument (empty prompt, id out of
  // range; a sampling parameter out of range; more KV blocks than the pool has), kExhausted
  // (queue).
  virtual Result<std::unique_ptr<Ticket>> submit(Request request, EventSink sink) = 0;

  [[nodiscard]] virtual const models::ModelInfo& info() const = 0;
  [[nodiscard]] virtual const text::Tokenizer& tokenizer() const = 0;
  [[nodiscard]] virtual const LoadedModel& loaded() const = 0;
  [[nodiscard]] virtual uint32_t context_length() const = 0;
  [[nodiscard]] virtual EngineMemory memory() const = 0;
  [[nodiscard]] virtual EngineStats stats() const { return {}; }
  // What an engine over `model` comes to at most, before anything is allocated. kv_dtype none: F16.
  // Of options that create() would refuse: the weights alone.
  static EngineMemory predicted_memory(const models::Model& model, const EngineOptions& options);
};

}  // namespace localai::engine
