// Validation of requests as tables of whole messages.
#include "server/generation_request.h"

#include <gmock/gmock.h>

#include <limits>

namespace localai::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string fault(const ParsedRequest& parsed) {
  const auto* error = std::get_if<ApiError>(&parsed);
  if (error == nullptr) return "accepted";
  EXPECT_EQ(error->status, 400);
  return error->param + "|" + error->code + "|" + error->message;
}

std::string chat_with(const std::string& fields) {
  return R"({"messages":[{"role":"user","content":"hi"}])" + (fields.empty() ? "" : "," + fields) +
         "}";
}

TEST(ChatRequest, ReadsEveryField) {
  const ParsedRequest parsed = parse_chat_request(R"({
    "model":"m","messages":[
      {"role":"developer","content":"be brief"},
      {"role":"user","name":"u","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","content":"c","refusal":null,"tool_calls":[],"annotations":[]}],
    "stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false},
    "max_completion_tokens":7,"temperature":0.5,"top_p":0.25,"top_k":-1,"min_p":0.125,
    "repetition_penalty":1.5,"presence_penalty":-2,"frequency_penalty":2,"seed":-1,
    "stop":["x","yy"],"logit_bias":{"5":-100,"7":1.5},"logprobs":true,"top_logprobs":3,
    "ignore_eos":true,"cache_salt":"t","n":1,"response_format":{"type":"text"},"modalities":["text"],"tools":null,
    "user":"u","store":false,"service_tier":"auto","safety_identifier":"s",
    "prompt_cache_key":"k","metadata":{"a":"b"}})");
  ASSERT_EQ(fault(parsed), "accepted");
  const auto& request = std::get<GenerationRequest>(parsed);
  EXPECT_EQ(request.model, "m");
  EXPECT_TRUE(request.stream && request.include_usage);
  const runtime::GenerateRequest& generate = request.generate;
  EXPECT_EQ(dump_json(std::get<runtime::ChatInput>(generate.input).messages),
            R"([{"role":"system","content":"be brief"},)"
            R"({"role":"user","content":"a\nb","name":"u"},{"role":"assistant","content":"c"}])");
  EXPECT_EQ(generate.max_tokens, 7u);
  EXPECT_EQ(generate.sampling.temperature, 0.5f);
  EXPECT_EQ(generate.sampling.top_p, 0.25f);
  EXPECT_EQ(generate.sampling.top_k, 0);
  EXPECT_EQ(generate.sampling.min_p, 0.125f);
  EXPECT_EQ(generate.sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(generate.sampling.presence_penalty, -2.f);
  EXPECT_EQ(generate.sampling.frequency_penalty, 2.f);
  EXPECT_EQ(generate.sampling.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_THAT(generate.sampling.logit_bias, ElementsAre(std::pair(5, -100.f), std::pair(7, 1.5f)));
  EXPECT_THAT(generate.stop, ElementsAre("x", "yy"));
  EXPECT_TRUE(generate.ignore_eos && generate.logprobs);
  EXPECT_EQ(generate.cache_salt, "t");
  EXPECT_EQ(generate.top_logprobs, 3u);
}

TEST(ChatRequest, NamesTheFieldAndTheFault) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"("temperature":2.5)", "temperature|invalid_value|temperature: 2.5 is not within 0..2"},
      {R"("temperature":-1)", "temperature|invalid_value|temperature: -1 is not within 0..2"},
      {R"("temperature":"1")",
       "temperature|invalid_type|temperature: must be a number, got a string"},
      {R"("temperature":true)",
       "temperature|invalid_type|temperature: must be a number, got a boolean"},
      {R"("top_p":1.01)", "top_p|invalid_value|top_p: 1.01 is not within 0..1"},
      {R"("min_p":9e99)", "min_p|invalid_value|min_p: 9e+99 is not within 0..1"},
      {R"("repetition_penalty":0)",
       "repetition_penalty|invalid_value|repetition_penalty: 0 is not within 0.01..100"},
      {R"("presence_penalty":3)",
       "presence_penalty|invalid_value|presence_penalty: 3 is not within -2..2"},
      {R"("top_k":-2)", "top_k|invalid_value|top_k: -2 is not within -1..2147483647"},
      {R"("top_k":1.5)", "top_k|invalid_type|top_k: must be an integer, got a fraction"},
      {R"("max_tokens":0)", "max_tokens|invalid_value|max_tokens: 0 is not within 1..2147483647"},
      {R"("max_tokens":2147483648)",
       "max_tokens|invalid_value|max_tokens: 2147483648 is not within 1..2147483647"},
      {R"("max_tokens":18446744073709551615)",
       "max_tokens|invalid_value|max_tokens: 18446744073709551615 is not within 1..2147483647"},
      {R"("max_tokens":3,"max_completion_tokens":4)",
       "max_completion_tokens|invalid_value|max_completion_tokens: differs from max_tokens; send "
       "one of them"},
      {R"("seed":9223372036854775808)",
       "seed|invalid_value|seed: 9223372036854775808 is not within "
       "-9223372036854775808..9223372036854775807"},
      {R"("stop":5)",
       "stop|invalid_type|stop: must be a string or an array of strings, got a number"},
      {R"("stop":[""])", "stop|invalid_value|stop: entry 0 has 0 bytes, allowed are 1..256"},
      {R"("stop":["a",1])", "stop|invalid_type|stop: entry 1 must be a string, got a number"},
      {R"("stop":["1","2","3","4","5","6","7","8","9","0","a","b","c","d","e","f","g"])",
       "stop|invalid_value|stop: 17 strings are more than 16"},
      {R"("logit_bias":{"-1":1})",
       "logit_bias|invalid_value|logit_bias: every key must be a token id in decimal"},
      {R"("logit_bias":{"2147483648":1})",
       "logit_bias|invalid_value|logit_bias: every key must be a token id in decimal"},
      {R"("logit_bias":{"1":101})",
       "logit_bias|invalid_value|logit_bias: the value of 1 must be a number within -100..100"},
      {R"("logit_bias":[])", "logit_bias|invalid_type|logit_bias: must be an object, got an array"},
      {R"("top_logprobs":3)",
       "top_logprobs|invalid_value|top_logprobs: is allowed only with logprobs: true"},
      {R"("logprobs":true,"top_logprobs":21)",
       "top_logprobs|invalid_value|top_logprobs: 21 is not within 0..20"},
      {R"("logprobs":1)", "logprobs|invalid_type|logprobs: must be a boolean, got a number"},
      {R"("stream":"yes")", "stream|invalid_type|stream: must be a boolean, got a string"},
      {R"("stream_options":{"include_usage":true})",
       "stream_options|invalid_value|stream_options: is allowed only with stream: true"},
      {R"("stream":true,"stream_options":{"x":1})",
       "stream_options.x|unknown_parameter|stream_options.x: unknown field"},
      {R"("stream":true,"stream_options":{"include_usage":1})",
       "stream_options.include_usage|invalid_type|stream_options.include_usage: must be a "
       "boolean, got a number"},
      {R"("n":2)", "n|unsupported_parameter|n: only 1 is supported by this server"},
      {R"("tools":[])", "tools|unsupported_parameter|tools: is not supported by this server"},
      {R"("tool_choice":"auto")",
       "tool_choice|unsupported_parameter|tool_choice: is not supported by this server"},
      {R"("functions":[])",
       "functions|unsupported_parameter|functions: is not supported by this server"},
      {R"("response_format":{"type":"json_object"})",
       "response_format|unsupported_parameter|response_format: only {\"type\":\"text\"} is "
       "supported by this server"},
      {R"("modalities":["audio"])",
       "modalities|unsupported_parameter|modalities: only [\"text\"] is supported by this server"},
      {R"("chat_template":"x")",
       "chat_template|unsupported_parameter|chat_template: is not supported by this server"},
      {R"("n_discard":-5)", "n_discard|unknown_parameter|n_discard: unknown field"},
      {R"("Temperature":1)", "Temperature|unknown_parameter|Temperature: unknown field"},
      {R"("model":5)", "model|invalid_type|model: must be a string, got a number"},
      {R"("user":5)", "user|invalid_type|user: must be a string, got a number"},
      {R"("metadata":{"a":1})",
       "metadata.a|invalid_type|metadata.a: must be a string, got a number"},
      {R"("metadata":"a")", "metadata|invalid_type|metadata: must be an object, got a string"},
  };
  for (const auto& [fields, expected] : cases)
    EXPECT_EQ(fault(parse_chat_request(chat_with(fields))), expected) << fields;
  EXPECT_EQ(fault(parse_chat_request(chat_with('"' + std::string(5000, 'k') + R"(":1)"))),
            "a name of 5000 bytes|unknown_parameter|a name of 5000 bytes: unknown field");
}

TEST(ChatRequest, NamesTheMessageAndTheFault) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{}", "messages|missing_required_parameter|messages: is required"},
      {R"({"messages":null})", "messages|missing_required_parameter|messages: is required"},
      {R"({"messages":"hi"})", "messages|invalid_type|messages: must be an array, got a string"},
      {R"({"messages":[]})", "messages|invalid_value|messages: 0 entries are not within 1..4096"},
      {R"({"messages":["hi"]})",
       "messages[0]|invalid_type|messages[0]: must be an object, got a string"},
      {R"({"messages":[{"content":"a"}]})",
       "messages[0].role|missing_required_parameter|messages[0].role: is required"},
      {R"({"messages":[{"role":"king","content":"a"}]})",
       "messages[0].role|invalid_value|messages[0].role: must be 'system', 'developer', 'user' or "
       "'assistant'"},
      {R"({"messages":[{"role":"tool","content":"a","tool_call_id":"x"}]})",
       "messages[0].role|unsupported_parameter|messages[0].role: 'tool' is not supported by this "
       "server"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"user"}]})",
       "messages[1].content|missing_required_parameter|messages[1].content: is required"},
      {R"({"messages":[{"role":"user","content":5}]})",
       "messages[0].content|invalid_type|messages[0].content: must be a string or an array of "
       "parts, got a number"},
      {R"({"messages":[{"role":"user","content":[]}]})",
       "messages[0].content|invalid_value|messages[0].content: 0 parts are not within 1..64"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]})",
       "messages[0].content[0].type|unsupported_parameter|messages[0].content[0].type: only 'text' "
       "is supported by this server"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})",
       "messages[0].content[0].text|invalid_type|messages[0].content[0].text: must be a string"},
      {R"({"messages":[{"role":"assistant","content":"a","tool_calls":[{}]}]})",
       "messages[0].tool_calls|unsupported_parameter|messages[0].tool_calls: only [] is supported "
       "by this server"},
      {R"({"messages":[{"role":"user","content":"a","x":1}]})",
       "messages[0].x|unknown_parameter|messages[0].x: unknown field"},
  };
  for (const auto& [body, expected] : cases)
    EXPECT_EQ(fault(parse_chat_request(body)), expected) << body;
}

