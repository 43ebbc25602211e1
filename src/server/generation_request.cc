#include "server/generation_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/number.h"
#include "server/fields.h"
#include "server/messages.h"

namespace localai::server {
namespace {

constexpr size_t kNameBytesMax = 512;
constexpr size_t kSaltBytesMax = 256;
constexpr size_t kStopsMax = 16, kStopBytesMax = 256;
constexpr size_t kLogitBiasMax = 1024;
constexpr size_t kMetadataMax = 64, kMetadataBytesMax = 4096;
constexpr int64_t kTopLogprobsMax = 20;
constexpr int64_t kTokensMax = INT32_MAX;
constexpr size_t kDomainsMax = 1024;
constexpr size_t kRouteInputBytesMax = 8u << 20;  // the limit of a body

void read_sampling(Fields& fields, runtime::SamplingOverrides& out) {
  const auto number = [&](std::string_view name, double low, double high) -> std::optional<float> {
    const std::optional<double> value = fields.number(name, low, high);
    return value ? std::optional(static_cast<float>(*value)) : std::nullopt;
  };
  out.temperature = number("temperature", 0, 2);
  out.top_p = number("top_p", 0, 1);
  out.min_p = number("min_p", 0, 1);
  out.repetition_penalty = number("repetition_penalty", 0.01, 100);
  out.presence_penalty = number("presence_penalty", -2, 2);
  out.frequency_penalty = number("frequency_penalty", -2, 2);
  if (const auto top_k = fields.integer("top_k", -1, INT32_MAX))
    out.top_k = static_cast<int32_t>(std::max<int64_t>(*top_k, 0));  // -1 and 0: off
  if (const auto seed = fields.integer("seed", INT64_MIN, INT64_MAX))
    out.seed = static_cast<uint64_t>(*seed);
}

void read_logit_bias(Fields& fields, runtime::SamplingOverrides& out) {
  const Json* bias = fields.any("logit_bias");
  if (bias == nullptr) return;
  if (!bias->is_object())
    return fields.fail("logit_bias", fmt::format("must be an object, got {}", json_kind(*bias)),
                       "invalid_type");
  if (bias->size() > kLogitBiasMax)
    return fields.fail("logit_bias",
                       fmt::format("{} entries are more than {}", bias->size(), kLogitBiasMax),
                       "invalid_value");
  for (const auto& [key, value] : bias->items()) {
    const std::optional<int32_t> token = parse_number<int32_t>(key);
    if (!token || *token < 0)
      return fields.fail("logit_bias", "every key must be a token id in decimal", "invalid_value");
    if (!value.is_number() || !(value.get<double>() >= -100 && value.get<double>() <= 100))
      return fields.fail("logit_bias",
                         fmt::format("the value of {} must be a number within -100..100", key),
                         "invalid_value");
    out.logit_bias.emplace_back(*token, value.get<float>());
  }
}

void read_stop(Fields& fields, std::vector<std::string>& out) {
  const Json* stop = fields.any("stop");
  if (stop == nullptr) return;
  if (!stop->is_string() && !stop->is_array())
    return fields.fail(
        "stop", fmt::format("must be a string or an array of strings, got {}", json_kind(*stop)),
        "invalid_type");
  const size_t count = stop->is_string() ? 1 : stop->size();
  if (count > kStopsMax)
    return fields.fail("stop", fmt::format("{} strings are more than {}", count, kStopsMax),
                       "invalid_value");
  for (size_t i = 0; i < count; ++i) {
    const Json& one = stop->is_string() ? *stop : (*stop)[i];
    if (!one.is_string())
      return fields.fail("stop",
                         fmt::format("entry {} must be a string, got {}", i, json_kind(one)),
                         "invalid_type");
    const auto& text = one.get_ref<const std::string&>();
    if (text.empty() || text.size() > kStopBytesMax)
      return fields.fail(
          "stop",
          fmt::format("entry {} has {} bytes, allowed are 1..{}", i, text.size(), kStopBytesMax),
          "invalid_value");
    out.push_back(text);
  }
}

void read_stream(Fields& fields, GenerationRequest& out) {
  out.stream = fields.boolean("stream").value_or(false);
  const Json* options = fields.any("stream_options");
  if (options == nullptr) return;
  if (!options->is_object())
    return fields.fail("stream_options",
                       fmt::format("must be an object, got {}", json_kind(*options)),
                       "invalid_type");
  if (!out.stream)
    return fields.fail("stream_options", "is allowed only with stream: true", "invalid_value");
  Fields inner(*options, "stream_options.");
  out.include_usage = inner.boolean("include_usage").value_or(false);
  inner.unsupported("include_obfuscation", false);
  inner.finish();
  if (inner.error()) fields.fail(*inner.error());
}

// Names of the domains that may answer; null and [] allow all.
void read_domains(Fields& fields, runtime::RouteHints& out) {
  const Json* domains = fields.any("domains");
  if (domains == nullptr) return;
  if (!domains->is_array())
    return fields.fail("domains", fmt::format("must be an array, got {}", json_kind(*domains)),
                       "invalid_type");
  if (domains->size() > kDomainsMax)
    return fields.fail("domains",
                       fmt::format("{} entries are more than {}", domains->size(), kDomainsMax),
                       "invalid_value");
  for (const Json& name : *domains) {
    if (!name.is_string() || name.get_ref<const std::string&>().size() > kNameBytesMax)
      return fields.fail("domains",
                         fmt::format("entry {} must be a string of at most {} bytes",
                                     out.domains.size(), kNameBytesMax),
                         "invalid_type");
    out.domains.push_back(name.get<std::string>());
  }
}

// Fields that have no effect here; their types are checked all the same.
void read_ignored(Fields& fields) {
  for (const char* name : {"user", "service_tier", "safety_identifier", "prompt_cache_key"})
    fields.string(name, kNameBytesMax);
  fields.boolean("store");
}

// The client's own; the router's rules may look at it.
void read_metadata(Fields& fields, Json& out) {
  const Json* metadata = fields.any("metadata");
  if (metadata == nullptr) return;
  if (!metadata->is_object())
    return fields.fail("metadata", fmt::format("must be an object, got {}", json_kind(*metadata)),
                       "invalid_type");
  Fields inner(*metadata, "metadata.");
  if (metadata->size() > kMetadataMax)
    inner.fail("", fmt::format("{} entries are more than {}", metadata->size(), kMetadataMax),
               "invalid_value");
  for (const auto& [key, value] : metadata->items()) inner.string(key, kMetadataBytesMax);
  if (inner.error()) return fields.fail(*inner.error());
  out = *metadata;
}

void read_common(Fields& fields, GenerationRequest& out) {
  out.model = fields.string("model", kNameBytesMax).value_or("");
  read_stream(fields, out);
  if (const auto count = fields.integer("max_tokens", 1, kTokensMax))
    out.generate.max_tokens = static_cast<uint32_t>(*count);
  read_sampling(fields, out.generate.sampling);
  read_logit_bias(fields, out.generate.sampling);
  read_stop(fields, out.generate.stop);
  out.generate.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  out.generate.cache_salt = fields.string("cache_salt", kSaltBytesMax).value_or("");
  read_ignored(fields);
  read_metadata(fields, out.generate.route.metadata);
  read_domains(fields, out.generate.route);
  fields.unsupported("n", 1);
}

void read_chat_max_tokens(Fields& fields, GenerationRequest& out) {
  const auto count = fields.integer("max_completion_tokens", 1, kTokensMax);
  if (!count) return;
  if (out.generate.max_tokens && *out.generate.max_tokens != *count)
    return fields.fail("max_completion_tokens", "differs from max_tokens; send one of them",
                       "invalid_value");
  out.generate.max_tokens = static_cast<uint32_t>(*count);
}

void read_chat_logprobs(Fields& fields, runtime::GenerateRequest& out) {
  out.logprobs = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, kTopLogprobsMax);
  if (!top) return;
  if (!out.logprobs && *top != 0)
    return fields.fail("top_logprobs", "is allowed only with logprobs: true", "invalid_value");
  out.top_logprobs = static_cast<uint32_t>(*top);
}

void refuse_chat_features(Fields& fields) {
  static constexpr std::array kNames = {"tools",
                                        "tool_choice",
                                        "parallel_tool_calls",
                                        "functions",
                                        "function_call",
                                        "audio",
                                        "prediction",
                                        "reasoning_effort",
                                        "verbosity",
                                        "web_search_options",
                                        "moderation",
                                        "prompt_cache_options",
                                        "chat_template",
                                        "chat_template_kwargs",
                                        "prompt_cache_retention",
                                        "guided_json",
                                        "guided_grammar",
                                        "grammar",
                                        "lora"};
  for (const char* name : kNames) fields.unsupported(name);
  fields.unsupported("response_format", {{"type", "text"}});
  fields.unsupported("modalities", Json::array({"text"}));
}

// A prompt of one text or one list of token ids, also as the only entry of an array.
void read_prompt(Fields& fields, runtime::GenerateInput& out) {
  const Json* prompt = fields.any("prompt");
  if (prompt == nullptr) return fields.fail("prompt", "is required", "missing_required_parameter");
  const bool nested = prompt->is_array() && !prompt->empty() && !prompt->front().is_number();
  if (nested && prompt->size() > 1)
    return fields.fail("prompt", "only one prompt in a request is supported by this server",
                       "unsupported_parameter");
  const Json& one = nested ? prompt->front() : *prompt;
  if (one.is_string()) {
    out = one.get<std::string>();
    return;
  }
  if (!one.is_array())
    return fields.fail(
        "prompt", fmt::format("must be a string or an array of token ids, got {}", json_kind(one)),
        "invalid_type");
  std::vector<int32_t> ids;
  ids.reserve(one.size());
  for (const Json& id : one) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX)
      return fields.fail("prompt", fmt::format("entry {} is not a token id", ids.size()),
                         "invalid_value");
    ids.push_back(id.get<int32_t>());
  }
  if (ids.empty()) return fields.fail("prompt", "must not be empty", "invalid_value");
  out = std::move(ids);
}

}  // namespace

