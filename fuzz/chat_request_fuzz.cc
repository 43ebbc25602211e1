// Bodies of chat and completion requests: whatever they are, they end in a request or in an error
// whose text is short and can be sent.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/utf8.h"
#include "server/generation_request.h"

namespace {

constexpr size_t kMessageBytesMax = 4096;

void check(const localai::server::ParsedRequest& parsed) {
  using localai::runtime::ChatInput;
  if (const auto* error = std::get_if<localai::server::ApiError>(&parsed)) {
    LAI_CHECK(error->status == 400 && !error->message.empty());
    LAI_CHECK(error->message.size() <= kMessageBytesMax);
    LAI_CHECK(localai::is_valid_utf8(localai::server::error_response(*error).body));
    return;
  }
  const auto& generate = std::get<localai::server::GenerationRequest>(parsed).generate;
  LAI_CHECK(!generate.max_tokens || *generate.max_tokens > 0);
  LAI_CHECK(generate.stop.size() <= 16);
  const float temperature = generate.sampling.temperature.value_or(0.f);
  LAI_CHECK(temperature >= 0.f && temperature <= 2.f);  // false for NaN
  if (const auto* chat = std::get_if<ChatInput>(&generate.input))
    for (const localai::Json& message : chat->messages)
      LAI_CHECK(message.at("role").is_string() && message.at("content").is_string());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  check(localai::server::parse_chat_request(body));
  check(localai::server::parse_completion_request(body));
  return 0;
}
