#pragma once
// Texts to vectors: tokenizer and encoder of one embedding model.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "engine/engine.h"
#include "models/encoder.h"

namespace localai::engine {

// A text, to which the model's special tokens are added; or token ids, taken as they are.
using EmbeddingInput = std::variant<std::string, std::vector<TokenId>>;

enum class TooLong : uint8_t {
  kRefuse,
  kCut,  // keep the beginning and the last special token
};

struct Embeddings {
  uint32_t dimension = 0;
  std::vector<float> values;  // [inputs, dimension], each of length 1
  uint64_t tokens = 0;        // of all inputs
};

class Embedder {
 public:
  // Errors: as models::Encoder::load and load_text_model.
  static Result<std::unique_ptr<Embedder>> load(const std::filesystem::path& path,
                                                const models::ModelOptions& options,
                                                uint32_t threads);

  // `format`: of the checkpoint. threads 0: usable_cpu_count().
  Embedder(std::unique_ptr<models::Encoder> encoder,
           std::shared_ptr<const text::Tokenizer> tokenizer, std::string format, uint32_t threads);

  // Blocks until all are done; thread-safe, one call computes at a time. An input's vector depends
  // on that input alone, bit by bit. `given_up` is asked now and then. Errors, naming the input:
  // kInvalidArgument (no tokens, an id out of range), kContextLength, kCancelled, kInternal
  // (non-finite values).
  Result<Embeddings> embed(
      std::span<const EmbeddingInput> inputs, TooLong too_long = TooLong::kRefuse,
      const std::function<bool()>& given_up = [] { return false; });

  [[nodiscard]] const models::ModelInfo& info() const { return encoder_->info(); }
  [[nodiscard]] std::string_view format() const { return format_; }
  // With scratch as large as it may get.
  [[nodiscard]] EngineMemory memory() const;

 private:
  using Tokens = std::vector<TokenId>;

  Result<Tokens> tokens_of(const EmbeddingInput& input, TooLong too_long) const;
  Status compute(std::span<const Tokens> texts, float* out);
  // Rows of one forward pass; a longer text is a pass of its own.
  [[nodiscard]] size_t rows_max() const;

  std::unique_ptr<models::Encoder> encoder_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::string format_;
  std::mutex mutex_;  // of the rest
  ThreadPool pool_;
  std::unique_ptr<models::Workspace> workspace_;
};

}  // namespace localai::engine
