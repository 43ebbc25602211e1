// normalize_messages(): what a client sent, in the form that chat templates expect.
#include "runtime/prompt.h"

namespace localai::runtime {
namespace {

Result<std::string> text_of_parts(const Json& parts) {
  std::string text;
  bool first = true;
  for (const Json& part : parts) {
    const auto type = part.is_object() ? part.find("type") : part.end();
    if (!part.is_object() || type == part.end() || !type->is_string())
      return invalid("a part of 'content' is not an object with a 'type'");
    if (*type != "text")
      return unsupported("a part of type '" + type->get<std::string>() +
                         "': this model reads text only");
    const auto value = part.find("text");
    if (value == part.end() || !value->is_string())
      return invalid("a text part of 'content' has no 'text'");
    if (!first) text += '\n';
    text += value->get<std::string>();
    first = false;
  }
  return text;
}

Result<Json> normalize_message(const Json& message) {
  if (!message.is_object()) return invalid("not an object");
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string()) return invalid("'role' is missing");
  Json out = message;
  if (*role == "developer") out["role"] = "system";
  Json& content = out["content"];
  if (content.is_array()) {
    LAI_TRY(std::string text, text_of_parts(content));
    content = std::move(text);
  } else if (content.is_null()) {
    if (!message.contains("tool_calls")) content = "";
  } else if (!content.is_string()) {
    return invalid("'content' is neither a text nor a list of parts");
  }
  return out;
}

}  // namespace

Result<Json> normalize_messages(const Json& messages) {
  if (!messages.is_array() || messages.empty())
    return invalid("messages: a list of at least one message is needed");
  Json out = Json::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    LAI_TRY(Json message, normalize_message(messages[i]), "messages[" + std::to_string(i) + "]");
    out.push_back(std::move(message));
  }
  return out;
}

}  // namespace localai::runtime
