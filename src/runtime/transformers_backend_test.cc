// Domains of the backend hf-transformers, through the whole runtime, against a service that the
// test scripts.
#include "runtime/transformers_backend.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "runtime/fake_models.h"
#include "runtime/fake_transformers.h"
#include "runtime/local_service.h"

namespace localai::runtime {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Mode = FakeTransformers::Mode;

// One answer: its text, then how it ended.
struct Answer {
  std::promise<void> over;
  std::mutex mutex;
  std::optional<Resolution> resolution;
  std::string text, end;
  Finished finished;
  std::promise<void> first_text;
  bool has_text = false;
  Generation ticket;
};

class TransformersBackendTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) /
            ("transformers_" +
             std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::create_directories(root_ / "models");
    std::ofstream(root_ / "models" / "native.gguf") << "x";
    make(fake_.url());
  }
  void TearDown() override {
    service_.reset();
    fs::remove_all(root_);
  }

  void make(const std::string& url) {
    service_.reset();
    Settings settings;
    settings.transformers_base_url = url;
    settings.cache_wait_seconds = 5;
    settings.breaker.failure_threshold = 3;
    settings.breaker.open_for = std::chrono::hours(1);
    auto config = parse_domain_config(
        R"({"domains": {
          "phi": {"backend_type": "hf-transformers", "model_name": "phi-3.5-mini",
                  "temperature": 0.5, "context_length": 200, "fallback_model": "native",
                  "transformers_config": {"timeout_seconds": 1, "dtype": "bfloat16",
                    "quantization": "nf4", "double_quant": true}},
          "alone": {"backend_type": "hf-transformers", "model_name": "alone",
                    "transformers_config": {"timeout_seconds": 1}},
          "native": {"model_path": "native.gguf"}},
          "default_domain": "native"})",
        root_ / "domains.json", settings, [](std::string_view) { return std::nullopt; });
    ASSERT_TRUE(config.ok()) << config.error().message;
    ASSERT_TRUE(config->errors.empty());
    ServiceOptions options;
    options.config = std::move(*config);
    options.settings = std::move(settings);
    options.resolver.models_dir = root_ / "models";
    service_ =
        std::make_unique<LocalService>(std::move(options), std::make_unique<FakeOpener>(world_));
  }

  static GenerateRequest chat(const std::string& text) {
    ChatInput input;
    input.messages.push_back({{"role", "user"}, {"content", text}});
    GenerateRequest request;
    request.input = std::move(input);
    return request;
  }

  std::shared_ptr<Answer> start(const std::string& model, GenerateRequest request) {
    auto answer = std::make_shared<Answer>();
    answer->ticket = service_->start(
        model, std::move(request),
        [answer](Result<Resolution> decision) {
          const std::lock_guard lock(answer->mutex);
          if (decision.ok()) {
            answer->resolution = std::move(*decision);
          } else {
            answer->end = "refused: " + decision.error().message;
            answer->over.set_value();
          }
        },
        [answer](GenerateEvent event) {
          const std::lock_guard lock(answer->mutex);
          EXPECT_TRUE(answer->resolution) << "an event before the decision";
          if (auto* delta = std::get_if<TokenDelta>(&event)) {
            answer->text += delta->text;
            if (!std::exchange(answer->has_text, true)) answer->first_text.set_value();
          } else if (auto* finished = std::get_if<Finished>(&event)) {
            answer->finished = *finished;
            answer->end = finish_reason_name(finished->reason);
            answer->over.set_value();
          } else if (auto* failed = std::get_if<Failed>(&event)) {
            answer->end = "failed: " + failed->error.message;
            answer->over.set_value();
          }
        });
    return answer;
  }
  // "model: text (end)" with the fallback's reason.
  std::string ask(const std::string& model, GenerateRequest request) {
    const auto answer = start(model, std::move(request));
    answer->over.get_future().wait();
    answer->ticket.reset();
    const std::lock_guard lock(answer->mutex);
    if (!answer->resolution) return answer->end;
    const auto& skipped = answer->resolution->skipped;
    return answer->resolution->model + ": " + answer->text + " (" + answer->end + ")" +
           (skipped.empty() ? "" : " after " + skipped[0].name + ": " + skipped[0].reason);
  }
  std::string ask(const std::string& model) { return ask(model, chat("Hello")); }
  CircuitBreaker::Snapshot breaker() { return service_->transformers()[0].breaker; }

  static constexpr const char* kFallback = "native: one two three (stop) after phi: backend_down";

  FakeTransformers fake_;
  FakeWorld world_;
  fs::path root_;
  std::unique_ptr<LocalService> service_;
};

