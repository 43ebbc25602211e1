#pragma once
// Every loaded model, in bytes. One entry a file, one load an entry however many wait, and a hard
// budget: what does not fit after unloading idle models is refused with the figures. A model in use
// is never unloaded.
//
// One thread plans and loads, one model after the other, so a plan is what then happens and two
// loads never count the same free bytes. The budget holds at every moment: victims are gone before
// the load that needs their bytes begins.
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "runtime/backend.h"
#include "runtime/service.h"

namespace localai::runtime {

// What to load and how. `path` is the identity: the first request for a path decides the rest.
struct ModelSource {
  std::filesystem::path path;  // canonical
  std::string name;            // for messages and lists
  engine::EngineOptions engine;
  bool pin = false;                                    // never unloaded for another
  const models::QuantizationType* quantize = nullptr;  // weights become this; null: as they are
};

// A model whose needs are known and whose memory is not allocated yet.
class PreparedModel {
 public:
  virtual ~PreparedModel() = default;
  // Weights, KV cache and scratch.
  [[nodiscard]] virtual uint64_t bytes() const = 0;
  // Allocates and starts; called once.
  virtual Result<std::unique_ptr<Backend>> start() = 0;
};

// How models come into memory; tests bring their own. Called on the cache's thread only.
class ModelOpener {
 public:
  virtual ~ModelOpener() = default;
  // What is known without opening: the bytes of the weights on disk.
  virtual Result<uint64_t> weight_bytes(const ModelSource& source) = 0;
  virtual Result<std::unique_ptr<PreparedModel>> open(const ModelSource& source) = 0;
};

struct CacheOptions {
  uint64_t budget_bytes = uint64_t{8192} << 20;
  // A failed load is not tried again for so long, twice as long after each further failure.
  std::chrono::milliseconds cooldown{2000}, cooldown_max{60000};
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

class ModelCache {
  struct Core;
  struct Entry;

 public:
  // Keeps a model in memory. Move-only; thread-safe to drop anywhere, also on an engine's thread:
  // it only counts down. The backend lives until the lease or the cache goes, whichever is first.
  class Lease {
   public:
    Lease(Lease&& other) noexcept = default;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease();
    [[nodiscard]] Backend& backend() const { return *backend_; }

   private:
    friend class ModelCache;
    Lease(std::shared_ptr<Core> core, std::shared_ptr<Entry> entry, Backend* backend)
        : core_(std::move(core)), entry_(std::move(entry)), backend_(backend) {}
    void release();
    std::shared_ptr<Core> core_;
    std::shared_ptr<Entry> entry_;
    Backend* backend_ = nullptr;
  };
  using LeaseSink = std::function<void(Result<Lease>)>;

  ModelCache(std::unique_ptr<ModelOpener> opener, CacheOptions options);
  ModelCache(const ModelCache&) = delete;
  ModelCache& operator=(const ModelCache&) = delete;
  // Refuses who waits (kCancelled), lets a running load end, stops every backend.
  ~ModelCache();

  // Calls `sink` exactly once: on this thread when the model is there or its failure is remembered,
  // else on the cache's thread after the load. A waiter whose `stop` is requested gets kCancelled
  // then; a load that nobody waits for any more is given up before its next step.
  // Errors: kNotFound, kCorrupt, kUnsupported (the load's own), kExhausted (budget), kCancelled.
  void acquire(const ModelSource& source, std::stop_token stop, LeaseSink sink);

  [[nodiscard]] LoadedModels loaded() const;  // ready models by name, and all bytes reserved
  [[nodiscard]] bool is_loaded(const std::filesystem::path& path) const;

 private:
  struct Waiter;
  struct Loader;
  std::shared_ptr<Core> core_;
  std::unique_ptr<Loader> loader_;
};

}  // namespace localai::runtime
