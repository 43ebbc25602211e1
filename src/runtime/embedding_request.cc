#include "runtime/embedding_request.h"

#include <exception>
#include <utility>

#include "runtime/local_service.h"

namespace localai::runtime {
namespace {

// What the caller of embed() holds: dropping it gives the request up.
class EmbeddingTicket final : public engine::Ticket {
 public:
  explicit EmbeddingTicket(std::shared_ptr<EmbeddingRequest> request)
      : request_(std::move(request)) {}
  EmbeddingTicket(const EmbeddingTicket&) = delete;
  EmbeddingTicket& operator=(const EmbeddingTicket&) = delete;
  ~EmbeddingTicket() override { request_->cancel(); }
  void cancel() override { request_->cancel(); }

 private:
  std::shared_ptr<EmbeddingRequest> request_;
};

// A library's exception (std::bad_alloc first of all) fails one request, not the process.
template <class Work>
void guarded(EmbeddingRequest& request, Work work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    request.fail(exhausted("out of memory"));
  } catch (const std::exception& error) {
    request.fail({Code::kInternal, error.what()});
  }
}

}  // namespace

void EmbeddingRequest::run(ModelCache::Lease lease, Resolution resolution) {
  Backend& backend = lease.backend();
  resolution.backend = backend.kind();
  const std::string where = "model '" + resolution.model + "'";
  {
    const std::lock_guard lock(mutex_);
    lease_.emplace(std::move(lease));
  }
  const Status taken =
      backend.embed(std::move(inputs_), stop_token(),
                    [self = shared_from_this(), resolution = std::move(resolution),
                     where](Result<engine::Embeddings> embeddings) {
                      if (!embeddings.ok())
                        return self->fail(std::move(embeddings.error()).at(where));
                      self->finish(EmbeddingAnswer{resolution, std::move(*embeddings)});
                    });
  if (!taken.ok()) fail(Error(taken.error()).at(where));
}

void EmbeddingRequest::finish(Result<EmbeddingAnswer> answer) {
  std::optional<ModelCache::Lease> lease;
  EmbeddingDone done;
  {
    const std::lock_guard lock(mutex_);
    lease.swap(lease_);
    done = std::exchange(done_, nullptr);
  }
  lease.reset();  // before the answer: who hears it sees the model free
  if (done) done(std::move(answer));
}

Generation LocalService::embed(std::string model, std::vector<engine::EmbeddingInput> inputs,
                               EmbeddingDone done) {
  auto request = std::make_shared<EmbeddingRequest>(std::move(inputs), std::move(done));
  const auto run = [this, request](const Resolution& resolution, Result<ModelCache::Lease>& lease) {
    if (!lease.ok()) return request->fail(std::move(lease.error()));
    if (stopping_) return request->fail(cancelled("the server is stopping"));
    request->run(std::move(*lease), resolution);
  };
  workers_.post([this, request, run, name = std::move(model)] {
    guarded(*request, [&] {
      if (stopping_) return request->fail(cancelled("the server is stopping"));
      auto target = resolver()->resolve(name);
      if (!target.ok()) return request->fail(std::move(target.error()));
      cache_.acquire(
          target->source, {.stop = request->stop_token(), .deadline = deadline()},
          [this, request, run, resolution = target->resolution](Result<ModelCache::Lease> lease) {
            auto held = std::make_shared<Result<ModelCache::Lease>>(std::move(lease));
            workers_.post([request, run, resolution, held] {
              guarded(*request, [&] { run(resolution, *held); });
            });
          });
    });
  });
  return std::make_unique<EmbeddingTicket>(std::move(request));
}

}  // namespace localai::runtime
