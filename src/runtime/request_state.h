#pragma once
// One request on its way: waiting for its model, then generating. Keeps the model's lease until the
// last event, reports the decision before the first, and survives being dropped in any of these
// states.
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>

#include "runtime/model_cache.h"
#include "runtime/service.h"

namespace localai::runtime {

// Thread-safe. `on_ready` is called once; with a Resolution, events follow and end with Finished or
// Failed.
class RequestState : public std::enable_shared_from_this<RequestState> {
 public:
  RequestState(ReadySink on_ready, GenerateSink sink)
      : on_ready_(std::move(on_ready)), sink_(std::move(sink)) {}

  [[nodiscard]] std::stop_token stop_token() const { return stop_.get_token(); }
  [[nodiscard]] bool cancelled() const { return stop_.stop_requested(); }
  void cancel();

  // Hands the request to the leased model, on a worker thread; the decision is reported with its
  // first event. With an error nothing was reported and the lease is back: another model may be
  // tried, or fail() called. The same when the model fails later, but before anything else and with
  // kUnavailable: then `retry` is told, from the backend's thread.
  Status run(ModelCache::Lease lease, Resolution resolution, GenerateRequest request,
             std::function<void(Error)> retry);
  // Ends the request with an error: as the decision, or as an event when that was already reported.
  void fail(Error error);

 private:
  // Of the model's attempt with that number; an older one's events no longer count.
  void on_event(uint64_t attempt, GenerateEvent event);
  void deliver(GenerateEvent event);

  std::stop_source stop_;
  ReadySink on_ready_;
  GenerateSink sink_;
  std::mutex mutex_;
  bool ready_reported_ = false;
  bool ended_ = false;    // Finished or Failed was delivered
  uint64_t attempt_ = 0;  // number of the model that was handed the request last
  // Of that attempt, until its first event.
  std::optional<Resolution> decision_;
  std::function<void(Error)> retry_;
  Generation generation_;
  std::optional<ModelCache::Lease> lease_;
};

}  // namespace localai::runtime