namespace {

ParsedRequest parse_chat(const Json& root) {
  GenerationRequest out;
  Fields fields(root, "");
  read_common(fields, out);
  read_chat_max_tokens(fields, out);
  read_chat_logprobs(fields, out.generate);
  refuse_chat_features(fields);
  runtime::ChatInput chat;
  if (auto error = read_messages(fields.any("messages"), chat.messages))
    fields.fail(std::move(*error));
  out.generate.input = std::move(chat);
  fields.finish();
  if (fields.error()) return *fields.error();
  return out;
}

// Takes the image parts out of a chat's messages; whether there were any.
bool take_images(Json& root) {
  const auto messages = root.find("messages");
  if (messages == root.end() || !messages->is_array()) return false;
  bool found = false;
  for (Json& message : *messages) {
    if (!message.is_object()) continue;
    const auto content = message.find("content");
    if (content == message.end() || !content->is_array()) continue;
    Json texts = Json::array();
    for (Json& part : *content) {
      const auto type = part.is_object() ? part.find("type") : part.end();
      const bool image = part.is_object() && type != part.end() &&
                         (*type == "image_url" || *type == "input_image");
      found = found || image;
      if (!image) texts.push_back(std::move(part));
    }
    *content = texts.empty() ? Json("") : std::move(texts);
  }
  return found;
}

ParsedRequest parse_route_input(const Json& root) {
  GenerationRequest out;
  Fields fields(root, "");
  out.model = fields.string("model", kNameBytesMax).value_or("");
  out.generate.input = fields.string("input", kRouteInputBytesMax).value_or("");
  read_metadata(fields, out.generate.route.metadata);
  read_domains(fields, out.generate.route);
  fields.finish();
  if (fields.error()) return *fields.error();
  return out;
}

}  // namespace

