#include "runtime/transformers_stream.h"

#include <algorithm>
#include <utility>

namespace localai::runtime {
namespace {

constexpr size_t kLineBytesMax = size_t{4} << 20;

struct CodeName {
  std::string_view name;
  Code code;
  bool fault;
};
// Codes of the service's error objects; others follow the status.
constexpr CodeName kCodes[] = {
    {"context_length_exceeded", Code::kContextLength, false},
    {"model_not_found", Code::kNotFound, false},
    {"exhausted", Code::kExhausted, false},
    {"unsupported", Code::kUnsupported, false},
    {"unavailable", Code::kUnavailable, false},
    {"in_use", Code::kUnavailable, false},
    {"corrupt", Code::kCorrupt, false},
    {"internal", Code::kInternal, true},
};

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_of(const Json* value) {
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

Error not_the_protocol(std::string_view what) {
  return corrupt("the answer is not what the protocol allows: " + std::string(what));
}

std::optional<uint32_t> count_of(const Json* value) {
  if (value == nullptr || !value->is_number_unsigned() || value->get<uint64_t>() > UINT32_MAX)
    return std::nullopt;
  return value->get<uint32_t>();
}

ServiceFailure failure_of(int status, const Json& error) {
  const std::string code = text_of(member(error, "code"));
  std::string message = text_of(member(error, "message")).substr(0, 2000);
  if (message.empty()) message = "an error without a message (" + std::to_string(status) + ")";
  const auto known = std::find_if(std::begin(kCodes), std::end(kCodes),
                                  [&](const CodeName& entry) { return entry.name == code; });
  if (known != std::end(kCodes)) return {{known->code, std::move(message)}, known->fault};
  if (status == 429) return {exhausted(std::move(message)), false};
  if (status >= 400 && status < 500) return {invalid(std::move(message)), false};
  return {unavailable(std::move(message)), true};
}

std::optional<float> number_of(const Json* value) {
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->get<float>();
}

// {"token", "logprob", "top_logprobs": [{"token", "logprob"}...]} of a chat chunk.
Status read_chat_logprob(const Json& token, TokenDelta& delta) {
  const auto logprob = number_of(member(token, "logprob"));
  if (!logprob) return not_the_protocol("a token without its logprob");
  delta.logprob = engine::TokenLogprob{0, *logprob};
  delta.token_text = text_of(member(token, "token"));
  const Json* top = member(token, "top_logprobs");
  if (top == nullptr || !top->is_array()) return Ok{};
  for (const Json& other : *top)
    delta.top_logprobs.emplace_back(text_of(member(other, "token")),
                                    number_of(member(other, "logprob")).value_or(-9999.f));
  return Ok{};
}

// {"tokens": [t], "token_logprobs": [p], "top_logprobs": [{text: p}]} of a completion's chunk.
Status read_completion_logprob(const Json& logprobs, size_t at, TokenDelta& delta) {
  const auto item = [&](const char* key) -> const Json* {
    const Json* list = member(logprobs, key);
    return list != nullptr && list->is_array() && at < list->size() ? &(*list)[at] : nullptr;
  };
  const auto logprob = number_of(item("token_logprobs"));
  if (!logprob) return not_the_protocol("a token without its logprob");
  delta.logprob = engine::TokenLogprob{0, *logprob};
  delta.token_text = text_of(item("tokens"));
  const Json* top = item("top_logprobs");
  if (top == nullptr || !top->is_object()) return Ok{};
  for (const auto& [text, value] : top->items())
    delta.top_logprobs.emplace_back(text, number_of(&value).value_or(-9999.f));
  return Ok{};
}

// One delta a token, the chunk's text with the first.
Status read_logprobs(bool chat, const Json& logprobs, TokenDelta first,
                     std::vector<GenerateEvent>& out) {
  const Json* tokens = member(logprobs, chat ? "content" : "tokens");
  if (tokens == nullptr || !tokens->is_array()) return not_the_protocol("logprobs without tokens");
  for (size_t i = 0; i < tokens->size(); ++i) {
    TokenDelta delta = std::exchange(first, TokenDelta{});
    LAI_TRY_STATUS(chat ? read_chat_logprob((*tokens)[i], delta)
                        : read_completion_logprob(logprobs, i, delta));
    out.emplace_back(std::move(delta));
  }
  if (tokens->empty()) out.emplace_back(std::move(first));
  return Ok{};
}

}  // namespace

ServiceFailure read_service_failure(int status, std::string_view body) {
  const auto json = parse_json(body);
  const Json* error = json.ok() ? member(*json, "error") : nullptr;
  if (error == nullptr || !error->is_object())
    return {unavailable("status " + std::to_string(status) + " without an error object"), true};
  return failure_of(status, *error);
}

Status AnswerStream::push(std::string_view bytes, std::vector<GenerateEvent>& out) {
  while (!bytes.empty() && !done_) {
    const size_t end = bytes.find('\n');
    pending_ += bytes.substr(0, end);
    if (pending_.size() > kLineBytesMax) return not_the_protocol("a line without an end");
    if (end == std::string_view::npos) return Ok{};
    bytes.remove_prefix(end + 1);
    const std::string whole = std::exchange(pending_, {});
    LAI_TRY_STATUS(line(whole, out));
  }
  return Ok{};
}

// The service writes an event's data in one line; comments, other fields and empty lines say
// nothing.
Status AnswerStream::line(std::string_view text, std::vector<GenerateEvent>& out) {
  constexpr std::string_view kData = "data:";
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (text.empty() || text.starts_with(':')) return Ok{};
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string_view field = text.substr(0, colon);
  if (field == "event" || field == "id" || field == "retry") return Ok{};
  if (!text.starts_with(kData)) return not_the_protocol("a line that is no event");
  text.remove_prefix(kData.size());
  if (text.starts_with(' ')) text.remove_prefix(1);
  return event(text, out);
}

Status AnswerStream::event(std::string_view data, std::vector<GenerateEvent>& out) {
  if (data == "[DONE]") return end(out);
  auto json = parse_json(data);
  if (!json.ok()) return not_the_protocol(json.error().message);
  if (const Json* error = member(*json, "error")) {
    if (!error->is_object()) return not_the_protocol("an error that is no object");
    return failure_of(500, *error).error;
  }
  if (const Json* usage = member(*json, "usage")) {
    const auto prompt = count_of(member(*usage, "prompt_tokens"));
    const auto completion = count_of(member(*usage, "completion_tokens"));
    if (!prompt || !completion) return not_the_protocol("usage without its counts");
    usage_ = Usage{*prompt, 0, *completion};
  }
  const Json* choices = member(*json, "choices");
  if (choices == nullptr || !choices->is_array())
    return not_the_protocol("a chunk without choices");
  for (const Json& one : *choices) LAI_TRY_STATUS(choice(one, out));
  return Ok{};
}

Status AnswerStream::choice(const Json& choice, std::vector<GenerateEvent>& out) {
  const Json* said = &choice;
  if (chat_) said = member(choice, "delta");
  if (said == nullptr || !said->is_object()) return not_the_protocol("a choice without its text");
  TokenDelta delta;
  delta.text = text_of(member(*said, chat_ ? "content" : "text"));
  if (const Json* logprobs = member(choice, "logprobs"))
    LAI_TRY_STATUS(read_logprobs(chat_, *logprobs, std::move(delta), out));
  else if (!delta.text.empty())
    out.emplace_back(std::move(delta));
  const Json* reason = member(choice, "finish_reason");
  if (reason == nullptr) return Ok{};
  if (*reason == "length")
    reason_ = engine::FinishReason::kLength;
  else if (*reason == "stop" || *reason == "tool_calls")
    reason_ = engine::FinishReason::kStop;
  else
    return not_the_protocol("finish_reason " + dump_json(*reason).substr(0, 60));
  return Ok{};
}

Status AnswerStream::end(std::vector<GenerateEvent>& out) {
  if (!reason_) return not_the_protocol("an end without a finish_reason");
  if (!usage_) return not_the_protocol("an end without usage");
  done_ = true;
  Finished finished;
  finished.reason = *reason_;
  finished.usage = *usage_;
  finished.timings.prompt_tokens = usage_->prompt_tokens;
  finished.timings.completion_tokens = usage_->completion_tokens;
  out.emplace_back(finished);
  return Ok{};
}

}  // namespace localai::runtime
