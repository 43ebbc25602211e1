#include "server/embedding_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace localai::server {
namespace {

using ::testing::HasSubstr;
using Tokens = std::vector<engine::TokenId>;

EmbeddingCall parse(std::string_view body) {
  ParsedEmbeddingCall parsed = parse_embedding_call(body);
  EXPECT_TRUE(std::holds_alternative<EmbeddingCall>(parsed)) << std::get<ApiError>(parsed).message;
  return std::get<EmbeddingCall>(std::move(parsed));
}

TEST(EmbeddingCall, TakesAllFourShapesOfInput) {
  const auto inputs = [](std::string_view input) {
    return parse("{\"input\":" + std::string(input) + "}").inputs;
  };
  EXPECT_EQ(inputs(R"("a b")"), (std::vector<engine::EmbeddingInput>{"a b"}));
  EXPECT_EQ(inputs(R"(["a","b"])"), (std::vector<engine::EmbeddingInput>{"a", "b"}));
  EXPECT_EQ(inputs("[1,2]"), (std::vector<engine::EmbeddingInput>{Tokens{1, 2}}));
  EXPECT_EQ(inputs("[[1,2],[3]]"), (std::vector<engine::EmbeddingInput>{Tokens{1, 2}, Tokens{3}}));
}

TEST(EmbeddingCall, ReadsItsOtherFields) {
  const EmbeddingCall call =
      parse(R"({"model":"m","input":"a","encoding_format":"base64","dimensions":7,"user":"u"})");
  EXPECT_EQ(call.model, "m");
  EXPECT_TRUE(call.base64);
  EXPECT_EQ(call.dimensions, 7u);
  const EmbeddingCall plain = parse(R"({"input":"a","encoding_format":null,"dimensions":null})");
  EXPECT_FALSE(plain.base64);
  EXPECT_FALSE(plain.dimensions);
}

TEST(EmbeddingCall, RefusesByName) {
  struct Bad {
    std::string body, param, message;
  };
  std::string many = "[";
  for (int i = 0; i < 2049; ++i) many += i == 0 ? "\"a\"" : ",\"a\"";
  for (const Bad& bad : std::vector<Bad>{
           {"[", "", "line 1"},
           {"[1]", "", "object"},
           {"{}", "input", "is missing"},
           {R"({"input":null})", "input", "is missing"},
           {R"({"input":7})", "input", "a number"},
           {R"({"input":""})", "input[0]", "empty text"},
           {R"({"input":[]})", "input", "empty array"},
           {R"({"input":["a",""]})", "input[1]", "empty text"},
           {R"({"input":["a",1]})", "input[1]", "a number"},
           {R"({"input":[1,"a"]})", "input[0]", "no array of token ids"},
           {R"({"input":[1,-2]})", "input[0]", "no array of token ids"},
           {R"({"input":[1.5]})", "input[0]", "no array of token ids"},
           {R"({"input":[4294967296]})", "input[0]", "no array of token ids"},
           {R"({"input":[18446744073709551615]})", "input[0]", "no array of token ids"},
           {R"({"input":[[1],[]]})", "input[1]", "no array of token ids"},
           {R"({"input":[{}]})", "input[0]", "an object"},
           {"{\"input\":" + many + "]}", "input", "2049 inputs are more than 2048"},
           {R"({"input":"a","encoding_format":"hex"})", "encoding_format", "neither"},
           {R"({"input":"a","dimensions":0})", "dimensions", "not within 1"},
           {R"({"input":"a","dimension":5})", "dimension", ""},
           {R"({"input":"a","model":5})", "model", ""}}) {
    const ParsedEmbeddingCall parsed = parse_embedding_call(bad.body);
    const auto* error = std::get_if<ApiError>(&parsed);
    ASSERT_NE(error, nullptr) << bad.body.substr(0, 80);
    EXPECT_EQ(error->status, 400);
    EXPECT_EQ(error->param, bad.param) << bad.body.substr(0, 80);
    EXPECT_THAT(error->message, HasSubstr(bad.message)) << bad.body.substr(0, 80);
  }
}

runtime::EmbeddingAnswer answer() {
  return {{"", "m", "gguf", "explicit", false}, {3, {0.6f, 0.f, 0.8f, 1.f, 0.f, 0.f}, 5}};
}

Json render(const EmbeddingCall& call) {
  auto rendered = render_embeddings(call, answer());
  EXPECT_TRUE(std::holds_alternative<Json>(rendered));
  return std::get<Json>(rendered);
}

TEST(EmbeddingCall, RendersNumbersAndBase64) {
  const Json numbers = render({});
  EXPECT_EQ(numbers["data"][0]["embedding"].dump(), "[0.6,0.0,0.8]");
  EXPECT_EQ(numbers["data"][1]["index"], 1);
  EXPECT_EQ(numbers["usage"]["prompt_tokens"], 5);
  EmbeddingCall call;
  call.base64 = true;
  const Json encoded = render(call);
  EXPECT_EQ(encoded["data"][0]["embedding"], "mpkZPwAAAADNzEw/");  // 9a99193f 00000000 cdcc4c3f
  EXPECT_EQ(encoded["data"][1]["embedding"], "AACAPwAAAAAAAAAA");
  call.dimensions = 2;  // 8 bytes: one sign of padding
  EXPECT_EQ(render(call)["data"][1]["embedding"], "AACAPwAAAAA=");
}

TEST(EmbeddingCall, ShortensToLengthOne) {
  EmbeddingCall call;
  call.dimensions = 2;
  EXPECT_EQ(render(call)["data"][0]["embedding"].dump(), "[1.0,0.0]");
  call.dimensions = 3;
  EXPECT_EQ(render(call)["data"][0]["embedding"].dump(), "[0.6,0.0,0.8]");
  call.dimensions = 4;
  const auto refused = render_embeddings(call, answer());
  ASSERT_TRUE(std::holds_alternative<ApiError>(refused));
  EXPECT_EQ(std::get<ApiError>(refused).message, "dimensions: 4 is more than the 3 of model 'm'");
}

}  // namespace
}  // namespace localai::server
