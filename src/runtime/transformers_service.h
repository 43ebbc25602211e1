#pragma once
// One Transformers service: its connections, its breaker, and the short calls that are waited for.
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/client.h"
#include "runtime/circuit_breaker.h"
#include "runtime/service_model.h"

namespace localai::runtime {

// Thread-safe.
class TransformersService {
 public:
  // Errors: of parse_upstream.
  static Result<std::unique_ptr<TransformersService>> create(const std::string& url,
                                                             BreakerOptions breaker);

  struct Loaded {
    uint64_t bytes = 0;
    uint32_t context_length = 0;
  };
  // These wait; `wanted` is asked now and then, and false ends the wait (kCancelled). Errors:
  // kUnavailable (not reached, the breaker is open, no answer in time, an answer that is none), or
  // what the service says, with its address.
  // What load() will take.
  Result<uint64_t> predicted_bytes(const ServiceModel& model);
  Result<Loaded> load(const ServiceModel& model, const std::function<bool()>& wanted);
  // Asks for its memory back; a service that does not answer has none of it, or is asked again when
  // it loads something else.
  void unload(const ServiceModel& model);
  // GET /health: what it is and holds. Goes past the breaker.
  Result<Json> health();

  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] net::Client& client() { return *client_; }
  [[nodiscard]] CircuitBreaker& breaker() { return breaker_; }
  // A permit, or kUnavailable that says when the next try is.
  Result<CircuitBreaker::Permit> admit();

 private:
  TransformersService(std::string url, net::Upstream upstream, BreakerOptions breaker);
  Result<Json> call(net::ClientRequest request, std::chrono::milliseconds limit,
                    const std::function<bool()>& wanted);
  Result<Json> post(const char* path, const Json& body, std::chrono::milliseconds limit,
                    const std::function<bool()>& wanted);

  const std::string url_;
  CircuitBreaker breaker_;
  std::unique_ptr<net::Client> client_;  // last: its events use the breaker
};

}  // namespace localai::runtime
