#include "server/generation_session.h"

#include <chrono>
#include <random>

#include "server/api_error.h"

namespace localai::server {

std::string random_id() {
  static constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::uniform_int_distribution<size_t> digit(0, sizeof kDigits - 2);
  std::string out(24, '0');
  for (char& c : out) c = kDigits[digit(random)];
  return out;
}

GenerationSession::GenerationSession(const GenerationRequest& request,
                                     std::unique_ptr<Renderer> renderer,
                                     std::shared_ptr<net::Sink> sink)
    : stream_(request.stream),
      include_usage_(request.include_usage),
      logprobs_(request.generate.logprobs),
      renderer_(std::move(renderer)),
      sink_(std::move(sink)) {
  head_.id = std::string(renderer_->id_prefix()) + random_id();
  head_.created_unix = std::chrono::duration_cast<std::chrono::seconds>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count();
}

void GenerationSession::start(runtime::Service& service, GenerationRequest request,
                              std::unique_ptr<Renderer> renderer, std::shared_ptr<net::Sink> sink) {
  const std::shared_ptr<GenerationSession> session(
      new GenerationSession(request, std::move(renderer), std::move(sink)));
  // Until the exchange ends, its callbacks keep the session, and the session keeps the sink.
  session->sink_->on_end([session](net::EndReason) { session->on_end(); });
  session->sink_->on_writable([session] { session->on_writable(); });
  if (request.stream && request.progress) {
    session->begin({});
    request.generate.progress = [weak = std::weak_ptr(session)](const std::string& line) {
      if (const auto self = weak.lock()) self->on_progress(line);
    };
  }
  session->hold(service.start(
      std::move(request.model), std::move(request.generate),
      [session](Result<runtime::Resolution> resolution) {
        session->on_ready(std::move(resolution));
      },
      [session](runtime::GenerateEvent event) { session->on_event(std::move(event)); }));
}

void GenerationSession::hold(runtime::Generation generation) {
  const std::lock_guard lock(mutex_);
  if (!ended_) generation_.swap(generation);  // else the client has gone already: dropped below
}

void GenerationSession::on_end() {
  runtime::Generation dropped;  // destroyed without the lock: that may wait for an event's callback
  const std::lock_guard lock(mutex_);
  ended_ = true;
  dropped.swap(generation_);
}

void GenerationSession::on_ready(Result<runtime::Resolution> resolution) {
  const std::lock_guard lock(mutex_);
  if (resolution.ok())
    head_.resolution = std::move(*resolution);
  else
    fail(resolution.error());
}

void GenerationSession::on_event(runtime::GenerateEvent event) {
  const std::lock_guard lock(mutex_);
  if (done_) return;
  if (std::holds_alternative<runtime::Started>(event))
    open_stream();
  else if (auto* delta = std::get_if<runtime::TokenDelta>(&event))
    add(std::move(*delta));
  else if (const auto* finished = std::get_if<runtime::Finished>(&event))
    finish(*finished);
  else if (const auto* failed = std::get_if<runtime::Failed>(&event))
    fail(failed->error);
}

void GenerationSession::on_writable() {
  const std::lock_guard lock(mutex_);
  if (!done_) flush();
}

// A comment line: clients of event streams skip it.
void GenerationSession::on_progress(const std::string& line) {
  std::string comment = ": " + line;
  for (char& c : comment)
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  const std::lock_guard lock(mutex_);
  if (!done_ && !opened_) sink_->write(comment + "\n\n");
}

// Before the first byte a failure is a status; in an open stream it is a last event.
void GenerationSession::fail(const Error& error) {
  if (done_) return;
  done_ = true;
  if (open_) {
    sink_->write(net::sse_event(dump_json(error_json(from_error(error)))));
    sink_->finish();
    return;
  }
  net::Response response = error_response(from_error(error));
  if (!head_.resolution.model.empty())
    for (net::Header& header : resolution_headers(head_.resolution))
      response.headers.push_back(std::move(header));
  sink_->respond(std::move(response));
}

void GenerationSession::begin(net::Headers headers) {
  if (open_) return;
  open_ = true;
  sink_->begin_stream(std::move(headers));
}

void GenerationSession::open_stream() {
  if (!stream_ || opened_) return;
  begin(resolution_headers(head_.resolution));
  opened_ = true;
  send(renderer_->opening(head_));
}

void GenerationSession::add(runtime::TokenDelta delta) {
  open_stream();
  pending_.text += delta.text;
  if (logprobs_ && delta.logprob) {
    if (pending_.tokens.empty()) pending_.token_offset = token_offset_;
    token_offset_ += count_characters(delta.token_text);
    pending_.tokens.push_back(
        {std::move(delta.token_text), delta.logprob->logprob, std::move(delta.top_logprobs)});
  }
  // A reader that does not keep up gets fewer and larger pieces; on_writable goes on.
  if (stream_ && sink_->writable()) flush();
}

void GenerationSession::flush() {
  if (!stream_ || !open_ || (pending_.text.empty() && pending_.tokens.empty())) return;
  send(renderer_->piece(head_, pending_));
  pending_ = {};
}

void GenerationSession::finish(const runtime::Finished& finished) {
  if (finished.reason == engine::FinishReason::kCancelled)
    return fail(unavailable("the generation was cancelled by the server"));
  const std::string_view reason =
      finished.reason == engine::FinishReason::kLength ? "length" : "stop";
  open_stream();
  done_ = true;
  if (!stream_) {
    net::Response response;
    response.headers = resolution_headers(head_.resolution);
    response.body = dump_json(renderer_->whole(head_, pending_, reason, finished.usage));
    sink_->respond(std::move(response));
    return;
  }
  flush();
  send(renderer_->closing(head_, reason));
  if (include_usage_)
    sink_->write(net::sse_event(dump_json(renderer_->usage(head_, finished.usage))));
  sink_->write(net::sse_event("[DONE]"));
  sink_->finish();
}

void GenerationSession::send(Json chunk) {
  if (include_usage_) chunk["usage"] = nullptr;  // the last chunk alone has it
  sink_->write(net::sse_event(dump_json(chunk)));
}

}  // namespace localai::server
