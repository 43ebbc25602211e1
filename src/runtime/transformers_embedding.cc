#include "runtime/transformers_embedding.h"

#include <mutex>
#include <utility>

#include "runtime/transformers_stream.h"

namespace localai::runtime {
namespace {

using Outcome = CircuitBreaker::Outcome;

constexpr size_t kAnswerBytesMax = size_t{256} << 20;
constexpr uint32_t kDimensionMax = 1u << 16;

Error bad_answer(const char* what) {
  return unavailable(std::string("the answer to a request for embeddings has ") + what);
}

// The vectors of {"data": [{"index", "embedding": [...]}], "usage": {"prompt_tokens"}}.
Result<engine::Embeddings> read_embeddings(std::string_view body, size_t count) {
  const auto json = parse_json(body);
  if (!json.ok() || !json->is_object()) return bad_answer("no JSON object");
  const auto data = json->find("data");
  if (data == json->end() || !data->is_array() || data->size() != count)
    return bad_answer("not one vector an input");
  engine::Embeddings out;
  for (const Json& item : *data) {
    if (!item.is_object() ||
        item.value("index", Json()) != out.values.size() / std::max(1u, out.dimension))
      return bad_answer("its vectors out of order");
    const auto vector = item.find("embedding");
    if (vector == item.end() || !vector->is_array() || vector->empty() ||
        vector->size() > kDimensionMax || (out.dimension != 0 && vector->size() != out.dimension))
      return bad_answer("a vector of another length");
    out.dimension = static_cast<uint32_t>(vector->size());
    for (const Json& value : *vector) {
      if (!value.is_number()) return bad_answer("a vector that is not all numbers");
      out.values.push_back(value.get<float>());
    }
  }
  const auto usage = json->find("usage");
  if (usage == json->end() || !usage->is_object() || !usage->contains("prompt_tokens") ||
      !(*usage)["prompt_tokens"].is_number_unsigned())
    return bad_answer("no usage");
  out.tokens = (*usage)["prompt_tokens"].get<uint64_t>();
  return out;
}

// One request. All but `call_` belongs to the client's thread.
class EmbeddingCall : public std::enable_shared_from_this<EmbeddingCall> {
 public:
  EmbeddingCall(TransformersService& service, CircuitBreaker::Permit permit, size_t count,
                EmbeddingSink sink)
      : service_(service), permit_(std::move(permit)), count_(count), sink_(std::move(sink)) {}

  void start(net::ClientRequest request, std::chrono::seconds timeout, std::stop_token stop) {
    const net::ClientTimeouts timeouts{net::ClientTimeouts{}.connect, timeout, timeout};
    const auto self = shared_from_this();
    auto call = service_.client().send(
        std::move(request), timeouts,
        {.on_head = [self](int status) { self->status_ = status; },
         .on_body = [self](std::string_view bytes) { self->on_body(bytes); },
         .on_end = [self](Status status, bool) { self->on_end(std::move(status)); }});
    {
      const std::lock_guard lock(mutex_);
      if (!ended_) call_ = std::move(call);
    }
    auto watch = std::make_unique<Watch>(std::move(stop), [weak = weak_from_this()] {
      if (const auto alive = weak.lock()) alive->cancel();
    });
    const std::lock_guard lock(mutex_);
    if (!ended_) watch_ = std::move(watch);
  }

 private:
  using Watch = std::stop_callback<std::function<void()>>;

  void cancel() {
    std::unique_ptr<net::ClientCall> call;
    const std::lock_guard lock(mutex_);
    call = std::move(call_);
  }

  void on_body(std::string_view bytes) {
    too_long_ = too_long_ || body_.size() + bytes.size() > kAnswerBytesMax;
    if (!too_long_) body_ += bytes;
  }

  void on_end(Status status) {
    std::unique_ptr<Watch> watch;  // dropped without the lock
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      call_.reset();
      watch.swap(watch_);
    }
    bool fault = true;
    Result<engine::Embeddings> answer = read(std::move(status), fault);
    const bool cancelled = !answer.ok() && answer.error().code == Code::kCancelled;
    permit_.report(cancelled               ? Outcome::kUnknown
                   : !answer.ok() && fault ? Outcome::kFailure
                                           : Outcome::kSuccess);
    if (!answer.ok())
      answer = std::move(answer.error()).at("Transformers service " + service_.url());
    std::exchange(sink_, nullptr)(std::move(answer));
  }

  Result<engine::Embeddings> read(Status status, bool& fault) {
    if (!status.ok()) return std::move(status.error());
    if (too_long_) return bad_answer("too many bytes");
    if (status_ == 200) return read_embeddings(body_, count_);
    ServiceFailure failure = read_service_failure(status_, body_);
    fault = failure.fault;
    return std::move(failure.error);
  }

  TransformersService& service_;
  CircuitBreaker::Permit permit_;
  const size_t count_;
  EmbeddingSink sink_;
  int status_ = 0;
  std::string body_;
  bool too_long_ = false;

  std::mutex mutex_;
  bool ended_ = false;
  std::unique_ptr<net::ClientCall> call_;
  std::unique_ptr<Watch> watch_;
};

}  // namespace

Status start_embedding(TransformersService& service, const ServiceModel& model,
                       const std::vector<engine::EmbeddingInput>& inputs, std::stop_token stop,
                       EmbeddingSink sink) {
  Json body = model.placement();
  body["encoding_format"] = "float";
  body["input"] = Json::array();
  for (const engine::EmbeddingInput& input : inputs) {
    const auto* text = std::get_if<std::string>(&input);
    if (text == nullptr)
      return invalid("input: a model of the backend hf-transformers takes texts, no token ids");
    body["input"].push_back(*text);
  }
  LAI_TRY(CircuitBreaker::Permit permit, service.admit());
  net::ClientRequest request;
  request.method = "POST";
  request.path = "/v1/embeddings";
  request.body = dump_json(body);
  auto call =
      std::make_shared<EmbeddingCall>(service, std::move(permit), inputs.size(), std::move(sink));
  call->start(std::move(request), std::chrono::seconds(model.timeout_seconds), std::move(stop));
  return Ok{};
}

}  // namespace localai::runtime
