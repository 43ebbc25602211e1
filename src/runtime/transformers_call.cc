#include "runtime/transformers_call.h"

#include <utility>

namespace localai::runtime {
namespace {

using Outcome = CircuitBreaker::Outcome;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr size_t kRefusalBytesMax = size_t{64} << 10;

template <class T>
void set(Json& body, const char* key, const std::optional<T>& value) {
  if (value) body[key] = *value;
}

void set_sampling(const SamplingOverrides& sampling, Json& body) {
  set(body, "temperature", sampling.temperature);
  set(body, "top_p", sampling.top_p);
  set(body, "min_p", sampling.min_p);
  set(body, "repetition_penalty", sampling.repetition_penalty);
  set(body, "presence_penalty", sampling.presence_penalty);
  set(body, "frequency_penalty", sampling.frequency_penalty);
  set(body, "top_k", sampling.top_k);
  set(body, "seed", sampling.seed);
}

// Sets the member that says what to answer; tells whether it is a chat.
bool set_input(const GenerateInput& input, Json& body) {
  if (const auto* text = std::get_if<std::string>(&input)) {
    body["prompt"] = *text;
    return false;
  }
  if (const auto* tokens = std::get_if<std::vector<int32_t>>(&input)) {
    body["prompt"] = *tokens;
    return false;
  }
  const auto& chat = std::get<ChatInput>(input);
  body["messages"] = chat.messages;
  if (chat.tools.is_array() && !chat.tools.empty()) body["tools"] = chat.tools;
  if (chat.template_kwargs.is_object() && !chat.template_kwargs.empty())
    body["chat_template_kwargs"] = chat.template_kwargs;
  return true;
}

}  // namespace

Result<net::ClientRequest> service_request(const ServiceModel& model,
                                           const GenerateRequest& request) {
  if (!request.sampling.logit_bias.empty())
    return invalid("logit_bias: a model of the backend hf-transformers cannot take it");
  Json body = model.placement();
  const bool chat = set_input(request.input, body);
  set_sampling(request.sampling, body);
  set(body, "max_tokens", request.max_tokens);
  if (!request.stop.empty()) body["stop"] = request.stop;
  if (request.ignore_eos) body["ignore_eos"] = true;
  if (request.context_length > 0) body["context_length"] = request.context_length;
  if (request.logprobs && chat) body["logprobs"] = true;
  if (request.logprobs) body[chat ? "top_logprobs" : "logprobs"] = request.top_logprobs;
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  net::ClientRequest out;
  out.method = "POST";
  out.path = chat ? "/v1/chat/completions" : "/v1/completions";
  out.body = dump_json(body);
  return out;
}

TransformersCall::TransformersCall(TransformersService& service, CircuitBreaker::Permit permit,
                                   net::ClientRequest request, std::chrono::seconds timeout,
                                   GenerateSink sink)
    : service_(service),
      permit_(std::move(permit)),
      request_(std::move(request)),
      timeouts_{std::min<std::chrono::milliseconds>(net::ClientTimeouts{}.connect, timeout),
                timeout, timeout},
      sink_(std::move(sink)),
      stream_(request_.path == "/v1/chat/completions"),
      begin_(std::chrono::steady_clock::now()) {}

void TransformersCall::send() {
  const auto self = shared_from_this();
  auto call = service_.client().send(
      request_, timeouts_,
      {.on_head = [self](int status) { self->status_ = status; },
       .on_body = [self](std::string_view bytes) { self->on_body(bytes); },
       .on_end = [self](const Status& status, bool sent) { self->on_end(status, sent); }});
  const std::lock_guard lock(mutex_);
  if (!cancelled_) call_ = std::move(call);  // else dropped: the connection closes
}

void TransformersCall::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  call_.reset();
}

void TransformersCall::on_body(std::string_view bytes) {
  if (!sink_) return;
  if (status_ != 200) {
    refusal_ += bytes.substr(0, kRefusalBytesMax - std::min(kRefusalBytesMax, refusal_.size()));
    return;
  }
  std::vector<GenerateEvent> events;
  Status status = stream_.push(bytes, events);
  for (GenerateEvent& event : events) {
    begin_text();
    // The last event waits for the end of the answer, so that its connection can be used again.
    if (auto* finished = std::get_if<Finished>(&event))
      finished_ = *finished;
    else
      sink_(std::move(event));
  }
  if (!status.ok()) fail(std::move(status.error()), true);
}

void TransformersCall::on_end(const Status& status, bool sent) {
  if (!sink_) return;
  if (finished_) {
    const auto now = std::chrono::steady_clock::now();
    finished_->timings.prefill_ms = Milliseconds(first_text_ - begin_).count();
    finished_->timings.decode_ms = Milliseconds(now - first_text_).count();
    permit_.report(Outcome::kSuccess);
    return end(*finished_);
  }
  if (!status.ok() && status.error().code == Code::kCancelled) {
    Finished finished;
    finished.reason = engine::FinishReason::kCancelled;
    permit_.report(Outcome::kUnknown);
    return end(finished);
  }
  if (!status.ok() && !sent && !std::exchange(sent_again_, true)) return send();
  if (!status.ok()) return fail(status.error(), true);
  if (status_ == 200) return fail(unavailable("the answer broke off before its end"), true);
  ServiceFailure failure = read_service_failure(status_, refusal_);
  fail(std::move(failure.error), failure.fault);
}

void TransformersCall::begin_text() {
  if (std::exchange(started_, true)) return;
  first_text_ = std::chrono::steady_clock::now();
  sink_(Started{});
}

// Another model may answer as long as nothing was said; a bad request stays one.
void TransformersCall::fail(Error error, bool fault) {
  permit_.report(fault ? Outcome::kFailure : Outcome::kSuccess);
  const bool of_request = error.code == Code::kInvalidArgument ||
                          error.code == Code::kContextLength || error.code == Code::kUnsupported;
  const bool busy = status_ == 429;
  if (!of_request && !busy) error.code = Code::kUnavailable;
  end(Failed{std::move(error).at("Transformers service " + service_.url())});
}

// The connection closes unless its answer was read whole.
void TransformersCall::end(GenerateEvent last) {
  cancel();
  std::exchange(sink_, nullptr)(std::move(last));
}

}  // namespace localai::runtime