ParsedRequest parse_chat_request(std::string_view body) {
  auto parsed = parse_body(body);
  if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
  return parse_chat(std::get<Json>(parsed));
}

ParsedRequest parse_route_request(std::string_view body) {
  auto parsed = parse_body(body);
  if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
  Json& root = std::get<Json>(parsed);
  if (root.contains("input")) return parse_route_input(root);
  const bool images = take_images(root);
  ParsedRequest out = parse_chat(root);
  if (auto* request = std::get_if<GenerationRequest>(&out))
    request->generate.route.has_image = images;
  return out;
}

ParsedRequest parse_completion_request(std::string_view body) {
  auto parsed = parse_body(body);
  if (auto* error = std::get_if<ApiError>(&parsed)) return std::move(*error);
  const Json& root = std::get<Json>(parsed);
  GenerationRequest out;
  Fields fields(root, "");
  read_common(fields, out);
  read_prompt(fields, out.generate.input);
  if (const auto top = fields.integer("logprobs", 0, kTopLogprobsMax)) {
    out.generate.logprobs = true;
    out.generate.top_logprobs = static_cast<uint32_t>(*top);
  }
  fields.unsupported("echo", false);
  fields.unsupported("best_of", 1);
  fields.unsupported("suffix", "");
  fields.finish();
  if (fields.error()) return *fields.error();
  return out;
}

}  // namespace localai::server
