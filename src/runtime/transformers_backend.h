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

  // Whether the process of our own has to run for a model: the address is this machine's, or none,
  // and nobody else answers there.
  bool needs_process(const ServiceModel& model);
  // Starts that process unless it runs, waits as long as `wanted` is true until it is ready, and
  // gives its resident bytes. Errors: kUnavailable (it does not start), kCancelled.
  Result<uint64_t> start_process(const std::function<bool()>& wanted);
  void stop_process();
  // How the process stands in the model cache.
  [[nodiscard]] ModelSource process_source() const;

  // The service of a model; where it needs the process, that was started. Errors: kInvalidArgument
  // (not a URL), kUnavailable (none, or the process fell), kCancelled.
  Result<TransformersService*> find(const ServiceModel& model, const std::function<bool()>& wanted);
  // Nobody waits in find() any more.
  void stop() { stopping_ = true; }
  [[nodiscard]] std::vector<ServiceState> states() const;

 private:
  Result<TransformersService*> at(const std::string& url);
  [[nodiscard]] bool may_start(const ServiceModel& model) const;
  Result<ServiceProcess*> process();
  Result<ServiceProcess*> running_process(const std::function<bool()>& wanted);

  const TransformersOptions options_;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<TransformersService>> services_;
  std::unique_ptr<ServiceProcess> process_;  // after the services, which its hooks ask
};

// Opens a source with `service` set there, every other one through `native`. The process of our own
// is the host of what it answers for, and as such a model that holds its resident memory.
std::unique_ptr<ModelOpener> make_opener(std::unique_ptr<ModelOpener> native,
                                         TransformersServices& services);

}  // namespace localai::runtime
