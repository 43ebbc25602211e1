#include "engine/embedder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/cpu.h"

namespace localai::engine {
namespace {

// Enough rows to keep every thread busy, few enough for small scratch.
constexpr size_t kRowsWanted = 512;

}  // namespace

Result<std::unique_ptr<Embedder>> Embedder::load(const std::filesystem::path& path,
                                                 const models::ModelOptions& options,
                                                 uint32_t threads) {
  LAI_TRY(formats::Checkpoint opened, formats::Checkpoint::open(path));
  const auto checkpoint = std::make_shared<const formats::Checkpoint>(std::move(opened));
  LAI_TRY(auto encoder, models::Encoder::load(checkpoint, options));
  LAI_TRY(TextModel text, load_text_model(*checkpoint), path.string());
  return std::make_unique<Embedder>(std::move(encoder), std::move(text.tokenizer),
                                    std::string(checkpoint->format()), threads);
}

Embedder::Embedder(std::unique_ptr<models::Encoder> encoder,
                   std::shared_ptr<const text::Tokenizer> tokenizer, std::string format,
                   uint32_t threads)
    : encoder_(std::move(encoder)),
      tokenizer_(std::move(tokenizer)),
      format_(std::move(format)),
      pool_(threads == 0 ? usable_cpu_count() : threads),
      workspace_(encoder_->make_workspace()) {}

size_t Embedder::rows_max() const { return std::max<size_t>(kRowsWanted, info().context_length); }

EngineMemory Embedder::memory() const {
  EngineMemory memory;
  memory.weights_mapped_bytes = info().weights_mapped_bytes;
  memory.weights_private_bytes = info().weights_private_bytes;
  memory.scratch_bytes = encoder_->workspace_bytes(rows_max());
  return memory;
}

Result<Embedder::Tokens> Embedder::tokens_of(const EmbeddingInput& input, TooLong too_long) const {
  const auto* text = std::get_if<std::string>(&input);
  Tokens tokens = text != nullptr ? tokenizer_->encode(*text, {}) : std::get<Tokens>(input);
  if (tokens.empty()) return invalid("has no tokens");
  for (const TokenId id : tokens)
    if (id < 0 || static_cast<uint32_t>(id) >= info().vocab_size)
      return invalid("token " + std::to_string(id) + " is not within 0.." +
                     std::to_string(info().vocab_size - 1));
  const uint32_t longest = info().context_length;
  if (tokens.size() <= longest) return tokens;
  if (too_long == TooLong::kRefuse)
    return localai::context_length("has " + std::to_string(tokens.size()) +
                                   " tokens, the model takes at most " + std::to_string(longest));
  const TokenId last = tokens.back();
  tokens.resize(longest);
  if (tokenizer_->piece(last).empty()) tokens.back() = last;
  return tokens;
}

Result<Embeddings> Embedder::embed(std::span<const EmbeddingInput> inputs, TooLong too_long,
                                   const std::function<bool()>& given_up) {
  Embeddings out;
  out.dimension = info().hidden;
  std::vector<Tokens> texts;
  for (size_t i = 0; i < inputs.size(); ++i) {
    LAI_TRY(Tokens tokens, tokens_of(inputs[i], too_long), "input[" + std::to_string(i) + "]");
    out.tokens += tokens.size();
    texts.push_back(std::move(tokens));
  }
  out.values.resize(texts.size() * out.dimension);
  const std::lock_guard lock(mutex_);
  for (size_t begin = 0; begin < texts.size();) {
    if (given_up()) return cancelled("the embeddings were given up");
    size_t end = begin, rows = 0;
    while (end < texts.size() && (end == begin || rows + texts[end].size() <= rows_max()))
      rows += texts[end++].size();
    LAI_TRY_STATUS(compute(std::span(texts).subspan(begin, end - begin),
                           out.values.data() + begin * out.dimension));
    begin = end;
  }
  return out;
}

Status Embedder::compute(std::span<const Tokens> texts, float* out) {
  const std::vector<std::span<const TokenId>> views(texts.begin(), texts.end());
  encoder_->embed(views, *workspace_, pool_, out);
  const std::span<const float> values(out, texts.size() * info().hidden);
  if (std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); }))
    return Ok{};
  return Error{Code::kInternal, "the model produced non-finite values"};
}

}  // namespace localai::engine
