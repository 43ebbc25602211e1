#pragma once
// One request for embeddings on its way: waiting for its model, then for its vectors. Keeps the
// model's lease until the answer, and survives being dropped in any state.
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "runtime/model_cache.h"
#include "runtime/service.h"

namespace localai::runtime {

// Thread-safe. `done` is called once.
class EmbeddingRequest : public std::enable_shared_from_this<EmbeddingRequest> {
 public:
  EmbeddingRequest(std::vector<engine::EmbeddingInput> inputs, EmbeddingDone done)
      : inputs_(std::move(inputs)), done_(std::move(done)) {}

  [[nodiscard]] std::stop_token stop_token() const { return stop_.get_token(); }
  void cancel() { stop_.request_stop(); }

  // Hands the inputs to the leased model. At most once.
  void run(ModelCache::Lease lease, Resolution resolution);
  void fail(Error error) { finish(std::move(error)); }

 private:
  void finish(Result<EmbeddingAnswer> answer);

  std::stop_source stop_;
  std::vector<engine::EmbeddingInput> inputs_;
  std::mutex mutex_;
  EmbeddingDone done_;  // null: called
  std::optional<ModelCache::Lease> lease_;
};

}  // namespace localai::runtime
