#include "runtime/transformers_service.h"

#include <algorithm>

#include "base/log.h"
#include "runtime/transformers_stream.h"

namespace localai::runtime {
namespace {

using std::chrono::milliseconds;
using Outcome = CircuitBreaker::Outcome;

constexpr milliseconds kConnectLimit{2000};
// Of calls that need no model.
constexpr milliseconds kShortLimit{5000};
constexpr size_t kAnswerBytesMax = size_t{1} << 20;

uint64_t number_of(const Json& answer, const char* key) {
  const auto found = answer.find(key);
  return found != answer.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

}  // namespace

std::filesystem::path ServiceModel::identity() const {
  std::string text = (base_url.empty() ? "transformers" : base_url) + "/" + name;
  if (!dtype.empty()) text += "?dtype=" + dtype;
  if (!quantization.is_null())
    text += (dtype.empty() ? "?" : "&") + ("quantization=" + dump_json(quantization));
  return text;
}

Json ServiceModel::placement() const {
  Json out = {{"model", name}};
  if (!dtype.empty()) out["dtype"] = dtype;
  if (!quantization.is_null()) out["quantization"] = quantization;
  return out;
}

TransformersService::TransformersService(std::string url, net::Upstream upstream,
                                         BreakerOptions breaker)
    : url_(std::move(url)),
      breaker_(std::move(breaker)),
      client_(net::Client::create(std::move(upstream))) {}

Result<std::unique_ptr<TransformersService>> TransformersService::create(const std::string& url,
                                                                         BreakerOptions breaker) {
  LAI_TRY(net::Upstream upstream, net::parse_upstream(url));
  return std::unique_ptr<TransformersService>(
      new TransformersService(url, std::move(upstream), std::move(breaker)));
}

Result<CircuitBreaker::Permit> TransformersService::admit() {
  auto permit = breaker_.admit();
  if (permit) return std::move(*permit);
  const auto retry = breaker_.snapshot().retry_in;
  return unavailable("Transformers service " + url_ +
                     ": it failed too often; not asked again for " +
                     std::to_string((retry.count() + 999) / 1000) + " s");
}

Result<Json> TransformersService::call(net::ClientRequest request, milliseconds limit,
                                       const std::function<bool()>& wanted) {
  const std::string where = "Transformers service " + url_;
  const net::ClientTimeouts timeouts{std::min(kConnectLimit, limit), limit, limit};
  LAI_TRY(const net::ClientAnswer answer,
          net::fetch(*client_, std::move(request), timeouts, kAnswerBytesMax, wanted), where);
  if (answer.status != 200) {
    ServiceFailure failure = read_service_failure(answer.status, answer.body);
    return std::move(failure.error).at(where);
  }
  auto json = parse_json(answer.body);
  if (!json.ok() || !json->is_object())
    return unavailable(where + ": the answer is no JSON object");
  return json;
}

// An answer, also one that refuses, shows that the service is well.
Result<Json> TransformersService::post(const char* path, const Json& body, milliseconds limit,
                                       const std::function<bool()>& wanted) {
  LAI_TRY(CircuitBreaker::Permit permit, admit());
  net::ClientRequest request;
  request.method = "POST";
  request.path = path;
  request.body = dump_json(body);
  auto answer = call(std::move(request), limit, wanted);
  Outcome outcome = Outcome::kSuccess;
  if (!answer.ok() && answer.error().code == Code::kCancelled) outcome = Outcome::kUnknown;
  if (!answer.ok() && answer.error().code == Code::kUnavailable) outcome = Outcome::kFailure;
  permit.report(outcome);
  return answer;
}

Result<uint64_t> TransformersService::predicted_bytes(const ServiceModel& model) {
  LAI_TRY(const Json answer, post("/v1/models/plan", model.placement(), kShortLimit, {}));
  return number_of(answer, "bytes");
}

Result<TransformersService::Loaded> TransformersService::load(const ServiceModel& model,
                                                              const std::function<bool()>& wanted) {
  LAI_TRY(const Json answer, post("/v1/models/load", model.placement(),
                                  std::chrono::seconds(model.timeout_seconds), wanted));
  Loaded loaded;
  loaded.bytes = number_of(answer, "bytes");
  loaded.context_length =
      static_cast<uint32_t>(std::min<uint64_t>(number_of(answer, "context_length"), UINT32_MAX));
  return loaded;
}

void TransformersService::unload(const ServiceModel& model) {
  auto answer = post("/v1/models/unload", model.placement(), kShortLimit, {});
  if (!answer.ok()) log::info("unload of '{}': {}", model.name, answer.error().message);
}

Result<Json> TransformersService::health() {
  net::ClientRequest request;
  request.path = "/health";
  return call(std::move(request), kShortLimit, {});
}

}  // namespace localai::runtime
