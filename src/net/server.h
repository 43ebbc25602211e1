#pragma once
// The HTTP/1.1 server: sockets, parsing, limits, timeouts, keep-alive, streams, drain. Handlers see
// net/http.h only. Source: RFC 9110, RFC 9112.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/guard.h"
#include "net/http.h"

namespace localai::net {

struct ServerOptions {
  std::string host = "127.0.0.1";  // an IPv4 or IPv6 address, or "localhost"
  uint16_t port = 8080;            // 0: a free one
  uint32_t threads = 2;
  Limits limits;
  std::vector<std::string> host_names;  // further names that a Host header may carry
  bool handle_signals = false;          // SIGTERM and SIGINT drain; the second one stops at once
  // Body of an answer to a request that no handler saw (too large, malformed, refused).
  std::function<Response(const Refusal&)> render_refusal;
};

class Server {
 public:
  // Binds and listens. Errors: kInvalidArgument (host), kUnavailable (address in use, not ours).
  static Result<std::unique_ptr<Server>> listen(ServerOptions options, Handler handler);
  virtual ~Server() = default;

  [[nodiscard]] virtual uint16_t port() const = 0;
  [[nodiscard]] virtual std::string url() const = 0;  // "http://127.0.0.1:8080"

  // Serves until stop() or a signal and the drain that follows: no new connections, answers in
  // progress finish within Limits::drain_seconds_max, then they are cancelled. Call once.
  virtual void run() = 0;
  virtual void stop() = 0;                               // thread-safe, returns at once
  [[nodiscard]] virtual bool draining() const = 0;       // thread-safe
  [[nodiscard]] virtual size_t connections() const = 0;  // thread-safe
};

}  // namespace localai::net
