#pragma once
// The JSON of answers: whole ones and the chunks of streams, in the two generation dialects of
// OpenAI. Pure. Source: OpenAI API reference, "The chat completion object", "The chat completion
// chunk object", "The completion object".
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "net/http.h"
#include "runtime/service.h"

namespace localai::server {

// What all chunks of one answer have in common.
struct AnswerHead {
  std::string id;  // "chatcmpl-..."
  int64_t created_unix = 0;
  runtime::Resolution resolution;
};

// One generated token with its log-probability.
struct TokenInfo {
  std::string text;  // its bytes; may be a part of a character
  float logprob = 0;
  std::vector<std::pair<std::string, float>> top;
};

// New text, and the tokens it came from when log-probabilities were asked for.
struct Piece {
  std::string text;
  std::vector<TokenInfo> tokens;
  size_t token_offset = 0;  // characters of all tokens before the first one here
};

class Renderer {
 public:
  virtual ~Renderer() = default;
  [[nodiscard]] virtual std::string_view id_prefix() const = 0;
  // A whole answer.
  [[nodiscard]] virtual Json whole(const AnswerHead& head, const Piece& text,
                                   std::string_view finish_reason,
                                   const runtime::Usage& usage) const = 0;
  // Chunks: one opening (carries `localai`), pieces, one closing, and, where the client asked for
  // it, one with the usage.
  [[nodiscard]] virtual Json opening(const AnswerHead& head) const = 0;
  [[nodiscard]] virtual Json piece(const AnswerHead& head, const Piece& piece) const = 0;
  [[nodiscard]] virtual Json closing(const AnswerHead& head,
                                     std::string_view finish_reason) const = 0;
  [[nodiscard]] virtual Json usage(const AnswerHead& head, const runtime::Usage& usage) const = 0;
};
// `logprobs`: the client asked for log-probabilities.
std::unique_ptr<Renderer> make_chat_renderer(bool logprobs);
std::unique_ptr<Renderer> make_completion_renderer(bool logprobs);

// The decision behind an answer, as headers and as the `localai` object of its body.
net::Headers resolution_headers(const runtime::Resolution& resolution);
Json resolution_json(const runtime::Resolution& resolution);

size_t count_characters(std::string_view text);  // code points, malformed bytes as one each

}  // namespace localai::server
