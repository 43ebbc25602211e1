#include "server/messages.h"

#include <fmt/format.h>

#include "server/fields.h"

namespace localai::server {
namespace {

constexpr size_t kMessagesMax = 4096;
constexpr size_t kPartsMax = 64;
constexpr size_t kNameBytesMax = 64;

void read_role(Fields& fields, Json& out) {
  const std::optional<std::string> role = fields.string("role", kNameBytesMax);
  if (!role) return fields.fail("role", "is required", "missing_required_parameter");
  if (*role == "tool" || *role == "function")
    return fields.fail("role", fmt::format("'{}' is not supported by this server", *role),
                       "unsupported_parameter");
  if (*role != "system" && *role != "developer" && *role != "user" && *role != "assistant")
    return fields.fail("role", "must be 'system', 'developer', 'user' or 'assistant'",
                       "invalid_value");
  out["role"] = *role == "developer" ? "system" : *role;
}

// The text of one part {"type": "text", "text": "..."}.
std::optional<std::string> read_part(Fields& fields, const Json& part, size_t i) {
  const std::string name = fmt::format("content[{}]", i);
  if (!part.is_object()) {
    fields.fail(name, fmt::format("must be an object, got {}", json_kind(part)), "invalid_type");
    return std::nullopt;
  }
  const auto type = part.find("type");
  if (type == part.end() || *type != "text") {
    fields.fail(name + ".type", "only 'text' is supported by this server", "unsupported_parameter");
    return std::nullopt;
  }
  const auto text = part.find("text");
  if (text == part.end() || !text->is_string()) {
    fields.fail(name + ".text", "must be a string", "invalid_type");
    return std::nullopt;
  }
  for (const auto& [key, value] : part.items())
    if (key != "type" && key != "text") {
      fields.fail(name, "has a field beside 'type' and 'text'", "unknown_parameter");
      return std::nullopt;
    }
  return text->get<std::string>();
}

void read_content(Fields& fields, Json& out) {
  const Json* content = fields.any("content");
  if (content == nullptr)
    return fields.fail("content", "is required", "missing_required_parameter");
  if (content->is_string()) {
    out["content"] = *content;
    return;
  }
  if (!content->is_array())
    return fields.fail(
        "content",
        fmt::format("must be a string or an array of parts, got {}", json_kind(*content)),
        "invalid_type");
  if (content->empty() || content->size() > kPartsMax)
    return fields.fail("content",
                       fmt::format("{} parts are not within 1..{}", content->size(), kPartsMax),
                       "invalid_value");
  std::string joined;
  for (size_t i = 0; i < content->size(); ++i) {
    const std::optional<std::string> text = read_part(fields, (*content)[i], i);
    if (!text) return;
    if (i > 0) joined += "\n";
    joined += *text;
  }
  out["content"] = std::move(joined);
}

std::optional<ApiError> read_message(const Json& message, size_t i, Json& out) {
  const std::string path = fmt::format("messages[{}]", i);
  if (!message.is_object())
    return bad_field(path, fmt::format("must be an object, got {}", json_kind(message)),
                     "invalid_type");
  Fields fields(message, path + ".");
  out = Json::object();
  read_role(fields, out);
  read_content(fields, out);
  if (const auto name = fields.string("name", kNameBytesMax)) out["name"] = *name;
  // What clients send back with an answer of ours; without content these are null or empty.
  for (const char* name : {"refusal", "function_call", "audio", "tool_call_id"})
    fields.unsupported(name);
  fields.unsupported("tool_calls", Json::array());
  fields.unsupported("annotations", Json::array());
  fields.finish();
  return fields.error();
}

}  // namespace

std::optional<ApiError> read_messages(const Json* messages, Json& out) {
  if (messages == nullptr)
    return bad_field("messages", "is required", "missing_required_parameter");
  if (!messages->is_array())
    return bad_field("messages", fmt::format("must be an array, got {}", json_kind(*messages)),
                     "invalid_type");
  if (messages->empty() || messages->size() > kMessagesMax)
    return bad_field("messages",
                     fmt::format("{} entries are not within 1..{}", messages->size(), kMessagesMax),
                     "invalid_value");
  out = Json::array();
  for (size_t i = 0; i < messages->size(); ++i) {
    Json message;
    if (auto error = read_message((*messages)[i], i, message)) return error;
    out.push_back(std::move(message));
  }
  return std::nullopt;
}

}  // namespace localai::server
