#pragma once
// One generation between the service and one client: the state machine behind streamed and whole
// answers of every dialect.
#include <memory>
#include <mutex>
#include <optional>

#include "net/http.h"
#include "runtime/service.h"
#include "server/generation_request.h"
#include "server/renderer.h"

namespace localai::server {

// Thread-safe: events come from the service's threads, the end of the exchange from an io thread.
// It lives as long as one of these holds it. A client that goes away drops the generation.
class GenerationSession : public std::enable_shared_from_this<GenerationSession> {
 public:
  static void start(runtime::Service& service, GenerationRequest request,
                    std::unique_ptr<Renderer> renderer, std::shared_ptr<net::Sink> sink);

 private:
  GenerationSession(const GenerationRequest& request, std::unique_ptr<Renderer> renderer,
                    std::shared_ptr<net::Sink> sink);

  void hold(runtime::Generation generation);
  void on_end();
  void on_ready(Result<runtime::Resolution> resolution);
  void on_event(runtime::GenerateEvent event);
  void on_writable();
  void on_progress(const std::string& line);

  // These are called with mutex_ held, so that what the client reads has the order of the events.
  void fail(const Error& error);
  void begin(net::Headers headers);
  void open_stream();
  void add(runtime::TokenDelta delta);
  void flush();
  void finish(const runtime::Finished& finished);
  void send(Json chunk);

  const bool stream_, include_usage_, logprobs_;
  const std::unique_ptr<Renderer> renderer_;
  const std::shared_ptr<net::Sink> sink_;

  std::mutex mutex_;
  runtime::Generation generation_;
  AnswerHead head_;
  Piece pending_;            // not sent yet: all of a whole answer, or what a full buffer held back
  size_t token_offset_ = 0;  // characters of all tokens seen
  bool ended_ = false, done_ = false;
  bool open_ = false;    // the stream has begun: failures are events
  bool opened_ = false;  // its first chunk is sent
};

// 24 random characters for ids of answers; unique, not secret.
std::string random_id();

}  // namespace localai::server
