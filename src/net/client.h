#pragma once
// An HTTP/1.1 client for one upstream: keep-alive connections, bodies handed on as they arrive,
// a deadline for each wait. Source: RFC 9110, RFC 9112.
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/http.h"

namespace localai::net {

struct Upstream {
  std::string host;  // a name or an address, IPv6 without brackets
  uint16_t port = 80;
  std::string prefix;  // of every path, "" or "/base"
};
// "http://HOST[:PORT][/PREFIX]". Errors: kInvalidArgument; kUnsupported for https.
Result<Upstream> parse_upstream(std::string_view url);

struct ClientRequest {
  std::string method = "GET";
  std::string path = "/";  // after the upstream's prefix
  std::string content_type = "application/json";
  std::string body;
};

struct ClientTimeouts {
  std::chrono::milliseconds connect{2000};
  std::chrono::milliseconds first_byte{30000};  // from the request to the head of the answer
  std::chrono::milliseconds idle{30000};        // between two pieces of the body
};

struct ClientEvents {
  std::function<void(int status)> on_head;
  std::function<void(std::string_view bytes)> on_body;
  // Last, exactly once. Errors: kUnavailable (refused, reset, timed out, cut off), kCorrupt (not
  // HTTP), kCancelled. `sent` tells whether the upstream may have seen the request.
  std::function<void(Status status, bool sent)> on_end;
};

// A call under way; dropping it cancels. Thread-safe, but goes before its client does.
class ClientCall {
 public:
  virtual ~ClientCall() = default;
};

class Client {
 public:
  static std::unique_ptr<Client> create(Upstream upstream);
  // Ends every call with kCancelled and waits for its events.
  virtual ~Client() = default;
  // Returns at once; events come on the client's own thread and must not block.
  virtual std::unique_ptr<ClientCall> send(ClientRequest request, ClientTimeouts timeouts,
                                           ClientEvents events) = 0;
};

struct ClientAnswer {
  int status = 0;
  std::string body;
};
// One whole exchange, waited for. Not on a thread that must not block. An answer of more than
// `body_bytes_max` is kCorrupt. `wanted`, where there is one, is asked now and then: false ends the
// exchange (kCancelled).
Result<ClientAnswer> fetch(Client& client, ClientRequest request, ClientTimeouts timeouts,
                           size_t body_bytes_max = size_t{16} << 20,
                           const std::function<bool()>& wanted = {});

}  // namespace localai::net