TEST_F(TransformersBackendTest, AnswersAndPassesEverythingOn) {
  GenerateRequest request = chat("Hello");
  auto& input = std::get<ChatInput>(request.input);
  input.tools = Json::array({{{"type", "function"}}});
  input.template_kwargs = {{"deep", true}};
  request.sampling.top_k = 3;
  request.sampling.seed = 18446744073709551615u;
  request.max_tokens = 9;
  request.stop = {"END"};
  request.logprobs = true;
  request.top_logprobs = 2;
  const auto answer = start("phi", std::move(request));
  answer->over.get_future().wait();
  answer->ticket.reset();  // it holds the request's state, and that the answer
  EXPECT_EQ(answer->text + "/" + answer->end, "one two three/length");
  EXPECT_EQ(answer->finished.usage.prompt_tokens, 5u);
  EXPECT_EQ(answer->finished.usage.completion_tokens, 3u);
  EXPECT_EQ(answer->resolution->backend, "hf-transformers");
  EXPECT_EQ(answer->resolution->model, "phi-3.5-mini");
  const auto asked = fake_.asked("/v1/chat/completions");
  ASSERT_EQ(asked.size(), 1u);
  const auto wanted = parse_json(R"({"model":"phi-3.5-mini","dtype":"bfloat16","quantization":
    {"bits":4,"type":"nf4","double_quant":true},"messages":[{"role":"user","content":"Hello"}],
    "tools":[{"type":"function"}],"chat_template_kwargs":{"deep":true},"temperature":0.5,
    "top_k":3,"seed":18446744073709551615,"max_tokens":9,"stop":["END"],"context_length":200,
    "logprobs":true,"top_logprobs":2,"stream":true,"stream_options":{"include_usage":true}})");
  ASSERT_TRUE(wanted.ok());
  EXPECT_EQ(asked[0], *wanted);
  GenerateRequest plain;
  plain.input = std::vector<int32_t>{1, 2};
  EXPECT_EQ(ask("phi", std::move(plain)), "phi-3.5-mini: one two three (length)");
  EXPECT_EQ(fake_.asked("/v1/completions")[0]["prompt"], Json({1, 2}));
  EXPECT_EQ(fake_.asked("/v1/models/load").size(), 1u);
}

TEST_F(TransformersBackendTest, ItsBytesAreInTheLedgerUntilItIsUnloaded) {
  ask("phi");
  const LoadedModels loaded = service_->loaded();
  ASSERT_EQ(loaded.models.size(), 1u);
  EXPECT_EQ(loaded.models[0].id, "phi-3.5-mini");
  EXPECT_EQ(loaded.models[0].backend, "hf-transformers");
  EXPECT_EQ(loaded.models[0].memory.weights_private_bytes, 120u);
  EXPECT_EQ(loaded.bytes, 120u);
  std::promise<Result<Unloaded>> done;
  service_->unload("phi", [&](Result<Unloaded> result) { done.set_value(std::move(result)); });
  const auto unloaded = done.get_future().get();
  ASSERT_TRUE(unloaded.ok());
  EXPECT_EQ(unloaded->model, "phi-3.5-mini");
  EXPECT_EQ(service_->loaded().bytes, 0u);
  EXPECT_EQ(fake_.asked("/v1/models/unload")[0]["quantization"]["bits"], 4);
}

TEST_F(TransformersBackendTest, AnotherModelAnswersWhateverFailsBeforeTheFirstText) {
  for (const Mode mode :
       {Mode::kStatus, Mode::kNonsense, Mode::kCutBeforeText, Mode::kErrorEvent, Mode::kSilent}) {
    make(fake_.url());
    fake_.set(mode, 500, "{}");
    EXPECT_EQ(ask("phi"), kFallback) << static_cast<int>(mode);
    EXPECT_EQ(breaker().failures, 1u) << static_cast<int>(mode);
  }
  make(fake_.url());
  fake_.set(Mode::kStatus, 404, R"({"error":{"message":"no","code":"model_not_found"}})");
  EXPECT_EQ(ask("phi"), kFallback);
  EXPECT_EQ(breaker().failures, 0u) << "the service is well";
}

TEST_F(TransformersBackendTest, ARequestAtFaultStaysOne) {
  fake_.set(Mode::kStatus, 400, R"({"error":{"message":"too hot","code":"invalid_value"}})");
  EXPECT_THAT(ask("phi"), HasSubstr("too hot"));
  EXPECT_THAT(ask("phi"), ::testing::Not(HasSubstr("native")));
  fake_.set(Mode::kStatus, 429, R"({"error":{"message":"full","code":"exhausted"}})");
  EXPECT_THAT(ask("phi"), HasSubstr("full"));
  GenerateRequest biased = chat("x");
  biased.sampling.logit_bias = {{1, 1.f}};
  EXPECT_THAT(ask("phi", std::move(biased)), HasSubstr("refused: logit_bias: "));
  EXPECT_EQ(breaker().failures, 0u);
}

