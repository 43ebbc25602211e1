#include "runtime/router_embedder.h"

#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>

#include "base/utf8.h"
#include "engine/embedder.h"

namespace localai::runtime {
namespace {

using Vectors = std::vector<std::vector<float>>;

// How long a request waits for the embedder's load, and for how long a load that failed is not
// tried again: it is asked for by requests that can do without.
constexpr std::chrono::seconds kLoadWait{3}, kRetryAfter{5};
// A text of so many bytes less than the context cannot have more tokens than fit.
constexpr size_t kSpecialTokens = 8;

Vectors rows_of(const engine::Embeddings& out, size_t count) {
  Vectors vectors;
  vectors.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const auto first = out.values.begin() + static_cast<ptrdiff_t>(i * out.dimension);
    vectors.emplace_back(first, first + out.dimension);
  }
  return vectors;
}

class FileEmbedder final : public Embedder {
 public:
  FileEmbedder(std::string name, Result<Target> target)
      : name_(std::move(name)), target_(std::move(target)) {}

  Result<Vectors> embed(std::span<const std::string> texts) override {
    LAI_TRY(engine::Embedder * embedder, loaded(), "routing: embedder '" + name_ + "'");
    const std::vector<engine::EmbeddingInput> inputs(texts.begin(), texts.end());
    LAI_TRY(const engine::Embeddings out, embedder->embed(inputs, engine::TooLong::kCut));
    return rows_of(out, texts.size());
  }

 private:
  Result<engine::Embedder*> loaded() {
    const std::lock_guard lock(mutex_);
    if (!target_.ok()) return target_.error();
    if (target_->source.service)
      return unsupported("it answers through a Transformers service; this command works on files");
    if (!embedder_)
      embedder_ = engine::Embedder::load(target_->source.path, {}, target_->source.engine.threads);
    if (!embedder_->ok()) return embedder_->error();
    return (*embedder_)->get();
  }

  std::string name_;
  Result<Target> target_;
  std::mutex mutex_;
  std::optional<Result<std::unique_ptr<engine::Embedder>>> embedder_;
};

class CachedEmbedder final : public Embedder {
 public:
  CachedEmbedder(const std::string& name, Result<Target> target, ModelCache& cache)
      : where_("routing: embedder '" + name + "'"), target_(std::move(target)), cache_(cache) {}

  Result<Vectors> embed(std::span<const std::string> texts) override {
    LAI_TRY(Backend * backend, leased(), where_);
    std::vector<engine::EmbeddingInput> inputs(texts.begin(), texts.end());
    auto out = run(*backend, inputs);
    if (!out.ok() && out.error().code == Code::kContextLength) {
      const size_t most = std::max<size_t>(backend->context_length(), kSpecialTokens + 1);
      for (engine::EmbeddingInput& input : inputs)
        cut(std::get<std::string>(input), most - kSpecialTokens);
      out = run(*backend, inputs);
    }
    if (!out.ok()) return std::move(out.error()).at(where_);
    return rows_of(*out, texts.size());
  }

 private:
  // What the cache's callback may find after the embedder has gone.
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    bool asked = false;                      // the cache has not answered yet
    std::optional<ModelCache::Lease> lease;  // kept: the model stays
    Error failure{Code::kInternal, ""};
    std::optional<TimePoint> failed_at;
  };

  static void cut(std::string& text, size_t bytes) {
    if (text.size() <= bytes) return;
    text.resize(bytes);
    text.resize(bytes - incomplete_utf8_tail(text));
  }

  static Result<engine::Embeddings> run(Backend& backend,
                                        const std::vector<engine::EmbeddingInput>& inputs) {
    auto answer = std::make_shared<std::promise<Result<engine::Embeddings>>>();
    LAI_TRY_STATUS(backend.embed(inputs, {}, [answer](Result<engine::Embeddings> embeddings) {
      answer->set_value(std::move(embeddings));
    }));
    return answer->get_future().get();
  }

  Result<Backend*> leased() {
    if (!target_.ok()) return target_.error();
    std::unique_lock lock(shared_->mutex);
    if (shared_->lease) return &shared_->lease->backend();
    const TimePoint now = std::chrono::steady_clock::now();
    if (shared_->failed_at && now < *shared_->failed_at + kRetryAfter) return shared_->failure;
    if (!shared_->asked) ask(lock, now);
    shared_->changed.wait_until(lock, now + kLoadWait, [this] { return !shared_->asked; });
    if (shared_->asked) return unavailable("it is still being loaded");
    if (!shared_->lease) return shared_->failure;
    return &shared_->lease->backend();
  }

  // The lock is held, but not while the cache, which may answer at once, is called.
  void ask(std::unique_lock<std::mutex>& lock, TimePoint now) {
    shared_->asked = true;
    lock.unlock();
    cache_.acquire(target_->source, {.deadline = now},
                   [shared = shared_](Result<ModelCache::Lease> lease) {
                     const std::lock_guard told(shared->mutex);
                     shared->asked = false;
                     shared->failed_at.reset();
                     if (lease.ok()) {
                       shared->lease.emplace(std::move(*lease));
                     } else {
                       shared->failure = std::move(lease.error());
                       shared->failed_at = std::chrono::steady_clock::now();
                     }
                     shared->changed.notify_all();
                   });
    lock.lock();
  }

  std::string where_;
  Result<Target> target_;
  ModelCache& cache_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace

std::shared_ptr<Embedder> cached_router_embedder(const Resolver& resolver, ModelCache& cache) {
  const std::string& name = resolver.config().routing.embedder;
  if (name.empty()) return nullptr;
  return std::make_shared<CachedEmbedder>(name, resolver.resolve(name), cache);
}

std::shared_ptr<Embedder> router_embedder(const Resolver& resolver) {
  const std::string& name = resolver.config().routing.embedder;
  if (name.empty()) return nullptr;
  return std::make_shared<FileEmbedder>(name, resolver.resolve(name));
}

}  // namespace localai::runtime
