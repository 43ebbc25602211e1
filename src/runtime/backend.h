#pragma once
// What every backend answers: one request type in, one event stream out. Dialects translate to and
// from these; nothing here knows HTTP, and no dialect knows a backend.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "engine/embedder.h"
#include "engine/engine.h"
#include "text/chat_template.h"

namespace localai::runtime {

// Values that the caller left out stay empty: the domain's defaults fill them, then the backend's.
struct SamplingOverrides {
  std::optional<float> temperature, top_p, min_p, repetition_penalty, presence_penalty,
      frequency_penalty;
  std::optional<int32_t> top_k;
  std::optional<uint64_t> seed;
  std::vector<std::pair<int32_t, float>> logit_bias;
};

struct ChatInput {
  // OpenAI message objects: a role; content a string, a list of {"type":"text"} parts, or null.
  Json messages = Json::array();
  Json tools;                             // null or an array
  Json template_kwargs = Json::object();  // further template variables
  // The domain's own template; null: the model's.
  std::shared_ptr<const text::ChatTemplate> chat_template;
};
// Raw text, or token ids; no chat template.
using GenerateInput = std::variant<ChatInput, std::string, std::vector<int32_t>>;

// What a request says about who may answer it.
struct RouteHints {
  std::vector<std::string> domains;  // allow-list: ids, agent ids or aliases; empty: any
  Json metadata;                     // the client's own, or null
  bool has_image = false;
};

struct GenerateRequest {
  GenerateInput input;
  RouteHints route;
  SamplingOverrides sampling;
  std::optional<uint32_t> max_tokens;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  std::string cache_salt;  // prefixes are shared with requests of the same salt only
  bool logprobs = false;
  uint32_t top_logprobs = 0;
  uint32_t context_length = 0;  // a domain's limit on prompt and answer; 0: the model's
  // Told, in a line of text, what the request waits for before its decision; may be empty. From
  // any thread; must not block.
  std::function<void(const std::string& line)> progress;
};

struct Usage {
  uint32_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  uint32_t drafted_tokens = 0, accepted_tokens = 0;  // by speculation
};
struct Started {
  uint32_t prompt_tokens = 0;
};
struct TokenDelta {
  std::string text;
  std::optional<engine::TokenLogprob> logprob;
  std::string token_text;  // of this one token, for log-probabilities
  std::vector<std::pair<std::string, float>> top_logprobs;  // token text, log-probability
};
struct Finished {
  engine::FinishReason reason = engine::FinishReason::kStop;
  Usage usage;
  engine::Timings timings;
};
struct Failed {
  Error error;
};
using GenerateEvent = std::variant<Started, TokenDelta, Finished, Failed>;

// Called in order from a backend's thread; must not block. Finished or Failed comes last.
using GenerateSink = std::function<void(GenerateEvent)>;

// Dropping it cancels the generation at the next token.
using Generation = std::unique_ptr<engine::Ticket>;

// Called once, from a backend's thread.
using EmbeddingSink = std::function<void(Result<engine::Embeddings>)>;

// A loaded model that answers requests. Thread-safe.
class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual std::string_view kind()
      const = 0;  // "gguf", "safetensors", "hf-transformers"
  // Errors before the first event: kInvalidArgument (bad input; "prompt has N tokens, the context
  // is M"), kUnsupported (an input part or tool that the model has no place for), kExhausted
  // (queue).
  virtual Result<Generation> generate(GenerateRequest request, GenerateSink sink) = 0;
  // What it holds now; scratch may still grow, to no more than was predicted.
  [[nodiscard]] virtual engine::EngineMemory memory() const = 0;
  [[nodiscard]] virtual uint32_t context_length() const = 0;
  // Errors, of the call or through `sink`: kInvalidArgument (a model that generates text; bad
  // input, named), kContextLength, kExhausted (queue), kCancelled (`stop` was requested).
  // By value, because those that make embeddings keep their arguments.
  // NOLINTBEGIN(performance-unnecessary-value-param)
  virtual Status embed(std::vector<engine::EmbeddingInput> /*inputs*/, std::stop_token /*stop*/,
                       EmbeddingSink /*sink*/) {
    return invalid("this model generates text; it makes no embeddings");
  }
  // NOLINTEND(performance-unnecessary-value-param)
};

}  // namespace localai::runtime
