#pragma once
// What a Transformers service answers, read as bytes of a peer that may say anything: its error
// objects, and its event stream decoded as it arrives. Source: the OpenAI API's chunk objects; HTML
// standard, server-sent events.
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "runtime/backend.h"

namespace localai::runtime {

// An answer of the service that is no success.
struct ServiceFailure {
  Error error;
  bool fault = false;  // the service is at fault, not the request: counts for the breaker
};
// From the status and the body, an OpenAI error object. A body that is none is a fault
// (kUnavailable).
ServiceFailure read_service_failure(int status, std::string_view body);

// A streamed answer with one choice, piece by piece.
class AnswerStream {
 public:
  explicit AnswerStream(bool chat) : chat_(chat) {}

  // Takes further bytes and appends what they say: TokenDelta, and Finished when the stream's end
  // mark is there. Errors: kCorrupt (not what the protocol allows), or what an error event says;
  // nothing may be pushed after one.
  Status push(std::string_view bytes, std::vector<GenerateEvent>& out);
  [[nodiscard]] bool done() const { return done_; }

 private:
  Status line(std::string_view text, std::vector<GenerateEvent>& out);
  Status event(std::string_view data, std::vector<GenerateEvent>& out);
  Status choice(const Json& choice, std::vector<GenerateEvent>& out);
  Status end(std::vector<GenerateEvent>& out);

  const bool chat_;
  std::string pending_;  // a line whose end has not come
  std::optional<engine::FinishReason> reason_;
  std::optional<Usage> usage_;
  bool done_ = false;
};

}  // namespace localai::runtime
