#pragma once
// The product behind every dialect: names in, decisions and event streams out. Implemented by
// runtime/ over domains, the model cache and the backends; server/ and cli/ see only this.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "runtime/backend.h"
#include "runtime/cache_plan.h"
#include "runtime/circuit_breaker.h"
#include "runtime/domain_change.h"
#include "runtime/model_events.h"
#include "runtime/router.h"

namespace localai::runtime {

// A model that was to answer before another one did, and why it could not.
struct SkippedCandidate {
  std::string name;     // of the domain or model, as the config calls it
  std::string reason;   // "missing_file", "does_not_fit", "load_failed", "backend_down",
                        // "timed_out", "disabled"
  std::string message;  // the same in full
};

// Which model answers a request, and why. Goes into the x-localai-* headers and the `localai`
// object of every answer.
struct Resolution {
  std::string domain;                          // id; "" when a model was named directly
  std::string model;                           // name of the model that answers
  std::string backend;                         // "gguf", "safetensors", "hf-transformers"
  std::string route;                           // "explicit", "rules", "embedding", "default"
  bool fallback = false;                       // another model than the domain's own answers
  std::vector<SkippedCandidate> skipped = {};  // those before it, in order
  std::string route_reason = {};               // why that domain, where the router chose it
};

struct ModelEntry {  // one line of /v1/models and of `localai list`
  std::string id;    // domain id or model name
  std::string kind;  // "domain" or "model"
  std::string backend;
  std::string path;
  uint64_t bytes = 0;  // on disk
  bool loaded = false;
  std::string source = {};  // of a model: "models", "huggingface", "ollama", "lmstudio"
};
struct LoadedEntry {  // one line of /v1/models/loaded and of `localai ps`
  std::string id, path, backend;
  uint64_t bytes = 0;
  uint32_t in_use = 0;
  bool pinned = false;
  double last_used_unix = 0;
  uint64_t predicted_bytes = 0;
  engine::EngineMemory memory;  // as it is now; `bytes` is what it may come to
};
struct LoadedModels {
  std::vector<LoadedEntry> models;
  uint64_t bytes = 0, budget_bytes = 0;
};

struct Unloaded {
  std::string model;
  uint64_t bytes = 0;  // freed; 0: it was not loaded
};

// Called exactly once, from some thread and before the first event: the decision, or why there
// is none (kNotFound: unknown model; kExhausted: does not fit the budget; kUnavailable: no
// candidate of a domain could answer, or no room in time; kUnsupported: the domain's backend is not
// in this build; kInvalidArgument: bad input, too long a prompt; kCancelled: dropped before; load
// errors).
using ReadySink = std::function<void(Result<Resolution>)>;
// Called exactly once, from a worker thread.
using RouteSink = std::function<void(Result<RouteDecision>)>;

struct EmbeddingAnswer {
  Resolution resolution;
  engine::Embeddings embeddings;
};
// Called exactly once, from a worker's or a backend's thread. Errors: as ReadySink; what
// Backend::embed says, with the model's name.
using EmbeddingDone = std::function<void(Result<EmbeddingAnswer>)>;

// How a Transformers service does that was asked.
struct ServiceState {
  std::string url;
  CircuitBreaker::Snapshot breaker;
  bool own = false;      // this program started it
  bool running = false;  // own: it answers now
  uint32_t starts = 0;   // own: so far
};

class Service {
 public:
  virtual ~Service() = default;

  // Resolves `model` (domain id, agent id or its short form, alias, model name, path; "" or "auto":
  // by the router), loads it if need be, and generates. Returns at once and never blocks;
  // loading runs on a worker. After on_ready with an error no event follows; after a decision,
  // events follow and the last is Finished or Failed. Dropping the result cancels whatever state it
  // is in, without waiting: calls that are under way, and Finished (kCancelled), may still come, so
  // the callbacks own what they use.
  virtual Generation start(std::string model, GenerateRequest request, ReadySink on_ready,
                           GenerateSink sink) = 0;

  // Resolves and loads likewise, and turns every input into a vector. Returns at once; dropping the
  // result gives the work up.
  virtual Generation embed(std::string model, std::vector<engine::EmbeddingInput> inputs,
                           EmbeddingDone done) = 0;
  // Which domain start() would take, and why, without generating or loading. Returns at once.
  // Errors: kNotFound (unknown name), kInvalidArgument (a name outside the request's domains).
  virtual void route(std::string model, GenerateRequest request, RouteSink sink) = 0;

  [[nodiscard]] virtual std::vector<ModelEntry> models() const = 0;  // domains first, then models
  [[nodiscard]] virtual LoadedModels loaded() const = 0;
  // What load() would do now; changes nothing. These three return at once and call their sink once,
  // from some thread. A domain means its own model. Errors: kNotFound, and those of a load.
  virtual void plan(std::string model, std::function<void(Result<LoadPlan>)> sink) = 0;
  // Brings a model into memory; the sink gets its entry once it is there.
  virtual void load(std::string model, std::function<void(Result<LoadedEntry>)> sink) = 0;
  // Takes it out. Errors: kUnavailable (in use) too.
  virtual void unload(std::string model, std::function<void(Result<Unloaded>)> sink) = 0;
  [[nodiscard]] virtual std::vector<ServiceState> transformers() const = 0;
  // Tells `watcher` what happened to models after the event `after`, and what happens until the
  // result is dropped. See EventLog::watch().
  [[nodiscard]] virtual std::shared_ptr<EventLog::Watch> watch_events(
      uint64_t after, EventLog::Watcher watcher) = 0;
  // Shape of GET /v1/domains, and of one domain (kNotFound).
  [[nodiscard]] virtual Json domains() const = 0;
  [[nodiscard]] virtual Result<Json> domain(const std::string& id) const = 0;
  // As of DomainAdmin; kUnavailable too where domains cannot be changed.
  virtual void change_domain(DomainChange change, DomainChangeSink sink) = 0;
  virtual void domain_changes(ChangeQuery query, StoredChangesSink sink) = 0;
};

}  // namespace localai::runtime
