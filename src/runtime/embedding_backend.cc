#include "runtime/embedding_backend.h"

#include <atomic>
#include <exception>
#include <new>
#include <utility>

#include "runtime/work_queue.h"

namespace localai::runtime {
namespace {

constexpr uint32_t kQueueMax = 512;  // requests that wait; more are refused

class EmbeddingBackend final : public Backend {
 public:
  EmbeddingBackend(std::unique_ptr<engine::Embedder> embedder, std::string name)
      : name_(std::move(name)), embedder_(std::move(embedder)) {}
  EmbeddingBackend(const EmbeddingBackend&) = delete;
  EmbeddingBackend& operator=(const EmbeddingBackend&) = delete;
  ~EmbeddingBackend() override {
    stopping_ = true;
    queue_.stop();
  }

  [[nodiscard]] std::string_view kind() const override { return embedder_->format(); }
  [[nodiscard]] engine::EngineMemory memory() const override { return embedder_->memory(); }
  [[nodiscard]] uint32_t context_length() const override {
    return embedder_->info().context_length;
  }

  Result<Generation> generate(GenerateRequest /*request*/, GenerateSink /*sink*/) override {
    return invalid("model '" + name_ + "' makes embeddings; it does not generate text");
  }

  Status embed(std::vector<engine::EmbeddingInput> inputs, std::stop_token stop,
               EmbeddingSink sink) override {
    if (waiting_.fetch_add(1) >= kQueueMax) {
      --waiting_;
      return exhausted(std::to_string(kQueueMax) + " requests for embeddings wait already");
    }
    queue_.post([this, inputs = std::move(inputs), stop = std::move(stop), sink = std::move(sink)] {
      --waiting_;
      sink(compute(inputs, stop));
    });
    return Ok{};
  }

 private:
  // A library's exception (std::bad_alloc first of all) fails one request, not the process.
  Result<engine::Embeddings> compute(const std::vector<engine::EmbeddingInput>& inputs,
                                     const std::stop_token& stop) {
    try {
      return embedder_->embed(inputs, engine::TooLong::kRefuse,
                              [&] { return stopping_ || stop.stop_requested(); });
    } catch (const std::bad_alloc&) {
      return exhausted("out of memory");
    } catch (const std::exception& error) {
      return Error{Code::kInternal, error.what()};
    }
  }

  std::string name_;
  std::unique_ptr<engine::Embedder> embedder_;
  std::atomic<uint32_t> waiting_{0};
  std::atomic<bool> stopping_{false};
  WorkQueue queue_{1};
};

}  // namespace

std::unique_ptr<Backend> make_embedding_backend(std::unique_ptr<engine::Embedder> embedder,
                                                std::string name) {
  return std::make_unique<EmbeddingBackend>(std::move(embedder), std::move(name));
}

Result<engine::EngineMemory> embedding_memory(const ModelSource& source,
                                              const models::ModelOptions& options) {
  LAI_TRY(const auto embedder, engine::Embedder::load(source.path, options, source.engine.threads));
  return embedder->memory();
}

Result<std::unique_ptr<Backend>> load_embedding_model(const ModelSource& source,
                                                      const models::ModelOptions& options) {
  LAI_TRY(auto embedder, engine::Embedder::load(source.path, options, source.engine.threads));
  return make_embedding_backend(std::move(embedder), source.name);
}

}  // namespace localai::runtime
