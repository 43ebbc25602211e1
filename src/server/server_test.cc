// Every endpoint over a fake service: through a sink that records, and through a real server on the
// loopback with a real client.
#include "net/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <thread>

#include "server/api.h"
#include "server/generation_request.h"
#include "server/renderer.h"
#include "server/testing/fake_service.h"

namespace localai::server {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string chat_with(const std::string& fields) {
  return R"({"messages":[{"role":"user","content":"hi"}])" + (fields.empty() ? "" : "," + fields) +
         "}";
}

// Keeps what a handler answers.
class RecordingSink final : public net::Sink {
 public:
  void respond(net::Response response) override {
    const std::lock_guard lock(mutex_);
    response_ = std::move(response);
    over();
  }
  void begin_stream(net::Headers headers) override {
    const std::lock_guard lock(mutex_);
    response_.headers = std::move(headers);
  }
  bool write(std::string_view bytes) override {
    const std::lock_guard lock(mutex_);
    response_.body += bytes;
    ++writes;
    return true;
  }
  void finish() override {
    const std::lock_guard lock(mutex_);
    over();
  }
  [[nodiscard]] bool writable() const override { return writable_; }
  void on_writable(std::function<void()>) override {}
  void on_end(std::function<void(net::EndReason)> callback) override {
    on_end_ = std::move(callback);
  }

  net::Response wait() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return over_; }));
    lock.unlock();
    if (on_end_) std::exchange(on_end_, nullptr)(net::EndReason::kSent);
    return response_;
  }
  bool writable_ = true;
  int writes = 0;

 private:
  void over() {
    over_ = true;
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  net::Response response_;
  std::function<void(net::EndReason)> on_end_;
};

class ApiTest : public ::testing::Test {
 protected:
  net::Response ask(std::string method, std::string path, std::string body = "",
                    bool writable = true) {
    net::Request request;
    request.method = std::move(method);
    request.path = std::move(path);
    request.body = std::move(body);
    request.query = query_;
    request.headers = headers_;
    if (request.method == "POST" || request.method == "PUT")
      request.headers.push_back({"content-type", "application/json"});
    const auto sink = std::make_shared<RecordingSink>();
    sink->writable_ = writable;
    api_.handle(std::move(request), sink);
    net::Response response = sink->wait();
    writes_ = sink->writes;
    return response;
  }
  net::Response chat(const std::string& fields) {
    return ask("POST", "/v1/chat/completions", chat_with(fields));
  }
  // Ids and times differ from answer to answer.
  static std::string stable(const net::Response& response) {
    std::string body = response.body;
    for (const std::string key : {"\"id\":\"chatcmpl-", "\"id\":\"cmpl-", "\"created\":"}) {
      size_t at = 0;
      while ((at = body.find(key, at)) != std::string::npos) {
        at += key.size();
        body.erase(at, body.find_first_of("\",}", at) - at);
      }
    }
    return body;
  }

  FakeService service_;
  Api api_{service_, {"1.2.3", [] { return false; }}};
  int writes_ = 0;
  std::string query_;
  net::Headers headers_;
};

const std::string kLocalai =
    "\"localai\":{\"domain\":\"general\",\"model\":\"m\xc3\xa9\",\"backend\":\"gguf\","
    "\"route\":\"explicit\",\"fallback\":false}";

TEST_F(ApiTest, Embeddings) {
  const net::Response response =
      ask("POST", "/v1/embeddings", R"({"model":"m","input":["a","b"]})");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body,
            R"({"object":"list","data":[)"
            R"({"object":"embedding","index":0,"embedding":[0.6,-0.8]},)"
            R"({"object":"embedding","index":1,"embedding":[0.6,-0.8]}],"model":"m",)"
            R"("usage":{"prompt_tokens":6,"total_tokens":6},"localai":{"domain":"","model":"m",)"
            R"("backend":"gguf","route":"explicit","fallback":false}})");
  ASSERT_EQ(response.headers.size(), 5u);
  const net::Response refused = ask("POST", "/v1/embeddings", R"({"model":"chatty","input":"a"})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.body, HasSubstr("model 'chatty': it makes no embeddings"));
  EXPECT_EQ(ask("POST", "/v1/embeddings", R"({"input":"a","dimensions":3})").status, 400);
  EXPECT_EQ(ask("POST", "/v1/embeddings", R"({"input":[]})").status, 400);
}

