#pragma once
// One request's answer between the threads that write it and the connection that sends it: framing,
// a buffer with a limit, and who is told of the end. Knows no socket.
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "net/http.h"

namespace localai::net {

struct ExchangeOptions {
  std::string request_id;
  bool http_1_1 = true;     // chunked streams; without it a stream ends with the connection
  bool keep_alive = true;   // what the head promises
  bool head_only = false;   // HEAD: no body is sent
  size_t buffer_bytes_max;  // beyond it the sink is not writable
};

// Thread-safe. The connection calls take(), sent() and end(); everyone else uses make_sink().
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  // `wake` is called, from any thread and under a lock, when take() has something new.
  Exchange(ExchangeOptions options, std::function<void()> wake);

  // The handler's end: answers 500, or breaks the stream, when dropped before it was finished.
  std::shared_ptr<Sink> make_sink();

  struct Output {
    std::string bytes;
    bool last = false;    // nothing follows
    bool broken = false;  // a stream whose end is missing: close, do not end it
  };
  Output take();
  void sent();  // all that take() gave is with the kernel
  [[nodiscard]] bool streaming() const;
  // A comment line when the stream is open and empty, so that proxies and dead peers show.
  void heartbeat();
  void drop_keep_alive();  // for answers whose head is not written yet
  [[nodiscard]] bool keeps_alive() const;
  // Ends the exchange: later writes do nothing, callbacks are told and forgotten. Idempotent.
  void end(EndReason reason);

 private:
  friend class ExchangeSink;
  enum class State { kWaiting, kStreaming, kFinished, kBroken };

  void respond(Response response);
  void begin_stream(Headers headers);
  bool write(std::string_view bytes);
  void finish();
  void abandon();
  [[nodiscard]] bool writable() const;
  void on_writable(std::function<void()> callback);
  void on_end(std::function<void(EndReason)> callback);

  void append_head(int status, Headers headers);
  void append_chunk(std::string_view bytes);

  mutable std::mutex mutex_;
  ExchangeOptions options_;
  std::function<void()> wake_;
  std::function<void()> on_writable_;
  std::function<void(EndReason)> on_end_;
  State state_ = State::kWaiting;
  std::optional<EndReason> ended_;
  std::string waiting_;
  size_t in_flight_bytes_ = 0;
  bool was_full_ = false;
};

}  // namespace localai::net
