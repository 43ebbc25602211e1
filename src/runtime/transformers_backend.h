#pragma once
// The backend over a Transformers service: models that answer in another process.
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/model_cache.h"
#include "runtime/transformers_launch.h"
#include "runtime/transformers_service.h"

namespace localai::runtime {

struct TransformersOptions {
  BreakerOptions breaker;
  TransformersLaunch launch;  // of a service of our own
  // Variables that it is started with.
  std::function<std::vector<std::pair<std::string, std::string>>()> environment;
};

// The services that models are asked of, by URL, and the one that is started here. Thread-safe.
// Outlives the models that were opened through it; its end ends the calls that are under way, and
// the service of our own.
class TransformersServices {
 public:
  explicit TransformersServices(TransformersOptions options) : options_(std::move(options)) {}
  TransformersServices(const TransformersServices&) = delete;
  TransformersServices& operator=(const TransformersServices&) = delete;
  ~TransformersServices();

  // The service of a model. One whose address is this machine's own, or none, and that does not
  // answer is started first, where that can be: this waits then, as long as `wanted` is true.
  // Errors: kInvalidArgument (not a URL), kUnavailable (none, or it does not start), kCancelled.
  Result<TransformersService*> find(const ServiceModel& model, const std::function<bool()>& wanted);
  // Nobody waits in find() any more.
  void stop() { stopping_ = true; }
  [[nodiscard]] std::vector<ServiceState> states() const;

 private:
  Result<TransformersService*> at(const std::string& url);
  [[nodiscard]] bool may_start(const ServiceModel& model) const;
  Result<ServiceProcess*> process();

  const TransformersOptions options_;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<TransformersService>> services_;
  std::unique_ptr<ServiceProcess> process_;  // after the services, which its hooks ask
};

// Opens a source with `service` set there, every other one through `native`.
std::unique_ptr<ModelOpener> make_opener(std::unique_ptr<ModelOpener> native,
                                         TransformersServices& services);

}  // namespace localai::runtime