std::string header_of(const net::Response& response, const std::string& name) {
  for (const net::Header& header : response.headers)
    if (header.name == name) return header.value;
  return "";
}

TEST_F(ApiTest, DomainsAreCreatedReplacedAndRemoved) {
  headers_ = {{"x-localai-actor", "ann"}};
  const net::Response made =
      ask("POST", "/v1/domains", R"({"id":"new","config":{"a":1},"metadata":{"m":2}})");
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(header_of(made, "location") + header_of(made, "etag"), "/v1/domains/new\"4\"");
  EXPECT_EQ(made.body, R"({"id":"new","object":"domain","available":false,"reason":"its )"
                       R"(enabled_env_var is not set","version":4,"warnings":["a warning"]})");
  EXPECT_EQ(service_.last_change.actor, "ann");
  EXPECT_EQ(dump_json(service_.last_change.config), R"({"a":1})");
  EXPECT_EQ(dump_json(service_.last_change.metadata), R"({"m":2})");

  const net::Response old = ask("POST", "/v1/domains/create", R"({"domain_id":"new","config":{}})");
  EXPECT_EQ(old.status, 200);
  EXPECT_THAT(old.body, StartsWith(R"({"status":"success","domain_id":"new",)"));

  const net::Response replaced =
      ask("PUT", "/v1/domains/general", R"({"version":3,"restore_version":2})");
  EXPECT_EQ(replaced.body, R"({"id":"general","version":4,"warnings":["a warning"]})");
  EXPECT_EQ(service_.last_change.restore_version, 2u);
  EXPECT_EQ(service_.last_change.expected, 3u);

  query_ = "version=3";
  const net::Response removed = ask("DELETE", "/v1/domains/general");
  EXPECT_EQ(removed.body, R"({"id":"general","object":"domain","deleted":true,"version":4,)"
                          R"("warnings":["a warning"]})");
  EXPECT_EQ(service_.last_change.expected, 3u);
}

TEST_F(ApiTest, LostUpdatesAndFaultsOfDomains) {
  const auto put = [&](const std::string& body, const std::string& match) {
    headers_ = {{"if-match", match}};
    return ask("PUT", "/v1/domains/general", body).status;
  };
  EXPECT_EQ(put(R"({"config":{}})", "\"3\""), 200);
  EXPECT_EQ(put(R"({"config":{}})", "*"), 200);
  EXPECT_EQ(put(R"({"config":{}})", "\"2\""), 412);
  EXPECT_EQ(put(R"({"config":{}})", "2"), 400);
  EXPECT_EQ(put(R"({"config":{},"version":2})", ""), 409);
  EXPECT_EQ(put(R"({"config":{},"version":-1})", ""), 400);
  EXPECT_EQ(put(R"({"config":{},"restore_version":1})", ""), 400);
  EXPECT_EQ(put(R"({"config":1})", ""), 400);
  EXPECT_EQ(put("{}", ""), 400);
  headers_ = {};
  EXPECT_EQ(ask("POST", "/v1/domains", R"({"id":"general","config":{}})").status, 409);
  EXPECT_EQ(ask("POST", "/v1/domains", R"({"id":"down","config":{}})").status, 503);
  EXPECT_THAT(ask("POST", "/v1/domains", R"({"id":"bad","config":{}})").body,
              HasSubstr(R"("param":"config.temperature","code":"invalid_value")"));
  EXPECT_EQ(header_of(ask("PATCH", "/v1/domains/general"), "allow"), "GET, HEAD, PUT, DELETE");
  EXPECT_EQ(header_of(ask("PUT", "/v1/domains/create"), "allow"), "POST");
}

