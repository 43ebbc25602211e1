#pragma once
// The Service over domains, the model cache and this machine's backends.
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/candidate_run.h"
#include "runtime/domain_admin.h"
#include "runtime/model_cache.h"
#include "runtime/resolver.h"
#include "runtime/service.h"
#include "runtime/settings.h"
#include "runtime/transformers_backend.h"
#include "runtime/work_queue.h"

namespace localai::runtime {

struct ServiceOptions {
  DomainConfig config;
  Settings settings;
  ResolverOptions resolver;
  TransformersLaunch launch;  // of a Transformers service of our own
  // Changes the domains while they are served, after load(); null: they stay as they are.
  std::shared_ptr<DomainAdmin> admin;
  uint32_t workers = 2;
};

class LocalService final : public Service {
 public:
  LocalService(ServiceOptions options, std::unique_ptr<ModelOpener> opener);
  LocalService(const LocalService&) = delete;
  LocalService& operator=(const LocalService&) = delete;
  // Cancels everything. No other call may be running.
  ~LocalService() override;

  Generation start(std::string model, GenerateRequest request, ReadySink on_ready,
                   GenerateSink sink) override;
  Generation embed(std::string model, std::vector<engine::EmbeddingInput> inputs,
                   EmbeddingDone done) override;
  void route(std::string model, GenerateRequest request, RouteSink sink) override;
  [[nodiscard]] std::vector<ModelEntry> models() const override;
  [[nodiscard]] LoadedModels loaded() const override { return cache_.loaded(); }
  void plan(std::string model, std::function<void(Result<LoadPlan>)> sink) override;
  void load(std::string model, std::function<void(Result<LoadedEntry>)> sink) override;
  void unload(std::string model, std::function<void(Result<Unloaded>)> sink) override;
  [[nodiscard]] std::shared_ptr<EventLog::Watch> watch_events(uint64_t after,
                                                              EventLog::Watcher watcher) override;
  [[nodiscard]] Json domains() const override;
  [[nodiscard]] Result<Json> domain(const std::string& id) const override;
  void change_domain(DomainChange change, DomainChangeSink sink) override;
  void domain_changes(ChangeQuery query, StoredChangesSink sink) override;

  [[nodiscard]] std::vector<ServiceState> transformers() const override {
    return transformers_.states();
  }

  // Puts another config in the place of this one: requests that come after it see the new one,
  // those before keep the old one. Thread-safe.
  void reload(DomainConfig config);

 private:
  void preload();
  void start_admin();
  [[nodiscard]] Serving serve(DomainConfig config);
  [[nodiscard]] Serving serving() const;
  [[nodiscard]] std::shared_ptr<const Resolver> resolver() const { return serving().resolver; }
  [[nodiscard]] TimePoint deadline() const;
  [[nodiscard]] TransformersOptions transformers_options(TransformersLaunch launch) const;
  [[nodiscard]] ModelEntry entry_of(const Resolver& resolver, const Domain& domain) const;
  [[nodiscard]] Json describe(const Resolver& resolver, const Domain& domain) const;

  const Settings settings_;
  const ResolverOptions resolver_options_;
  mutable std::mutex mutex_;
  Serving serving_;  // replaced as a whole
  std::atomic<bool> stopping_{false};
  WorkQueue workers_;
  TransformersServices transformers_;
  ModelCache cache_;
  const std::shared_ptr<DomainAdmin> admin_;
};

}  // namespace localai::runtime
