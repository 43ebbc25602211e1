#pragma once
// One generation by a Transformers service, from the request to the last event.
#include <memory>
#include <mutex>
#include <optional>

#include "runtime/backend.h"
#include "runtime/transformers_service.h"
#include "runtime/transformers_stream.h"

namespace localai::runtime {

// The request that asks the service for what `request` says. Errors: kInvalidArgument, naming what
// the service cannot do.
Result<net::ClientRequest> service_request(const ServiceModel& model,
                                           const GenerateRequest& request);

// Its events come from the client's thread. Everything private but `call_` belongs to that thread.
class TransformersCall : public std::enable_shared_from_this<TransformersCall> {
 public:
  // The service outlives the call's last event.
  TransformersCall(TransformersService& service, CircuitBreaker::Permit permit,
                   net::ClientRequest request, std::chrono::seconds timeout, GenerateSink sink);
  // Sends the request, once. `sink` then gets Finished or Failed at last, in any case. A failure
  // before the first text is kUnavailable unless the request is at fault.
  void send();
  // Closes the connection, so that the service stops too. Thread-safe.
  void cancel();

 private:
  void on_body(std::string_view bytes);
  void on_end(const Status& status, bool sent);
  void begin_text();
  void end(GenerateEvent last);
  void fail(Error error, bool fault);

  TransformersService& service_;
  CircuitBreaker::Permit permit_;
  const net::ClientRequest request_;
  const net::ClientTimeouts timeouts_;
  GenerateSink sink_;  // null once the last event is out
  AnswerStream stream_;
  int status_ = 0;
  std::string refusal_;  // body of an answer that is not 200
  std::optional<Finished> finished_;
  bool started_ = false, sent_again_ = false;
  std::chrono::steady_clock::time_point begin_, first_text_;

  std::mutex mutex_;
  std::unique_ptr<net::ClientCall> call_;
  bool cancelled_ = false;
};

}  // namespace localai::runtime