TEST(ChatRequest, RefusesWhatIsNotJson) {
  EXPECT_EQ(fault(parse_chat_request("[]")),
            "|invalid_json|the body must be a JSON object, got an array");
  EXPECT_EQ(fault(parse_chat_request("{\"a\":\"\xff\"}")),
            "|invalid_json|the body is not valid UTF-8");
  EXPECT_THAT(fault(parse_chat_request("{\n\"a\":}")),
              StartsWith("|invalid_json|not valid JSON: line 2, column 5: "));
  EXPECT_THAT(fault(parse_chat_request("")), StartsWith("|invalid_json|not valid JSON: line 1"));
  EXPECT_THAT(fault(parse_chat_request(R"({"temperature":NaN})")),
              StartsWith("|invalid_json|not valid JSON: "));
  EXPECT_THAT(fault(parse_chat_request(R"({"temperature":1e999})")), HasSubstr("number overflow"));
  EXPECT_THAT(fault(parse_chat_request(R"({"a":"\ud800"})")), StartsWith("|invalid_json|"));
  EXPECT_THAT(fault(parse_chat_request(chat_with(R"("user":"a","user":"b")"))),
              HasSubstr("stands twice"));
  EXPECT_THAT(fault(parse_chat_request(std::string(100000, '['))), HasSubstr("nested deeper"));
  // However long the offending token is, the message is short.
  EXPECT_LT(fault(parse_chat_request("{\"a\":\"" + std::string(1 << 20, 'x'))).size(), 400u);
}

