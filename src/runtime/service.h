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

namespace localai::runtime {

// Which model answers a request, and why. Goes into the x-localai-* headers and the `localai`
// object of every answer.
struct Resolution {
  std::string domain;     // id; "" when a model was named directly
  std::string model;      // name of the model that answers
  std::string backend;    // "gguf", "safetensors"
  std::string route;      // "explicit", "default"
  bool fallback = false;  // another model than the domain's own answers
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
};
struct LoadedModels {
  std::vector<LoadedEntry> models;
  uint64_t bytes = 0, budget_bytes = 0;
};

// Called exactly once, from a worker thread and before the first event: the decision, or why there
// is none (kNotFound: unknown model; kExhausted: does not fit the budget; kUnsupported: the
// domain's backend is not in this build; kInvalidArgument: bad input, too long a prompt;
// kCancelled: dropped before; load errors).
using ReadySink = std::function<void(Result<Resolution>)>;

class Service {
 public:
  virtual ~Service() = default;

  // Resolves `model` (domain id, agent id or its short form, alias, model name, path; "" or "auto":
  // the default domain), loads it if need be, and generates. Returns at once and never blocks;
  // loading runs on a worker. After on_ready with an error no event follows; after a decision,
  // events follow and the last is Finished or Failed. Dropping the result cancels whatever state it
  // is in, without waiting: calls that are under way, and Finished (kCancelled), may still come, so
  // the callbacks own what they use.
  virtual Generation start(std::string model, GenerateRequest request, ReadySink on_ready,
                           GenerateSink sink) = 0;

  [[nodiscard]] virtual std::vector<ModelEntry> models() const = 0;  // domains first, then models
  [[nodiscard]] virtual LoadedModels loaded() const = 0;
  // Shape of GET /v1/domains, and of one domain (kNotFound).
  [[nodiscard]] virtual Json domains() const = 0;
  [[nodiscard]] virtual Result<Json> domain(const std::string& id) const = 0;
};

}  // namespace localai::runtime