TEST_F(ApiTest, VersionsAndTheAuditTrailShowNoSecrets) {
  query_ = "domain=a%2Fb&limit=5&before=7";
  EXPECT_EQ(ask("GET", "/v1/domain-audit").body,
            R"({"object":"list","data":[{"sequence":9,"time":1.5,"domain":"general","version":3,)"
            R"("action":"update","actor":"me","request_id":"r1","old":null,)"
            R"("new":{"model_path":"m"},"metadata":null}]})");
  EXPECT_EQ(service_.last_query.id, "a/b");
  EXPECT_EQ(service_.last_query.limit, 5u);
  EXPECT_EQ(service_.last_query.before, 7u);
  for (const char* bad : {"limit=0", "limit=1001", "before=x", "domain=%zz"}) {
    query_ = bad;
    EXPECT_EQ(ask("GET", "/v1/domain-audit").status, 400) << bad;
  }
  query_ = "";
  EXPECT_THAT(ask("GET", "/v1/domains/general/versions").body,
              HasSubstr(R"("version":3,"time":1.5,"action":"update")"));
  EXPECT_EQ(ask("GET", "/v1/domains/nobody/versions").status, 404);
  EXPECT_EQ(ask("GET", "/v1/domains/down/versions").status, 503);
}

TEST_F(ApiTest, AWholeChatAnswer) {
  const net::Response response = chat(R"("model":"x")");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(stable(response),
            "{\"id\":\"chatcmpl-\",\"object\":\"chat.completion\",\"created\":,"
            "\"model\":\"m\xc3\xa9\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
            "\"content\":\"h\xc3\xa9 lo\",\"refusal\":null},\"logprobs\":null,"
            "\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":3,"
            "\"completion_tokens\":2,\"total_tokens\":5,\"prompt_tokens_details\":"
            "{\"cached_tokens\":1}}," +
                kLocalai + "}");
  ASSERT_EQ(response.headers.size(), 5u);
  EXPECT_EQ(response.headers[0].name + response.headers[0].value, "x-localai-domaingeneral");
  EXPECT_EQ(response.headers[4].name + response.headers[4].value, "x-localai-fallbackfalse");
}

TEST_F(ApiTest, AStreamedChatAnswer) {
  const net::Response response = chat(R"("stream":true,"stream_options":{"include_usage":true})");
  const std::string head =
      "data: {\"id\":\"chatcmpl-\",\"object\":\"chat.completion.chunk\",\"created\":,"
      "\"model\":\"m\xc3\xa9\",\"choices\":[";
  const auto chunk = [&](const std::string& delta, const std::string& reason,
                         const std::string& more) {
    return head + "{\"index\":0,\"delta\":" + delta +
           ",\"logprobs\":null,\"finish_reason\":" + reason + "}]" + more + ",\"usage\":null}\n\n";
  };
  EXPECT_EQ(stable(response),
            chunk(R"({"role":"assistant","content":""})", "null", "," + kLocalai) +
                chunk("{\"content\":\"h\xc3\xa9\"}", "null", "") +
                chunk(R"({"content":" lo"})", "null", "") + chunk("{}", "\"length\"", "") + head +
                "],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5,"
                "\"prompt_tokens_details\":{\"cached_tokens\":1}}}\n\ndata: [DONE]\n\n");
}

TEST_F(ApiTest, AReaderThatDoesNotKeepUpGetsTheSameTextInFewerPieces) {
  const net::Response response =
      ask("POST", "/v1/chat/completions", chat_with(R"("stream":true)"), false);
  EXPECT_THAT(response.body, HasSubstr("{\"content\":\"h\xc3\xa9 lo\"}"));
  EXPECT_EQ(writes_, 4) << "opening, all text, closing, [DONE]";
}

