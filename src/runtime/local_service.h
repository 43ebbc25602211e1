#pragma once
// The Service over domains, the model cache and this machine's backends.
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "runtime/model_cache.h"
#include "runtime/resolver.h"
#include "runtime/router.h"
#include "runtime/service.h"
#include "runtime/settings.h"
#include "runtime/work_queue.h"

namespace localai::runtime {

struct ServiceOptions {
  DomainConfig config;
  Settings settings;
  ResolverOptions resolver;
  std::shared_ptr<Embedder> embedder;  // of the router; null: it goes by rules alone
  uint32_t workers = 2;
};

// Fills in what the request left out from the domain that answers it.
void apply_domain(const Domain& domain, GenerateRequest& request);

class LocalService final : public Service {
 public:
  LocalService(ServiceOptions options, std::unique_ptr<ModelOpener> opener);
  LocalService(const LocalService&) = delete;
  LocalService& operator=(const LocalService&) = delete;
  // Cancels everything. No other call may be running.
  ~LocalService() override;

  Generation start(std::string model, GenerateRequest request, ReadySink on_ready,
                   GenerateSink sink) override;
  void route(std::string model, GenerateRequest request, RouteSink sink) override;
  [[nodiscard]] std::vector<ModelEntry> models() const override;
  [[nodiscard]] LoadedModels loaded() const override { return cache_.loaded(); }
  [[nodiscard]] Json domains() const override;
  [[nodiscard]] Result<Json> domain(const std::string& id) const override;

 private:
  void preload(const Settings& settings);
  [[nodiscard]] ModelEntry entry_of(const Domain& domain) const;
  [[nodiscard]] Json describe(const Domain& domain) const;

  Resolver resolver_;
  Router router_;
  std::atomic<bool> stopping_{false};
  WorkQueue workers_;
  ModelCache cache_;
};

}  // namespace localai::runtime
