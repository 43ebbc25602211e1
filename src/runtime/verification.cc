#include "runtime/verification.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/logits.h"
#include "runtime/transformers_stream.h"

namespace localai::runtime {
namespace {

using std::chrono::seconds;

constexpr size_t kGreedyBytesMax = size_t{4} << 20;

// Never below zero by rounding; infinite when it is no number.
double divergence(std::span<const float> reference, std::span<const float> other) {
  const double kl = engine::kl_divergence(reference, engine::log_sum_exp(reference), other,
                                          engine::log_sum_exp(other));
  return std::isfinite(kl) ? std::max(kl, 0.0) : std::numeric_limits<double>::infinity();
}

Result<std::vector<int32_t>> token_ids(const Json& answer, const char* key) {
  std::vector<int32_t> out;
  const auto list = answer.find(key);
  if (list == answer.end() || !list->is_array())
    return corrupt(std::string("the answer has no list '") + key + "'");
  for (const Json& item : *list) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > INT32_MAX)
      return corrupt(std::string("'") + key + "' holds what is no token id");
    out.push_back(item.get<int32_t>());
  }
  return out;
}

}  // namespace

void LogitDistance::add(std::span<const float> reference, std::span<const float> other,
                        size_t vocab) {
  LAI_CHECK(vocab > 0 && reference.size() == other.size() && reference.size() % vocab == 0);
  for (size_t at = 0; at < reference.size(); at += vocab) {
    const auto p = reference.subspan(at, vocab), q = other.subspan(at, vocab);
    const double kl = divergence(p, q);
    ++positions;
    sum_kl += kl;
    max_kl = std::max(max_kl, kl);
    same_first += engine::first_choice(p) == engine::first_choice(q) ? 1 : 0;
  }
}

void LogitDistance::add(const LogitDistance& more) {
  positions += more.positions;
  same_first += more.same_first;
  sum_kl += more.sum_kl;
  max_kl = std::max(max_kl, more.max_kl);
}

std::optional<size_t> first_difference(std::span<const int32_t> a, std::span<const int32_t> b) {
  const auto [at, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (at == a.end() && other == b.end()) return std::nullopt;
  return static_cast<size_t>(at - a.begin());
}

Result<std::string> ServiceVerifier::post(const char* path, Json body, size_t bytes_max) {
  body.update(model.placement());
  net::ClientRequest request;
  request.method = "POST";
  request.path = path;
  request.body = dump_json(body);
  const seconds limit(model.timeout_seconds);
  const std::string where = "Transformers service " + service.url();
  LAI_TRY(net::ClientAnswer answer,
          net::fetch(service.client(), std::move(request), {seconds(2), limit, limit}, bytes_max),
          where);
  if (answer.status == 200) return std::move(answer.body);
  if (answer.status == 404 && answer.body.find("unknown_url") != std::string::npos)
    return unsupported(where + " offers no " + path + ": start it with TRANSFORMERS_VERIFY=1");
  return read_service_failure(answer.status, answer.body).error.at(where);
}

Result<std::vector<float>> ServiceVerifier::logits(std::span<const int32_t> tokens, size_t first,
                                                   size_t vocab) {
  LAI_CHECK(first < tokens.size());
  const size_t rows = tokens.size() - first;
  const size_t bytes = rows * vocab * sizeof(float);
  LAI_TRY(const std::string body,
          post("/v1/verify/logits",
               {{"tokens", std::vector<int32_t>(tokens.begin(), tokens.end())}, {"first", first}},
               2 * bytes));
  if (body.size() != bytes)
    return corrupt("Transformers service " + service.url() + ": " + std::to_string(body.size()) +
                   " bytes of logits for " + std::to_string(rows) + " positions, not " +
                   std::to_string(bytes) + ": its vocabulary is not the " + std::to_string(vocab) +
                   " entries that the native engine has");
  std::vector<float> out(rows * vocab);
  std::memcpy(out.data(), body.data(), bytes);
  return out;
}

Result<ServiceVerifier::Greedy> ServiceVerifier::greedy(std::string_view text,
                                                        std::span<const int32_t> prompt_tokens,
                                                        uint32_t max_tokens) {
  Json body = {{"text", text},
               {"tokens", std::vector<int32_t>(prompt_tokens.begin(), prompt_tokens.end())},
               {"max_tokens", max_tokens}};
  LAI_TRY(const std::string answer, post("/v1/verify/greedy", std::move(body), kGreedyBytesMax));
  LAI_TRY(const Json json, parse_json(answer));
  if (!json.is_object()) return corrupt("the service's answer is no JSON object");
  Greedy out;
  LAI_TRY(out.prompt, token_ids(json, "prompt"));
  LAI_TRY(out.tokens, token_ids(json, "tokens"));
  const auto said = json.find("answer");
  if (said == json.end() || !said->is_string()) return corrupt("the answer has no 'answer'");
  out.answer = said->get<std::string>();
  return out;
}

}  // namespace localai::runtime
