#pragma once
// Every loaded model, in bytes. One entry a file, one load an entry however many wait, and a hard
// budget. A model in use is never unloaded.
//
// One thread plans and loads, one model after the other, so a plan is what then happens and two
// loads never count the same free bytes. The budget holds at every moment: victims are gone before
// the load that needs their bytes begins. What only fits once somebody is done waits, in order of
// arrival, and holds up nobody who fits.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "engine/engine.h"
#include "runtime/backend.h"
#include "runtime/cache_plan.h"
#include "runtime/model_events.h"
#include "runtime/service.h"
#include "runtime/service_model.h"

namespace localai::runtime {

// What to load and how. `path` is the identity: the first request for a path decides the rest.
struct ModelSource {
  std::filesystem::path path;  // canonical; of a service's model: ServiceModel::identity()
  std::string name;            // for messages and lists
  engine::EngineOptions engine;
  bool pin = false;          // never unloaded for another, nor by its ttl
  uint32_t ttl_seconds = 0;  // unloaded after so long without use; 0: never
  const models::QuantizationType* quantize = nullptr;  // weights become this; null: as they are
  std::optional<ServiceModel> service = {};            // set: it answers there, not here
};

// How models come into memory; tests bring their own. Called on the cache's thread only.
class ModelOpener {
 public:
  virtual ~ModelOpener() = default;
  // What load() will need, from the headers of the files; nothing stays in memory.
  virtual Result<engine::EngineMemory> predict(const ModelSource& source) = 0;
  // What has to be loaded before `source` and stays while that does: the process of a service.
  // Nothing for most.
  virtual std::optional<ModelSource> host_of(const ModelSource& /*source*/) { return {}; }
  // `wanted` is false once nobody waits for the model any more: then give up (kCancelled).
  virtual Result<std::unique_ptr<Backend>> load(const ModelSource& source,
                                                const std::function<bool()>& wanted) = 0;
};

struct CacheOptions {
  uint64_t budget_bytes = uint64_t{8192} << 20;
  // A failed load is not tried again for so long, twice as long after each further failure.
  std::chrono::milliseconds cooldown{2000}, cooldown_max{60000};
  // A model stays for at least this many times as long as its load took, so that two models that
  // displace each other spend most of their time answering.
  double stay_factor = 3;
  std::chrono::milliseconds stay_max{10000};
  std::function<TimePoint()> now = std::chrono::steady_clock::now;
  bool own_thread = true;  // false: step() is called instead
};

// The errors (kUnavailable) of requests whose deadline passes before there is room begin so.
inline constexpr std::string_view kNoRoomInTime = "no room in time: ";

// How a request waits for its model.
struct AcquireOptions {
  std::stop_token stop = {};
  // Until when it waits for its load to begin; none: as long as it takes.
  std::optional<TimePoint> deadline = {};
  // Told in a line of text what is being waited for; from the cache's thread, must not block.
  std::function<void(const std::string& line)> progress = {};
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
  // else on the cache's thread. A load that nobody waits for any more is given up before its next
  // step. Errors: kExhausted (can never fit, with the figures; no memory), kUnavailable (did not
  // fit before the deadline), kCancelled, or the load's own.
  void acquire(const ModelSource& source, AcquireOptions options, LeaseSink sink);
  // What acquire() would do, if nothing else changed. Changes nothing, but that a host is loaded
  // first, which alone knows. `sink` is called on the cache's thread. Errors: of the prediction, of
  // the host's load; kCancelled.
  void plan(const ModelSource& source, std::function<void(Result<LoadPlan>)> sink);
  // Takes a model out of memory, a pinned one too; the sink gets its bytes, 0 when it was not
  // there. Errors: kUnavailable (in use or loading), kCancelled.
  void unload(const std::filesystem::path& path, std::function<void(Result<uint64_t>)> sink);

  [[nodiscard]] LoadedModels loaded() const;  // ready models by name, and all bytes reserved
  [[nodiscard]] bool is_loaded(const std::filesystem::path& path) const;
  [[nodiscard]] EventLog& events();

  // Without a thread of its own: does one piece of the cache's work here. False when there is
  // nothing to do now.
  bool step();

 private:
  struct Waiter;
  struct Loader;
  static void acquire(const std::shared_ptr<Core>& core, const ModelSource& source, Waiter waiter);
  std::shared_ptr<Core> core_;
  std::unique_ptr<Loader> loader_;
};

}  // namespace localai::runtime
