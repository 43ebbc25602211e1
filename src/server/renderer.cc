#include "server/renderer.h"

#include <cmath>

#include "base/utf8.h"

namespace localai::server {
namespace {

// JSON has no infinity: what stands for "never", as OpenAI writes it.
constexpr double kNever = -9999.0;

Json logprob_json(float logprob) {
  return std::isfinite(logprob) ? Json(static_cast<double>(logprob)) : Json(kNever);
}

Json bytes_json(std::string_view text) {
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

Json root_json(const AnswerHead& head, std::string_view object) {
  return {{"id", head.id},
          {"object", object},
          {"created", head.created_unix},
          {"model", head.resolution.model}};
}

Json usage_json(const runtime::Usage& usage) {
  Json json{{"prompt_tokens", usage.prompt_tokens},
            {"completion_tokens", usage.completion_tokens},
            {"total_tokens", uint64_t{usage.prompt_tokens} + usage.completion_tokens},
            {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
  if (usage.drafted_tokens > 0)
    json["completion_tokens_details"] = {
        {"accepted_prediction_tokens", usage.accepted_tokens},
        {"rejected_prediction_tokens", usage.drafted_tokens - usage.accepted_tokens}};
  return json;
}

Json with_choice(Json root, Json choice) {
  root["choices"] = Json::array({std::move(choice)});
  return root;
}

Json with_usage(Json root, const runtime::Usage& usage) {
  root["choices"] = Json::array();
  root["usage"] = usage_json(usage);
  return root;
}

class ChatRenderer final : public Renderer {
 public:
  explicit ChatRenderer(bool logprobs) : logprobs_(logprobs) {}
  [[nodiscard]] std::string_view id_prefix() const override { return "chatcmpl-"; }

  [[nodiscard]] Json whole(const AnswerHead& head, const Piece& text,
                           std::string_view finish_reason,
                           const runtime::Usage& usage) const override {
    Json choice = {
        {"index", 0},
        {"message", {{"role", "assistant"}, {"content", text.text}, {"refusal", nullptr}}},
        {"logprobs", logprobs_json(text)},
        {"finish_reason", finish_reason}};
    Json root = with_choice(root_json(head, "chat.completion"), std::move(choice));
    root["usage"] = usage_json(usage);
    root["localai"] = resolution_json(head.resolution);
    return root;
  }
  [[nodiscard]] Json opening(const AnswerHead& head) const override {
    Json root = chunk(head, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
    root["localai"] = resolution_json(head.resolution);
    return root;
  }
  [[nodiscard]] Json piece(const AnswerHead& head, const Piece& piece) const override {
    return chunk(head, {{"content", piece.text}}, logprobs_json(piece), nullptr);
  }
  [[nodiscard]] Json closing(const AnswerHead& head,
                             std::string_view finish_reason) const override {
    return chunk(head, Json::object(), nullptr, finish_reason);
  }
  [[nodiscard]] Json usage(const AnswerHead& head, const runtime::Usage& usage) const override {
    return with_usage(root_json(head, "chat.completion.chunk"), usage);
  }

 private:
  static Json chunk(const AnswerHead& head, Json delta, Json logprobs, Json finish_reason) {
    return with_choice(root_json(head, "chat.completion.chunk"),
                       {{"index", 0},
                        {"delta", std::move(delta)},
                        {"logprobs", std::move(logprobs)},
                        {"finish_reason", std::move(finish_reason)}});
  }
  [[nodiscard]] Json logprobs_json(const Piece& piece) const {
    if (!logprobs_) return nullptr;
    Json content = Json::array();
    for (const TokenInfo& token : piece.tokens) {
      Json top = Json::array();
      for (const auto& [text, logprob] : token.top)
        top.push_back(
            {{"token", text}, {"logprob", logprob_json(logprob)}, {"bytes", bytes_json(text)}});
      content.push_back({{"token", token.text},
                         {"logprob", logprob_json(token.logprob)},
                         {"bytes", bytes_json(token.text)},
                         {"top_logprobs", std::move(top)}});
    }
    return {{"content", std::move(content)}, {"refusal", nullptr}};
  }
  bool logprobs_;
};

class CompletionRenderer final : public Renderer {
 public:
  explicit CompletionRenderer(bool logprobs) : logprobs_(logprobs) {}
  [[nodiscard]] std::string_view id_prefix() const override { return "cmpl-"; }

  [[nodiscard]] Json whole(const AnswerHead& head, const Piece& text,
                           std::string_view finish_reason,
                           const runtime::Usage& usage) const override {
    Json root = chunk(head, text.text, logprobs_json(text), finish_reason);
    root["usage"] = usage_json(usage);
    root["localai"] = resolution_json(head.resolution);
    return root;
  }
  [[nodiscard]] Json opening(const AnswerHead& head) const override {
    Json root = chunk(head, "", nullptr, nullptr);
    root["localai"] = resolution_json(head.resolution);
    return root;
  }
  [[nodiscard]] Json piece(const AnswerHead& head, const Piece& piece) const override {
    return chunk(head, piece.text, logprobs_json(piece), nullptr);
  }
  [[nodiscard]] Json closing(const AnswerHead& head,
                             std::string_view finish_reason) const override {
    return chunk(head, "", nullptr, finish_reason);
  }
  [[nodiscard]] Json usage(const AnswerHead& head, const runtime::Usage& usage) const override {
    return with_usage(root_json(head, "text_completion"), usage);
  }

 private:
  static Json chunk(const AnswerHead& head, std::string_view text, Json logprobs,
                    Json finish_reason) {
    return with_choice(root_json(head, "text_completion"),
                       {{"index", 0},
                        {"text", text},
                        {"logprobs", std::move(logprobs)},
                        {"finish_reason", std::move(finish_reason)}});
  }
  [[nodiscard]] Json logprobs_json(const Piece& piece) const {
    if (!logprobs_) return nullptr;
    Json tokens = Json::array(), logprobs = Json::array(), tops = Json::array(),
         offsets = Json::array();
    size_t offset = piece.token_offset;
    for (const TokenInfo& token : piece.tokens) {
      Json top = Json::object();
      for (const auto& [text, logprob] : token.top)
        top[sanitize_utf8(text)] = logprob_json(logprob);
      tokens.push_back(token.text);
      logprobs.push_back(logprob_json(token.logprob));
      tops.push_back(std::move(top));
      offsets.push_back(offset);
      offset += count_characters(token.text);
    }
    return {{"tokens", std::move(tokens)},
            {"token_logprobs", std::move(logprobs)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
  }
  bool logprobs_;
};

}  // namespace

std::unique_ptr<Renderer> make_chat_renderer(bool logprobs) {
  return std::make_unique<ChatRenderer>(logprobs);
}
std::unique_ptr<Renderer> make_completion_renderer(bool logprobs) {
  return std::make_unique<CompletionRenderer>(logprobs);
}

net::Headers resolution_headers(const runtime::Resolution& resolution) {
  net::Headers headers = {{"x-localai-domain", resolution.domain},
                          {"x-localai-model", resolution.model},
                          {"x-localai-backend", resolution.backend},
                          {"x-localai-route", resolution.route},
                          {"x-localai-fallback", resolution.fallback ? "true" : "false"}};
  if (!resolution.skipped.empty())
    headers.push_back({"x-localai-fallback-reason", resolution.skipped.front().reason});
  return headers;
}

Json resolution_json(const runtime::Resolution& resolution) {
  Json out = {{"domain", resolution.domain},
              {"model", resolution.model},
              {"backend", resolution.backend},
              {"route", resolution.route},
              {"fallback", resolution.fallback}};
  if (!resolution.route_reason.empty()) out["route_reason"] = resolution.route_reason;
  if (resolution.skipped.empty()) return out;
  out["fallback_reason"] = resolution.skipped.front().reason;
  out["skipped"] = Json::array();
  for (const runtime::SkippedCandidate& skip : resolution.skipped)
    out["skipped"].push_back(
        {{"name", skip.name}, {"reason", skip.reason}, {"message", skip.message}});
  return out;
}

size_t count_characters(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) at += decode_utf8(text, at).bytes;
  return count;
}

}  // namespace localai::server
