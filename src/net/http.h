#pragma once
// HTTP as handlers see it: a request in, a sink for the answer out. No socket and no library type.
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace localai::net {

struct Header {
  std::string name, value;
};
using Headers = std::vector<Header>;

struct Request {
  std::string method;  // "GET"
  std::string path;    // of the target before '?', still percent-encoded
  std::string query;   // after '?', without it
  Headers headers;     // names in lower case, in the order of arrival
  std::string body;
  std::string id;  // goes out as x-request-id

  // Value of the first header `name` (lower case), or "".
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  Headers headers;
  std::string body;
};

enum class EndReason : uint8_t {
  kSent,          // the whole answer was handed to the kernel
  kDisconnected,  // the client went away
  kSlowReader,    // the client took nothing for too long
  kShutdown,      // the drain limit passed
};

// Where one answer goes: respond(), or begin_stream(), write()... and finish(). Thread-safe; calls
// never block, and calls after the end do nothing. Dropping the last reference to a sink that was
// not answered sends a 500.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void respond(Response response) = 0;
  // Status 200 and text/event-stream.
  virtual void begin_stream(Headers headers) = 0;
  // Bytes of the event stream (sse_event); false once the exchange has ended.
  virtual bool write(std::string_view bytes) = 0;
  virtual void finish() = 0;
  // False while more than Limits::stream_buffer_bytes_max wait for the client: hold text back until
  // on_writable. A write is taken all the same.
  [[nodiscard]] virtual bool writable() const = 0;
  // Called on an io thread when a full buffer has run half empty.
  virtual void on_writable(std::function<void()> callback) = 0;
  // Called once on an io thread when the exchange is over, whoever ended it; at once when it is.
  virtual void on_end(std::function<void(EndReason)> callback) = 0;
};

// Runs on an io thread and must not block: slow work belongs to another thread, which keeps `sink`.
using Handler = std::function<void(Request request, std::shared_ptr<Sink> sink)>;

std::string_view status_text(int status);  // "Not Found"

// The head of an answer. Bytes of header values that may not stand there are percent-encoded.
// Source: RFC 9112 section 4, RFC 9110 section 5.5.
std::string render_head(int status, const Headers& headers);

// "%2F" to "/"; false when an escape is malformed, or the result holds NUL or is not UTF-8.
bool percent_decode(std::string_view text, std::string& out);

// One server-sent event. Source: WHATWG HTML, section 9.2 "Server-sent events".
std::string sse_event(std::string_view data);

}  // namespace localai::net