TEST_F(ApiTest, LogprobsOfAChat) {
  EXPECT_THAT(chat(R"("logprobs":true,"top_logprobs":1)").body,
              HasSubstr("\"logprobs\":{\"content\":[{\"token\":\"h\xc3\xa9\",\"logprob\":-0.5,"
                        "\"bytes\":[104,195,169],\"top_logprobs\":[{\"token\":\"x\","
                        "\"logprob\":-9999.0,\"bytes\":[120]}]},"));
}

TEST_F(ApiTest, Completions) {
  const net::Response whole = ask("POST", "/v1/completions", R"({"prompt":"a","logprobs":1})");
  EXPECT_THAT(stable(whole),
              StartsWith("{\"id\":\"cmpl-\",\"object\":\"text_completion\",\"created\":,"
                         "\"model\":\"m\xc3\xa9\",\"choices\":[{\"index\":0,"
                         "\"text\":\"h\xc3\xa9 lo\",\"logprobs\":{\"tokens\":[\"h\xc3\xa9\","
                         "\" lo\"],\"token_logprobs\":[-0.5,-0.5],\"top_logprobs\":"
                         "[{\"x\":-9999.0},{\"x\":-9999.0}],\"text_offset\":[0,2]},"
                         "\"finish_reason\":\"length\"}],\"usage\":"));
  const net::Response stream =
      ask("POST", "/v1/completions", R"({"prompt":"a","logprobs":0,"stream":true})");
  EXPECT_THAT(stream.body, HasSubstr("\"text\":\" lo\""));
  EXPECT_THAT(stream.body, HasSubstr("\"text_offset\":[2]"));
  EXPECT_THAT(stream.body, EndsWith("data: [DONE]\n\n"));
}

