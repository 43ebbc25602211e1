#include "runtime/router_embedder.h"

#include <mutex>
#include <optional>

#include "engine/embedder.h"

namespace localai::runtime {
namespace {

using Vectors = std::vector<std::vector<float>>;

class FileEmbedder final : public Embedder {
 public:
  FileEmbedder(std::string name, Result<Target> target)
      : name_(std::move(name)), target_(std::move(target)) {}

  Result<Vectors> embed(std::span<const std::string> texts) override {
    LAI_TRY(engine::Embedder * embedder, loaded(), "routing: embedder '" + name_ + "'");
    const std::vector<engine::EmbeddingInput> inputs(texts.begin(), texts.end());
    LAI_TRY(const engine::Embeddings out, embedder->embed(inputs, engine::TooLong::kCut));
    Vectors vectors;
    vectors.reserve(texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto first = out.values.begin() + static_cast<ptrdiff_t>(i * out.dimension);
      vectors.emplace_back(first, first + out.dimension);
    }
    return vectors;
  }

 private:
  Result<engine::Embedder*> loaded() {
    const std::lock_guard lock(mutex_);
    if (!target_.ok()) return target_.error();
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

}  // namespace

std::shared_ptr<Embedder> router_embedder(const Resolver& resolver) {
  const std::string& name = resolver.config().routing.embedder;
  if (name.empty()) return nullptr;
  return std::make_shared<FileEmbedder>(name, resolver.resolve(name));
}

}  // namespace localai::runtime