TEST(CompletionRequest, TakesTextOrTokens) {
  auto parsed = parse_completion_request(R"({"prompt":"once","logprobs":2,"max_tokens":3})");
  ASSERT_EQ(fault(parsed), "accepted");
  const auto& generate = std::get<GenerationRequest>(parsed).generate;
  EXPECT_EQ(std::get<std::string>(generate.input), "once");
  EXPECT_TRUE(generate.logprobs);
  EXPECT_EQ(generate.top_logprobs, 2u);
  for (const char* tokens : {R"({"prompt":[1,2]})", R"({"prompt":[[1,2]],"echo":false})"}) {
    parsed = parse_completion_request(tokens);
    ASSERT_EQ(fault(parsed), "accepted");
    EXPECT_THAT(std::get<std::vector<int32_t>>(std::get<GenerationRequest>(parsed).generate.input),
                ElementsAre(1, 2));
  }
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{}", "prompt|missing_required_parameter|prompt: is required"},
      {R"({"prompt":["a","b"]})",
       "prompt|unsupported_parameter|prompt: only one prompt in a request is supported by this "
       "server"},
      {R"({"prompt":[]})", "prompt|invalid_value|prompt: must not be empty"},
      {R"({"prompt":[-1]})", "prompt|invalid_value|prompt: entry 0 is not a token id"},
      {R"({"prompt":[1,2147483648]})", "prompt|invalid_value|prompt: entry 1 is not a token id"},
      {R"({"prompt":{}})",
       "prompt|invalid_type|prompt: must be a string or an array of token ids, got an object"},
      {R"({"prompt":"a","echo":true})",
       "echo|unsupported_parameter|echo: only false is supported by this server"},
      {R"({"prompt":"a","best_of":2})",
       "best_of|unsupported_parameter|best_of: only 1 is supported by this server"},
      {R"({"prompt":"a","suffix":"b"})",
       "suffix|unsupported_parameter|suffix: only \"\" is supported by this server"},
      {R"({"prompt":"a","messages":[]})", "messages|unknown_parameter|messages: unknown field"},
  };
  for (const auto& [body, expected] : cases)
    EXPECT_EQ(fault(parse_completion_request(body)), expected) << body;
}

}  // namespace
}  // namespace localai::server
