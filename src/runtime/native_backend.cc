#include "runtime/native_backend.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "models/encoder.h"
#include "runtime/embedding_backend.h"
#include "runtime/model_catalog.h"
#include "runtime/prompt.h"

namespace localai::runtime {
namespace {

Status check_number(const char* name, std::optional<float> value, float min, float max) {
  if (!value || (std::isfinite(*value) && *value >= min && *value <= max)) return Ok{};
  return invalid(std::string(name) + ": " + std::to_string(*value) + " is not within " +
                 std::to_string(min) + ".." + std::to_string(max));
}

uint64_t random_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

Result<engine::SamplingParams> sampling_of(const SamplingOverrides& wanted, size_t vocabulary) {
  LAI_TRY_STATUS(check_number("temperature", wanted.temperature, 0.f, 100.f));
  LAI_TRY_STATUS(check_number("top_p", wanted.top_p, 0.f, 1.f));
  LAI_TRY_STATUS(check_number("min_p", wanted.min_p, 0.f, 1.f));
  LAI_TRY_STATUS(check_number("repetition_penalty", wanted.repetition_penalty, 0.01f, 100.f));
  LAI_TRY_STATUS(check_number("presence_penalty", wanted.presence_penalty, -2.f, 2.f));
  LAI_TRY_STATUS(check_number("frequency_penalty", wanted.frequency_penalty, -2.f, 2.f));
  if (wanted.top_k && *wanted.top_k < 0)
    return invalid("top_k: " + std::to_string(*wanted.top_k) + " is less than 0");
  for (const auto& [id, bias] : wanted.logit_bias)
    if (id < 0 || static_cast<size_t>(id) >= vocabulary || !std::isfinite(bias))
      return invalid("logit_bias: token " + std::to_string(id) + " is not within 0.." +
                     std::to_string(vocabulary - 1) + ", or its bias is no number");
  engine::SamplingParams out;
  out.temperature = wanted.temperature.value_or(out.temperature);
  out.top_k = wanted.top_k.value_or(out.top_k);
  out.top_p = wanted.top_p.value_or(out.top_p);
  out.min_p = wanted.min_p.value_or(out.min_p);
  out.repetition_penalty = wanted.repetition_penalty.value_or(out.repetition_penalty);
  out.presence_penalty = wanted.presence_penalty.value_or(out.presence_penalty);
  out.frequency_penalty = wanted.frequency_penalty.value_or(out.frequency_penalty);
  out.seed = wanted.seed ? *wanted.seed : random_seed();
  out.logit_bias = wanted.logit_bias;
  return out;
}

// Translates one request's engine events. Called on the engine's thread only.
class EventTranslator {
 public:
  EventTranslator(std::shared_ptr<const text::Tokenizer> tokenizer, const Prompt& prompt,
                  GenerateSink sink)
      : tokenizer_(std::move(tokenizer)),
        sink_(std::move(sink)),
        prompt_tokens_(static_cast<uint32_t>(prompt.tokens.size())),
        trim_(prompt.trim_answer_start) {}

  void operator()(engine::Event event) {
    if (!started_) sink_(Started{prompt_tokens_});
    started_ = true;
    if (auto* text = std::get_if<engine::TextEvent>(&event)) return token(std::move(*text));
    if (auto* failed = std::get_if<engine::FailedEvent>(&event))
      return sink_(Failed{std::move(failed->error)});
    finish(std::move(std::get<engine::FinishedEvent>(event)));
  }

 private:
  void token(engine::TextEvent event) {
    TokenDelta delta;
    delta.text = trimmed(std::move(event.text));
    if (event.logprob) delta.token_text = tokenizer_->piece(event.token, true);
    delta.logprob = event.logprob;
    for (const engine::TokenLogprob& top : event.top_logprobs)
      delta.top_logprobs.emplace_back(tokenizer_->piece(top.id, true), top.logprob);
    sink_(std::move(delta));
  }

  void finish(engine::FinishedEvent event) {
    if (std::string rest = trimmed(std::move(event.text)); !rest.empty()) {
      TokenDelta delta;
      delta.text = std::move(rest);
      sink_(std::move(delta));
    }
    Finished finished;
    finished.reason = event.reason;
    finished.timings = event.timings;
    finished.usage = {event.timings.prompt_tokens, event.timings.cached_tokens,
                      event.timings.completion_tokens, event.timings.drafted_tokens,
                      event.timings.accepted_tokens};
    sink_(finished);
  }

  std::string trimmed(std::string text) {
    if (!trim_) return text;
    const size_t from = std::min(text.find_first_not_of(" \n"), text.size());
    trim_ = from == text.size();
    return text.substr(from);
  }

