#include "runtime/transformers_stream.h"

#include <gmock/gmock.h>

namespace localai::runtime {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kChat =
    ": a comment\n\n"
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
    "\"finish_reason\":null}]}\r\n\r\n"
    "event: message\ndata: {\"choices\":[{\"delta\":{\"content\":\"Gr\\u00fc\"}}]}\n\n"
    "data:{\"choices\":[{\"delta\":{\"content\":\"ße\"},\"finish_reason\":null}]}\n\n"
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n"
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n"
    "data: [DONE]\n\n";

// "text|text..." and how it ended.
std::string read(bool chat, std::string_view bytes, size_t piece = std::string_view::npos) {
  AnswerStream stream(chat);
  std::vector<GenerateEvent> events;
  std::string out;
  for (size_t at = 0; at < bytes.size();) {
    const std::string_view next = bytes.substr(at, piece);
    at += next.size();
    if (Status status = stream.push(next, events); !status.ok()) {
      out = "error " + std::to_string(static_cast<int>(status.error().code)) + ": " +
            status.error().message + " after ";
      break;
    }
  }
  for (const GenerateEvent& event : events) {
    if (const auto* delta = std::get_if<TokenDelta>(&event)) {
      out += delta->text + "|";
    } else if (const auto* finished = std::get_if<Finished>(&event)) {
      out += std::string(finish_reason_name(finished->reason)) + " " +
             std::to_string(finished->usage.prompt_tokens) + "+" +
             std::to_string(finished->usage.completion_tokens);
      EXPECT_TRUE(stream.done());
    }
  }
  return out;
}

TEST(AnswerStream, ReadsTheSameHoweverTheBytesArrive) {
  for (size_t piece = 1; piece <= kChat.size(); ++piece)
    ASSERT_EQ(read(true, kChat, piece), "Grü|ße|length 7+2") << piece;
}

TEST(AnswerStream, ReadsCompletionsAndLogprobsOfBothKinds) {
  const std::string end =
      "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}],\"usage\":"
      "{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n";
  EXPECT_EQ(read(false, "data: {\"choices\":[{\"text\":\"hi\"}]}\n\n" + end), "hi|stop 1+1");

  std::vector<GenerateEvent> events;
  AnswerStream completion(false);
  ASSERT_TRUE(completion
                  .push(R"(data: {"choices":[{"text":"hi","logprobs":{"tokens":["h","i"],)"
                        R"("token_logprobs":[-0.5,-1],"top_logprobs":[{"h":-0.5},{}]}}]})"
                        "\n",
                        events)
                  .ok());
  AnswerStream chat(true);
  ASSERT_TRUE(chat.push(R"(data: {"choices":[{"delta":{"content":"x"},"logprobs":{"content":[)"
                        R"({"token":"x","logprob":-2,"top_logprobs":[{"token":"y","logprob":-1},)"
                        R"({"token":"x","logprob":-2}]}]}}]})"
                        "\n",
                        events)
                  .ok());
  ASSERT_EQ(events.size(), 3u);
  const auto& first = std::get<TokenDelta>(events[0]);
  EXPECT_EQ(first.text + "," + first.token_text, "hi,h");
  EXPECT_EQ(first.logprob->logprob, -0.5f);
  EXPECT_EQ(first.top_logprobs[0], (std::pair<std::string, float>("h", -0.5f)));
  EXPECT_EQ(std::get<TokenDelta>(events[1]).token_text, "i");
  EXPECT_EQ(std::get<TokenDelta>(events[1]).text, "");
  const auto& of_chat = std::get<TokenDelta>(events[2]);
  EXPECT_EQ(of_chat.logprob->logprob, -2.f);
  ASSERT_EQ(of_chat.top_logprobs.size(), 2u);
  EXPECT_EQ(of_chat.top_logprobs[0].first, "y");
}

TEST(AnswerStream, RefusesWhatTheProtocolDoesNotAllow) {
  for (const char* bad : {
           "hello\n",
           "data: hello\n",
           "data: 7\n",
           "data: {}\n",
           "data: {\"choices\":{}}\n",
           "data: {\"choices\":[3]}\n",
           "data: {\"choices\":[{\"delta\":\"x\"}]}\n",
           "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"magic\"}]}\n",
           "data: {\"choices\":[{\"delta\":{},\"finish_reason\":3}]}\n",
           "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":1}}\n",
           "data: {\"choices\":[],\"usage\":[]}\n",
           "data: {\"choices\":[{\"delta\":{},\"logprobs\":{}}]}\n",
           "data: {\"choices\":[{\"delta\":{},\"logprobs\":{\"content\":[{}]}}]}\n",
           "data: {\"error\":3}\n",
           "data: [DONE]\n",
           "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\ndata: [DONE]\n",
       })
    EXPECT_THAT(read(true, bad), HasSubstr("error 2: the answer is not what the protocol allows"))
        << bad;
  EXPECT_THAT(read(true, std::string((size_t{4} << 20) + 1, 'x')), HasSubstr("without an end"));
}

TEST(AnswerStream, AnErrorEventIsThatError) {
  EXPECT_EQ(read(true,
                 "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
                 "data: {\"error\":{\"message\":\"it broke\",\"code\":\"internal\"}}\n\n"),
            "error 7: it broke after a|");
}

TEST(ServiceFailure, KeepsTheMeaningOfTheServicesCodes) {
  const auto of = [](int status, const char* code) {
    const ServiceFailure failure = read_service_failure(
        status, R"({"error":{"message":"m","code":")" + std::string(code) + "\"}}");
    EXPECT_EQ(failure.error.message, "m");
    return std::pair(failure.error.code, failure.fault);
  };
  EXPECT_EQ(of(400, "context_length_exceeded"), std::pair(Code::kContextLength, false));
  EXPECT_EQ(of(400, "unknown_parameter"), std::pair(Code::kInvalidArgument, false));
  EXPECT_EQ(of(404, "model_not_found"), std::pair(Code::kNotFound, false));
  EXPECT_EQ(of(429, "rate"), std::pair(Code::kExhausted, false));
  EXPECT_EQ(of(500, "internal"), std::pair(Code::kInternal, true));
  EXPECT_EQ(of(500, "strange"), std::pair(Code::kUnavailable, true));
  EXPECT_EQ(of(503, "exhausted"), std::pair(Code::kExhausted, false));
  for (const char* body : {"", "<html>", "{}", "[]", "{\"error\":\"text\"}", "{\"error\":null}"}) {
    const ServiceFailure failure = read_service_failure(502, body);
    EXPECT_EQ(failure.error.code, Code::kUnavailable) << body;
    EXPECT_TRUE(failure.fault);
  }
  EXPECT_FALSE(read_service_failure(400, R"({"error":{"message":3,"code":null}})").fault);
}

}  // namespace
}  // namespace localai::runtime