TEST_F(TransformersBackendTest, AfterTheFirstTextAFailureEndsTheAnswer) {
  for (const Mode mode : {Mode::kCutInText, Mode::kErrorInText, Mode::kStallInText}) {
    make(fake_.url());
    fake_.set(mode);
    EXPECT_THAT(ask("phi"),
                HasSubstr("phi-3.5-mini: one two  (failed: Transformers service " + fake_.url()))
        << static_cast<int>(mode);
    EXPECT_EQ(breaker().failures, 1u);
  }
}

TEST_F(TransformersBackendTest, WithoutAnotherCandidateTheErrorSaysWhatFailed) {
  make("http://127.0.0.1:1");
  EXPECT_EQ(ask("phi"), kFallback);
  std::promise<Result<LoadPlan>> planned;
  service_->plan("alone", [&](Result<LoadPlan> plan) { planned.set_value(std::move(plan)); });
  const auto plan = planned.get_future().get();
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, Code::kUnavailable);
  EXPECT_THAT(plan.error().message, HasSubstr("127.0.0.1:1: connect: "));
}

TEST_F(TransformersBackendTest, AnOpenBreakerLeavesTheServiceAlone) {
  ask("phi");
  fake_.set(Mode::kStatus, 500, "{}");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask("phi"), kFallback);
  EXPECT_EQ(breaker().state, CircuitBreaker::State::kOpen);
  fake_.set(Mode::kAnswer);
  const size_t before = fake_.asked("/v1/chat/completions").size();
  EXPECT_EQ(ask("phi"), kFallback);
  EXPECT_EQ(fake_.asked("/v1/chat/completions").size(), before);
  EXPECT_EQ(breaker().refused, 1u);
}

TEST_F(TransformersBackendTest, AClientThatGoesClosesTheConnection) {
  fake_.set(Mode::kSlow);
  const auto answer = start("phi", chat("Hello"));
  answer->first_text.get_future().wait();
  answer->ticket.reset();
  fake_.wait_for_disconnect();
  answer->over.get_future().wait();
  EXPECT_EQ(answer->end, "cancelled");
  EXPECT_EQ(breaker().failures, 0u);
}

TEST_F(TransformersBackendTest, TheEndOfTheServerEndsWhatIsUnderWay) {
  fake_.set(Mode::kSlow);
  const auto answer = start("phi", chat("Hello"));
  answer->first_text.get_future().wait();
  service_.reset();
  EXPECT_EQ(answer->end, "cancelled");
  answer->ticket.reset();
}

TEST_F(TransformersBackendTest, Embeds) {
  const auto embed = [&](std::vector<engine::EmbeddingInput> inputs) {
    std::promise<Result<EmbeddingAnswer>> done;
    const Generation ticket =
        service_->embed("alone", std::move(inputs),
                        [&](Result<EmbeddingAnswer> answer) { done.set_value(std::move(answer)); });
    return done.get_future().get();
  };
  fake_.set(Mode::kAnswer, 200,
            R"({"data":[{"index":0,"embedding":[0.5,1]},{"index":1,"embedding":[2,3]}],
                "usage":{"prompt_tokens":4}})");
  const auto answer = embed({std::string("a"), std::string("b")});
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_THAT(answer->embeddings.values, ElementsAre(0.5f, 1.f, 2.f, 3.f));
  EXPECT_EQ(answer->embeddings.dimension, 2u);
  EXPECT_EQ(answer->embeddings.tokens, 4u);
  EXPECT_EQ(fake_.asked("/v1/embeddings")[0]["input"], Json({"a", "b"}));
  EXPECT_EQ(embed({std::string("a")}).error().code, Code::kUnavailable) << "one vector too many";
  EXPECT_EQ(embed({std::vector<engine::TokenId>{1}}).error().code, Code::kInvalidArgument);
  fake_.set(Mode::kStatus, 400, R"({"error":{"message":"it generates","code":"invalid_value"}})");
  EXPECT_EQ(embed({std::string("a")}).error().code, Code::kInvalidArgument);
  for (const char* bad :
       {"{}", "[]", R"({"data":[{"index":1,"embedding":[1]}],"usage":{"prompt_tokens":1}})",
        R"({"data":[{"index":0,"embedding":["x"]}],"usage":{"prompt_tokens":1}})",
        R"({"data":[{"index":0,"embedding":[]}],"usage":{"prompt_tokens":1}})",
        R"({"data":[{"index":0,"embedding":[1]}]})"}) {
    make(fake_.url());
    fake_.set(Mode::kAnswer, 200, bad);
    EXPECT_EQ(embed({std::string("a")}).error().code, Code::kUnavailable) << bad;
  }
}

}  // namespace
}  // namespace localai::runtime