  std::shared_ptr<const text::Tokenizer> tokenizer_;
  GenerateSink sink_;
  uint32_t prompt_tokens_;
  bool trim_;
  bool started_ = false;
};

// What the tokenizer of an opened model comes to, as measured: some hundred bytes for each token
// and merge of a GGUF file, twice its JSON of a directory.
uint64_t text_bytes(const formats::Checkpoint* checkpoint) {
  constexpr uint64_t kBytesPerEntry = 96;
  if (checkpoint == nullptr) return 0;
  if (checkpoint->gguf() == nullptr) {
    std::error_code none;
    const uint64_t json = std::filesystem::file_size(checkpoint->path() / "tokenizer.json", none);
    return none ? 0 : 2 * json;
  }
  uint64_t entries = 0;
  for (const char* key : {"tokenizer.ggml.tokens", "tokenizer.ggml.merges"})
    if (const auto list = checkpoint->gguf()->array(key); list.ok() && *list)
      entries += (*list)->size();
  return entries * kBytesPerEntry;
}

class NativeBackend final : public Backend {
 public:
  explicit NativeBackend(std::unique_ptr<engine::Engine> engine)
      : engine_(std::move(engine)),
        text_bytes_(text_bytes(engine_->loaded().checkpoint.get())),
        prompts_(engine_->loaded().tokenizer, engine_->loaded().chat_template,
                 engine_->loaded().bos_text, engine_->loaded().eos_text) {}

  [[nodiscard]] std::string_view kind() const override {
    const auto& checkpoint = engine_->loaded().checkpoint;
    return checkpoint ? checkpoint->format() : "native";
  }
  [[nodiscard]] engine::EngineMemory memory() const override {
    engine::EngineMemory memory = engine_->memory();
    memory.scratch_bytes += text_bytes_;
    return memory;
  }
  [[nodiscard]] uint32_t context_length() const override { return engine_->context_length(); }

  Result<Generation> generate(GenerateRequest request, GenerateSink sink) override {
    LAI_TRY(Prompt prompt, prompts_.build(request.input));
    engine::Request job;
    LAI_TRY(job.sampling, sampling_of(request.sampling, engine_->info().vocab_size));
    LAI_TRY(job.max_tokens, tokens_allowed(request, prompt.tokens.size()));
    job.stop = std::move(request.stop);
    job.stop.insert(job.stop.end(), prompt.stop.begin(), prompt.stop.end());
    job.ignore_eos = request.ignore_eos;
    job.cache_salt = request.cache_salt;
    job.logprobs = request.logprobs;
    job.top_logprobs = request.top_logprobs;
    auto translator =
        std::make_shared<EventTranslator>(engine_->loaded().tokenizer, prompt, std::move(sink));
    job.prompt = std::move(prompt.tokens);
    LAI_TRY(auto ticket, engine_->submit(std::move(job), [translator](engine::Event event) {
      (*translator)(std::move(event));
    }));
    return Generation(std::move(ticket));
  }

 private:
  // What the request asks for, cut to the domain's context; 0: as far as the engine's reaches.
  [[nodiscard]] Result<uint32_t> tokens_allowed(const GenerateRequest& request,
                                                size_t prompt_tokens) const {
    if (request.max_tokens == 0u) return invalid("max_tokens: 0 is less than 1");
    const uint32_t context = engine_->context_length();
    const uint32_t limit =
        request.context_length == 0 ? context : std::min(request.context_length, context);
    if (prompt_tokens >= limit)
      return Error{Code::kContextLength, "prompt has " + std::to_string(prompt_tokens) +
                                             " tokens, the context is " + std::to_string(limit)};
    const auto room = static_cast<uint32_t>(limit - prompt_tokens);
    return std::min(request.max_tokens.value_or(room), room);
  }

  std::unique_ptr<engine::Engine> engine_;
  const uint64_t text_bytes_;
  PromptBuilder prompts_;
};

class NativeOpener final : public ModelOpener {
 public:
  explicit NativeOpener(bool pack) : pack_(pack) {}

  Result<engine::EngineMemory> predict(const ModelSource& source) override {
    LAI_TRY(formats::Checkpoint opened, formats::Checkpoint::open(source.path));
    const auto checkpoint = std::make_shared<const formats::Checkpoint>(std::move(opened));
    models::ModelOptions options = load_options(source);
    options.predict_only = true;
    if (models::Encoder::handles(*checkpoint)) return embedding_memory(source, options);
    LAI_TRY(const auto model, models::Model::load(checkpoint, options));
    engine::EngineMemory needed = engine::Engine::predicted_memory(*model, source.engine);
    needed.scratch_bytes += text_bytes(checkpoint.get());
    return needed;
  }

  Result<std::unique_ptr<Backend>> load(const ModelSource& source,
                                        const std::function<bool()>& wanted) override {
    const models::ModelOptions options = load_options(source);
    LAI_TRY(formats::Checkpoint opened, formats::Checkpoint::open(source.path));
    if (models::Encoder::handles(opened)) return load_embedding_model(source, options);
    LAI_TRY(auto engine,
            engine::Engine::load(std::make_shared<const formats::Checkpoint>(std::move(opened)),
                                 options, source.engine));
    if (!wanted()) return cancelled("model '" + source.name + "': nobody waits for it any more");
    return make_native_backend(std::move(engine));
  }

 private:
  // Until the memory is granted, weights are only looked at.
  [[nodiscard]] models::ModelOptions load_options(const ModelSource& source) const {
    models::ModelOptions options;
    options.pack = pack_;
    options.pack_later = true;  // the first token does not wait for it
    options.quantize = source.quantize;
    options.threads = source.engine.threads;
    return options;
  }

  bool pack_;
};

}  // namespace

std::unique_ptr<Backend> make_native_backend(std::unique_ptr<engine::Engine> engine) {
  return std::make_unique<NativeBackend>(std::move(engine));
}

std::unique_ptr<ModelOpener> make_native_opener(bool pack) {
  return std::make_unique<NativeOpener>(pack);
}

}  // namespace localai::runtime
