#include "server/embedding_session.h"

#include <utility>

#include "server/renderer.h"

namespace localai::server {

void EmbeddingSession::start(runtime::Service& service, EmbeddingCall call,
                             std::shared_ptr<net::Sink> sink) {
  std::vector<engine::EmbeddingInput> inputs = std::move(call.inputs);
  const std::string model = call.model;
  const std::shared_ptr<EmbeddingSession> session(
      new EmbeddingSession(std::move(call), std::move(sink)));
  // Until the exchange ends, its callback keeps the session, and the session keeps the sink.
  session->sink_->on_end([session](net::EndReason) { session->on_end(); });
  session->hold(service.embed(
      model, std::move(inputs),
      [session](const Result<runtime::EmbeddingAnswer>& answer) { session->answer(answer); }));
}

void EmbeddingSession::hold(runtime::Generation ticket) {
  const std::lock_guard lock(mutex_);
  if (!ended_) ticket_.swap(ticket);  // else the client has gone already: dropped below
}

void EmbeddingSession::on_end() {
  runtime::Generation dropped;  // destroyed without the lock
  const std::lock_guard lock(mutex_);
  ended_ = true;
  dropped.swap(ticket_);
}

void EmbeddingSession::answer(const Result<runtime::EmbeddingAnswer>& answer) {
  if (!answer.ok()) return sink_->respond(error_response(from_error(answer.error())));
  const auto rendered = render_embeddings(call_, *answer);
  if (const auto* error = std::get_if<ApiError>(&rendered))
    return sink_->respond(error_response(*error));
  net::Response response;
  response.headers = resolution_headers(answer->resolution);
  response.body = dump_json(std::get<Json>(rendered));
  sink_->respond(std::move(response));
}

}  // namespace localai::server