TEST_F(ApiTest, FailuresBeforeTheFirstByteAreStatuses) {
  const auto failure = [&](const char* model) {
    const net::Response response = chat(std::string(R"("stream":true,"model":")") + model + '"');
    return std::to_string(response.status) + response.body;
  };
  EXPECT_EQ(failure("missing"),
            R"(404{"error":{"message":"the model 'missing' does not exist",)"
            R"("type":"invalid_request_error","param":"model","code":"model_not_found"}})");
  EXPECT_EQ(failure("long"),
            R"(400{"error":{"message":"prompt has 3000 tokens, the context is 2048",)"
            R"("type":"invalid_request_error","param":null,"code":"context_length_exceeded"}})");
  EXPECT_EQ(failure("full"), R"(503{"error":{"message":"512 requests wait already",)"
                             R"("type":"unavailable_error","param":null,"code":"exhausted"}})");
  EXPECT_EQ(failure("early"), R"(500{"error":{"message":"broken weights",)"
                              R"("type":"server_error","param":null,"code":"corrupt"}})");
  EXPECT_EQ(chat(R"("model":"full")").headers[0].name, "retry-after");
}

TEST_F(ApiTest, AFailureInTheMiddleIsTheLastEvent) {
  EXPECT_THAT(chat(R"("stream":true,"model":"late")").body,
              EndsWith("data: {\"error\":{\"message\":\"lost in the middle\","
                       "\"type\":\"server_error\",\"param\":null,\"code\":\"internal\"}}\n\n"));
  EXPECT_EQ(chat(R"("model":"late")").status, 500);
}

TEST_F(ApiTest, ModelsAndDomains) {
  EXPECT_THAT(ask("GET", "/v1/models").body, HasSubstr("\"id\":\"org/m\",\"object\":\"model\""));
  for (const char* path : {"/v1/models/org/m", "/v1/models/org%2Fm"})
    EXPECT_THAT(ask("GET", path).body, StartsWith("{\"id\":\"org/m\"")) << path;
  EXPECT_THAT(ask("GET", "/v1/models/loaded").body,
              EndsWith("{\"id\":\"m\",\"path\":\"m.gguf\",\"backend\":\"gguf\",\"bytes\":7,"
                       "\"in_use\":1,\"pinned\":true,\"last_used\":1.5,\"predicted_bytes\":6,"
                       "\"memory\":{\"weights_mapped_bytes\":4,\"weights_private_bytes\":1,"
                       "\"kv_bytes\":1,\"scratch_bytes\":0}}],\"bytes\":7,"
                       "\"budget_bytes\":100}"));
  EXPECT_EQ(ask("GET", "/v1/domains/general").body, "{\"id\":\"general\"}");
  EXPECT_THAT(ask("GET", "/v1/domains").body, StartsWith("{\"object\":\"list\""));
  const std::string chat_path = "/v1/domains/general/chat/completions";
  EXPECT_EQ(ask("POST", chat_path, chat_with("")).status, 200);
  EXPECT_EQ(ask("POST", chat_path, chat_with(R"("model":"general")")).status, 200);
  EXPECT_EQ(ask("POST", chat_path, chat_with(R"("model":"other")")).status, 400);
  EXPECT_EQ(ask("POST", "/v1/domains/x/chat/completions", chat_with("")).status, 404);
  for (const char* path : {"/v1/models/none", "/v1/domains/none", "/v1/models/..%2f..%2fetc"})
    EXPECT_THAT(ask("GET", path).body, HasSubstr("\"code\":\"model_not_found\"")) << path;
}

TEST_F(ApiTest, AFallbackSaysWhoWasSkippedAndWhy) {
  const net::Response response = chat(R"("model":"fallback")");
  EXPECT_THAT(response.body,
              HasSubstr(R"("fallback":true,"fallback_reason":"does_not_fit","skipped":[{"name":)"
                        R"("first","reason":"does_not_fit","message":"first needs 5 MiB"}]})"));
  EXPECT_EQ(response.headers[5].name + "=" + response.headers[5].value,
            "x-localai-fallback-reason=does_not_fit");
}

TEST_F(ApiTest, AStreamThatAsksForProgressBeginsAtOnce) {
  headers_ = {{"x-localai-progress", "1"}};
  const net::Response response = chat(R"("stream":true)");
  EXPECT_THAT(response.body, StartsWith(": loading model\n\ndata: {"));
  EXPECT_THAT(response.body, HasSubstr(kLocalai));
  EXPECT_TRUE(response.headers.empty());
  const net::Response failed = chat(R"("stream":true,"model":"missing")");
  EXPECT_EQ(failed.status, 200);
  EXPECT_THAT(failed.body, HasSubstr("\"code\":\"model_not_found\""));
  EXPECT_EQ(chat(R"("model":"missing")").status, 404) << "a whole answer has a status";
}

TEST_F(ApiTest, PlanLoadAndUnload) {
  EXPECT_EQ(ask("POST", "/v1/models/plan", R"({"model":"x"})").body,
            R"({"model":"x","load":"x","bytes":9,"evict":[{"id":"m","bytes":7,)"
            R"("reason":"least recently used"}],"fits":true,"wait_ms":0.0,"eta_ms":2.5,)"
            R"("reason":null})");
  EXPECT_EQ(ask("POST", "/v1/models/plan", R"({"model":"missing"})").status, 404);
  EXPECT_THAT(ask("POST", "/v1/models/load", R"({"model":"m"})").body,
              EndsWith(R"("loaded":true})"));
  EXPECT_EQ(ask("POST", "/v1/models/load", R"({"model":"full"})").status, 503);
  EXPECT_EQ(ask("POST", "/v1/models/unload", R"({"model":"m"})").body,
            R"({"id":"m","unloaded":true,"bytes":7})");
  for (const char* body :
       {"", "[]", "{}", R"({"model":""})", R"({"model":1})", R"({"model":"m","keep":1})"})
    EXPECT_EQ(ask("POST", "/v1/models/unload", body).status, 400) << body;
}

TEST_F(ApiTest, TheEventLogIsAStream) {
  service_.events.add({.type = "load_failed", .model = "a", .reason = "broken"});
  service_.events.add(
      {.type = "load_started", .model = "b", .bytes = 9, .evict = {{"", "a", 7, "oldest"}}});
  query_ = "follow=false";
  const std::string all = ask("GET", "/v1/models/events").body;
  EXPECT_THAT(all, StartsWith("id: 1\ndata: {\"id\":1,"));
  EXPECT_THAT(all, HasSubstr("\"bytes\":0,\"reason\":\"broken\"}\n\nid: 2\ndata: "));
  EXPECT_THAT(all, EndsWith("\"bytes\":9,\"evict\":[{\"id\":\"a\",\"bytes\":7,\"reason\":"
                            "\"oldest\"}]}\n\n"));
  query_ = "after=1&follow=false";
  EXPECT_THAT(ask("GET", "/v1/models/events").body, StartsWith("id: 2\n"));
  query_ = "after=x";
  EXPECT_EQ(ask("GET", "/v1/models/events").status, 400);
}

TEST_F(ApiTest, WhatClientsOfTheEarlierServerCall) {
  EXPECT_EQ(ask("GET", "/v1/domain-registry").body,
            R"({"domains":{"general":{"model_path":"m.gguf"}}})");
  EXPECT_THAT(ask("GET", "/v1/agent-catalog").body,
              StartsWith(R"({"object":"list","data":[{"id":"general","name":null,)"));
  EXPECT_THAT(ask("GET", "/v2/models").body, EndsWith(R"(}],"version":"v2","count":1})"));
  EXPECT_THAT(ask("GET", "/v2/health").body, StartsWith(R"({"status":"ok","version":"v2",)"));
  const std::string path = "/v2/chat/completions";
  const net::Response whole =
      ask("POST", path, chat_with(R"("workflow_id":"w7","trace_parent":"t","async":false)"));
  EXPECT_THAT(whole.body, StartsWith(R"({"id":"v2_req_)"));
  EXPECT_THAT(whole.body, HasSubstr(R"("domain":"general","workflow_id":"w7","request_time":")"));
  for (const char* field :
       {R"("async":true)", R"("callback_url":"http://x")", R"("workflow_id":1)", R"("nonsense":1)"})
    EXPECT_EQ(ask("POST", path, chat_with(field)).status, 400) << field;
  EXPECT_EQ(ask("POST", path, "{").status, 400);
}

TEST_F(ApiTest, RouteTellsTheDecision) {
  EXPECT_EQ(ask("POST", "/v1/route", R"({"input":"hi"})").body,
            R"({"domain":"general","model":"m","backend":"gguf","stage":"rules",)"
            R"("reason":"no image","candidates":[{"domain":"general","score":1.5,)"
            R"("why":"because"}]})");
  EXPECT_THAT(ask("POST", "/v1/route",
                  R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"},)"
                  R"({"type":"image_url","image_url":{"url":"data:"}}]}]})")
                  .body,
              HasSubstr("\"reason\":\"an image\""));
  EXPECT_EQ(ask("POST", "/v1/route", R"({"input":"hi","model":"missing"})").status, 404);
  EXPECT_EQ(ask("POST", "/v1/route", R"({"input":1})").status, 400);
  EXPECT_EQ(ask("POST", "/v1/route", R"({"input":"hi","domains":"x"})").status, 400);
}

TEST_F(ApiTest, HealthAndTheRest) {
  const std::string metrics = ask("GET", "/metrics").body;
  for (const char* line :
       {"localai_model_cache_bytes 7\n", "localai_model_cache_budget_bytes 100\n",
        "localai_model_bytes{model=\"m\",backend=\"gguf\"} 7\n",
        "localai_transformers_breaker_state{service=\"http://one\\\"\"} 2\n",
        "localai_transformers_process_up{service=\"http://two\"} 1\n",
        "localai_transformers_process_starts_total{service=\"http://two\"} 5\n",
        "localai_transformers_breaker_opened_total{service=\"http://one\\\"\"} 1\n",
        "localai_transformers_calls_total{service=\"http://one\\\"\",result=\"success\"} 4\n",
        "localai_transformers_calls_total{service=\"http://one\\\"\",result=\"failure\"} 3\n",
        "localai_transformers_calls_total{service=\"http://one\\\"\",result=\"refused\"} 2\n"})
    EXPECT_THAT(metrics, HasSubstr(line));
  for (const char* path : {"/health", "/healthz", "/livez", "/readyz"})
    EXPECT_THAT(ask("GET", path).body, StartsWith("{\"status\":\"ok\"")) << path;
  EXPECT_EQ(ask("HEAD", "/health").status, 200);
  EXPECT_THAT(ask("GET", "/").body, StartsWith("localai 1.2.3\n"));
  EXPECT_EQ(ask("GET", "/v1/nothing").body,
            R"({"error":{"message":"there is no endpoint GET /v1/nothing",)"
            R"("type":"invalid_request_error","param":null,"code":"unknown_url"}})");
  const net::Response wrong = ask("GET", "/v1/chat/completions");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers[0].name + ": " + wrong.headers[0].value, "allow: POST");
  EXPECT_EQ(ask("POST", "/health").status, 405);
  EXPECT_EQ(ask("GET", "/v1/models/%00").status, 404);
}

TEST_F(ApiTest, ReadyIsFalseWhileDraining) {
  const Api draining(service_, {"1", [] { return true; }});
  const auto sink = std::make_shared<RecordingSink>();
  net::Request request;
  request.method = "GET";
  request.path = "/readyz";
  draining.handle(std::move(request), sink);
  EXPECT_EQ(sink->wait().status, 503);
}

// ---- through sockets

class LoopbackTest : public ::testing::Test {
 protected:
  LoopbackTest() {
    net::ServerOptions options;
    options.port = 0;
    options.render_refusal = [](const net::Refusal& refusal) {
      return error_response(from_refusal(refusal));
    };
    auto server = net::Server::listen(
        std::move(options), [this](net::Request request, std::shared_ptr<net::Sink> sink) {
          api_.handle(std::move(request), std::move(sink));
        });
    EXPECT_TRUE(server.ok());
    server_ = std::move(*server);
    thread_ = std::thread([this] { server_->run(); });
  }
  ~LoopbackTest() override {
    server_->stop();
    thread_.join();
  }
  [[nodiscard]] int open() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  static void post(int fd, const std::string& body) {
    const std::string request =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/json\r\nContent-Length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body;
    EXPECT_EQ(::send(fd, request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
  }
  static std::string read_until(int fd, std::string_view end) {
    std::string out;
    char buffer[4096];
    while (out.find(end) == std::string::npos) {
      const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      out.append(buffer, static_cast<size_t>(n));
    }
    return out;
  }
  bool comes_to_rest() {
    for (int i = 0; i < 2000 && service_.running != 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return service_.running == 0;
  }

  FakeService service_;
  Api api_{service_, {"1", [] { return false; }}};
  std::unique_ptr<net::Server> server_;
  std::thread thread_;
};

TEST_F(LoopbackTest, ADisconnectStopsTheGenerationStreamedOrNot) {
  for (const char* stream : {"true", "false"}) {
    const int fd = open();
    post(fd, chat_with(std::string(R"("model":"slow","stream":)") + stream));
    if (std::string_view(stream) == "true")
      EXPECT_THAT(read_until(fd, " lo"), HasSubstr("x-localai-model: m%C3%A9\r\n"));
    else
      while (service_.running == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ::close(fd);
    EXPECT_TRUE(comes_to_rest()) << stream;
  }
}

TEST_F(LoopbackTest, AHalfClosedClientGetsItsWholeStream) {
  const int fd = open();
  post(fd, chat_with(R"("stream":true)"));
  ::shutdown(fd, SHUT_WR);
  EXPECT_THAT(read_until(fd, "0\r\n\r\n"), EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
  ::close(fd);
}

}  // namespace
}  // namespace localai::server
