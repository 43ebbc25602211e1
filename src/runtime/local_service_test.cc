#include "runtime/local_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>

#include "runtime/fake_models.h"

namespace localai::runtime {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One request, from start() to its end.
struct Answer {
  std::promise<Result<Resolution>> ready;
  std::promise<void> ended;
  std::mutex mutex;
  std::string text;
  std::vector<std::string> events;
  Generation ticket;

  Result<Resolution> decision() { return ready.get_future().get(); }
  void wait() { ended.get_future().wait(); }
  std::vector<std::string> seen() {
    const std::lock_guard lock(mutex);
    return events;
  }
};

class LocalServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ =
        fs::path(::testing::TempDir()) /
        ("service_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(root_);
    fs::create_directories(root_ / "models");
    for (const char* name : {"one", "two", "big"})
      std::ofstream(root_ / "models" / (std::string(name) + ".gguf")) << "x";
    world_.models["big"].bytes = 5000;
  }
  void TearDown() override {
    service_.reset();
    fs::remove_all(root_);
  }

  void make(Settings settings = {}, std::string_view json = kConfig) {
    settings.cache_wait_seconds = 0;
    ServiceOptions options;
    settings.cache_bytes_max = 250;
    auto config = parse_domain_config(json, root_ / "domains.json", settings,
                                      [](std::string_view) { return std::nullopt; });
    ASSERT_TRUE(config.ok()) << config.error().message;
    options.config = std::move(*config);
    options.settings = std::move(settings);
    options.resolver.models_dir = root_ / "models";
    service_ =
        std::make_unique<LocalService>(std::move(options), std::make_unique<FakeOpener>(world_));
  }

  std::shared_ptr<Answer> start(const std::string& model, GenerateRequest request = {}) {
    auto answer = std::make_shared<Answer>();
    // The ticket keeps the sinks alive: they must not keep the ticket.
    const std::weak_ptr<Answer> weak = answer;
    answers_.push_back(answer);
    answer->ticket = service_->start(
        model, std::move(request),
        [weak](Result<Resolution> decision) {
          if (const auto self = weak.lock()) self->ready.set_value(std::move(decision));
        },
        [weak](GenerateEvent event) {
          const auto self = weak.lock();
          if (!self) return;
          const std::lock_guard lock(self->mutex);
          constexpr const char* kNames[] = {"started", "token", "finished", "failed"};
          self->events.push_back(kNames[event.index()]);
          if (const auto* delta = std::get_if<TokenDelta>(&event)) self->text += delta->text;
          if (event.index() >= 2) self->ended.set_value();
        });
    return answer;
  }
  std::string refusal(const std::string& model, GenerateRequest request = {}) {
    const auto decision = start(model, std::move(request))->decision();
    return decision.ok() ? "" : decision.error().message;
  }
  // "model < skipped candidate: reason, ..."
  std::string chain(const std::string& model) {
    const auto decision = start(model)->decision();
    if (!decision.ok()) return decision.error().message;
    EXPECT_EQ(decision->fallback, !decision->skipped.empty());
    std::string out = decision->domain + " -> " + decision->model;
    for (const SkippedCandidate& skip : decision->skipped)
      out += " < " + skip.name + ": " + skip.reason;
    return out;
  }
  std::string decided(const std::string& model) {
    const auto decision = start(model)->decision();
    if (!decision.ok()) return decision.error().message;
    return decision->domain + "|" + decision->model + "|" + decision->backend + "|" +
           decision->route;
  }

  static constexpr std::string_view kConfig = R"({"domains": {
    "general": {"model_path": "one.gguf", "temperature": 0.25, "max_tokens": 7, "stop": ["END"],
                "top_k": 3, "context_length": 4096, "system_prompt": "Be kind."},
    "0x3579-VectorAgent": {"model_path": "models/one.gguf", "agent_id": "vector"},
    "two": {"model_name": "two", "aliases": ["second"]},
    "remote": {"backend_type": "hf-transformers", "model_name": "phi"},
    "lost": {"model_path": "gone.gguf"},
    "wide": {"model_path": "big.gguf"},
    "down": {"model_path": "down.gguf"},
    "chain": {"model_path": "bad.gguf", "fallback_model": "nosuch",
              "fallback_models": ["lost", "down", "second", "one"]},
    "broken": {"temperature": "hot"}},
    "layer_mapping": {"layer1": {"Team": ["two"]}}})";

  FakeWorld world_;
  fs::path root_;
  std::vector<std::shared_ptr<Answer>> answers_;
  std::unique_ptr<LocalService> service_;
};

TEST_F(LocalServiceTest, NamesAreLookedUpInTheDocumentedOrder) {
  make();
  EXPECT_EQ(decided("general"), "general|one|gguf|explicit");
  EXPECT_EQ(decided("auto"), "general|one|gguf|default");
  EXPECT_EQ(decided(""), "general|one|gguf|default");
  EXPECT_EQ(decided("0x3579-VectorAgent"), "0x3579-VectorAgent|one|gguf|explicit");
  EXPECT_EQ(decided("vector"), "0x3579-VectorAgent|one|gguf|explicit");
  EXPECT_EQ(decided("0x3579"), "0x3579-VectorAgent|one|gguf|explicit");
  EXPECT_EQ(decided("second"), "two|two|gguf|explicit");
  EXPECT_EQ(decided("two"), "two|two|gguf|explicit") << "a domain comes before a model";
  EXPECT_EQ(decided("one"), "|one|gguf|explicit");
  EXPECT_EQ(decided("models/one.gguf"), "|one|gguf|explicit");
  EXPECT_EQ(decided("nosuch"), "model 'nosuch': no domain, model or path of that name");
}

TEST_F(LocalServiceTest, TheRouterChoosesAndTheAllowListHoldsForFallbacksToo) {
  make({}, R"({"domains": {
    "general": {"model_path": "one.gguf"},
    "sql": {"model_path": "two.gguf", "keywords": ["sql"], "aliases": ["database"]},
    "lost": {"model_path": "gone.gguf", "keywords": ["lost"], "fallback_model": "sql"}}})");
  const auto ask = [&](const std::string& model, std::string text,
                       std::vector<std::string> domains) {
    GenerateRequest request;
    request.input = std::move(text);
    request.route.domains = std::move(domains);
    auto decision = start(model, std::move(request))->decision();
    if (!decision.ok()) return decision.error().message;
    std::string out = decision->domain + "|" + decision->model + "|" + decision->route;
    for (const SkippedCandidate& skip : decision->skipped)
      out += " < " + skip.name + ": " + skip.reason;
    return out;
  };
  EXPECT_EQ(ask("auto", "some SQL", {}), "sql|two|rules");
  EXPECT_EQ(ask("", "hello", {}), "general|one|default");
  EXPECT_EQ(ask("auto", "some sql", {"general"}), "general|one|default");
  EXPECT_EQ(ask("auto", "hello", {"database"}), "sql|two|default");
  EXPECT_EQ(ask("auto", "lost", {}), "lost|two|rules < lost: missing_file");
  EXPECT_EQ(ask("auto", "lost", {"lost", "general"}),
            "lost|one|rules < lost: missing_file < sql: not_allowed");
  EXPECT_THAT(ask("auto", "lost", {"lost"}), HasSubstr("'general' (not_allowed"));
  EXPECT_EQ(ask("sql", "x", {"database"}), "sql|two|explicit");
  EXPECT_EQ(ask("two", "x", {"sql"}), "model: 'two' is not among the request's domains ('sql')");
  EXPECT_EQ(ask("auto", "x", {"nobody"}), "domains: none of 'nobody' is a configured domain");
}

TEST_F(LocalServiceTest, RouteTellsTheDecisionWithoutLoading) {
  make();
  const auto route = [&](const std::string& model) {
    std::promise<Result<RouteDecision>> promise;
    service_->route(model, {}, [&](Result<RouteDecision> d) { promise.set_value(std::move(d)); });
    return promise.get_future().get();
  };
  const auto automatic = route("auto");
  ASSERT_TRUE(automatic.ok()) << automatic.error().message;
  EXPECT_EQ(automatic->domain + "|" + automatic->model + "|" + automatic->stage,
            "general|one|default");
  EXPECT_EQ(automatic->candidates.size(), 8u);
  EXPECT_EQ(route("second")->domain + "|" + route("second")->stage, "two|explicit");
  EXPECT_EQ(route("lost")->model, "gone") << "shown as the config has it";
  EXPECT_EQ(route("one")->domain, "");
  EXPECT_EQ(route("nosuch").error().code, Code::kNotFound);
  EXPECT_TRUE(service_->loaded().models.empty());
}

TEST_F(LocalServiceTest, WhatCannotAnswerSaysWhy) {
  make();
  GenerateRequest request;
  request.input = std::string("too long");
  EXPECT_EQ(refusal("one", request), "prompt has 3000 tokens, the context is 2048");
  EXPECT_EQ(start("nosuch")->decision().error().code, Code::kNotFound);
}

TEST_F(LocalServiceTest, WhatCannotAnswerIsSkippedForTheNextAndTheAnswerSaysSo) {
  world_.models["vaultgemma-1b"].bytes = 100;
  std::ofstream(root_ / "models" / "vaultgemma-1b.gguf") << "x";
  for (const char* name : {"bad", "down"})
    std::ofstream(root_ / (std::string(name) + ".gguf")) << "x";
  world_.models["bad"].open_error = corrupt("bad.gguf: magic is 0");
  world_.models["down"].generate_error = unavailable("connection refused");
  make();
  EXPECT_EQ(chain("remote"), "remote -> one < remote: backend_down");
  EXPECT_EQ(chain("lost"), "lost -> one < lost: missing_file");
  EXPECT_EQ(chain("wide"), "wide -> one < wide: does_not_fit");
  EXPECT_EQ(chain("chain"),
            "chain -> two < chain: load_failed < nosuch: missing_file < lost: missing_file"
            " < down: backend_down");
  EXPECT_EQ(chain("general"), "general -> one");
  EXPECT_THAT(chain("big"), ::testing::StartsWith("model 'big' needs"))
      << "a model named directly has no fallback";
}

TEST_F(LocalServiceTest, VaultGemmaIsTheLastFallbackUnlessDisabled) {
  constexpr std::string_view json = R"({"domains": {"a": {"model_path": "gone.gguf"}}})";
  make({}, json);
  EXPECT_THAT(refusal("a"), ::testing::StartsWith("domain 'a': model_path: 'gone.gguf'"));
  EXPECT_EQ(start("a")->decision().error().code, Code::kUnavailable) << "the name is known";
  std::ofstream(root_ / "models" / "vaultgemma-1b.gguf") << "x";
  EXPECT_EQ(chain("a"), "a -> vaultgemma-1b < a: missing_file");
  Settings disabled;
  disabled.vaultgemma_fallback = false;
  make(disabled, json);
  EXPECT_THAT(refusal("a"), ::testing::HasSubstr("; instead: 'vaultgemma-1b' (disabled: "));
}

TEST_F(LocalServiceTest, AFallbackAnswersAsTheDomainThatWasAsked) {
  constexpr std::string_view json = R"({"default_domain": "other", "domains": {
    "asked": {"model_path": "gone.gguf", "system_prompt": "Be the one asked.", "max_tokens": 5,
              "context_length": 99},
    "other": {"model_path": "one.gguf", "system_prompt": "Be another.", "max_tokens": 6,
              "context_length": 1000}}})";
  make({}, json);
  GenerateRequest request;
  request.input = ChatInput{{{{"role", "user"}, {"content", "hi"}}}, nullptr, {}, nullptr};
  start("asked", request)->wait();
  EXPECT_EQ(world_.last_request.max_tokens, 5u);
  EXPECT_EQ(world_.last_request.context_length, 1000u) << "the context is the model's";
  EXPECT_EQ(std::get<ChatInput>(world_.last_request.input).messages[0]["content"],
            "Be the one asked.");
}

TEST_F(LocalServiceTest, ReloadingChangesWhatComesAfterItOnly) {
  world_.models["one"].answers = false;
  make();
  const auto before = start("general");
  ASSERT_TRUE(before->decision().ok());
  auto config = parse_domain_config(R"({"domains": {"fresh": {"model_path": "two.gguf"}}})",
                                    root_ / "domains.json", {},
                                    [](std::string_view) { return std::nullopt; });
  ASSERT_TRUE(config.ok());
  service_->reload(std::move(*config));
  EXPECT_EQ(decided("fresh"), "fresh|two|gguf|explicit");
  EXPECT_EQ(start("general")->decision().error().code, Code::kNotFound);
  EXPECT_EQ(service_->loaded().models[0].in_use, 1u) << "what runs goes on";
  before->ticket.reset();
  before->wait();
}

TEST_F(LocalServiceTest, PlanLoadUnloadByName) {
  make();
  std::promise<Result<LoadedEntry>> loaded;
  service_->load("general", [&](auto entry) { loaded.set_value(std::move(entry)); });
  EXPECT_EQ(loaded.get_future().get()->id, "one");
  std::promise<Result<LoadPlan>> plan;
  service_->plan("general", [&](auto made) { plan.set_value(std::move(made)); });
  EXPECT_TRUE(plan.get_future().get()->loaded);
  std::promise<Result<Unloaded>> unloaded;
  service_->unload("general", [&](auto done) { unloaded.set_value(std::move(done)); });
  EXPECT_EQ(unloaded.get_future().get()->bytes, 100u);
  std::promise<Result<LoadPlan>> unknown;
  service_->plan("nosuch", [&](auto made) { unknown.set_value(std::move(made)); });
  EXPECT_EQ(unknown.get_future().get().error().code, Code::kNotFound);
}

TEST_F(LocalServiceTest, APathFromAClientStaysBelowTheRoots) {
  std::ofstream(root_ / "models/../../outside.gguf") << "x";
  make();
  EXPECT_EQ(refusal("../outside.gguf"),
            "model '../outside.gguf': no domain, model or path of that name");
  EXPECT_EQ(refusal((root_.parent_path() / "outside.gguf").string()),
            "model '" + (root_.parent_path() / "outside.gguf").string() +
                "': no domain, model or path of that name");
  fs::remove(root_.parent_path() / "outside.gguf");
}

TEST_F(LocalServiceTest, EventsFollowTheDecisionInOrder) {
  make();
  const auto answer = start("one");
  ASSERT_TRUE(answer->decision().ok());
  answer->wait();
  EXPECT_EQ(answer->text, "one two three");
  EXPECT_THAT(answer->seen(), ElementsAre("started", "token", "token", "token", "finished"));
  EXPECT_EQ(service_->loaded().models[0].in_use, 0u) << "the lease ends with the answer";
}

TEST_F(LocalServiceTest, DomainsOverOneFileShareOneCopyAndTheLongestContext) {
  make();
  for (const char* name : {"general", "0x3579", "one"}) {
    const auto answer = start(name);
    ASSERT_TRUE(answer->decision().ok());
    answer->wait();
  }
  EXPECT_EQ(world_.count("start one"), 1);
  EXPECT_EQ(service_->loaded().models.size(), 1u);
}

TEST_F(LocalServiceTest, TheDomainFillsInWhatTheRequestLeavesOut) {
  make();
  GenerateRequest request;
  request.sampling.top_k = 9;
  ChatInput chat;
  chat.messages = {{{"role", "user"}, {"content", "hi"}}};
  request.input = chat;
  start("general", request)->wait();
  const GenerateRequest seen = world_.last_request;
  EXPECT_FLOAT_EQ(*seen.sampling.temperature, 0.25f);
  EXPECT_EQ(seen.sampling.top_k, 9) << "the request wins";
  EXPECT_EQ(seen.max_tokens, 7u);
  EXPECT_EQ(seen.context_length, 4096u);
  EXPECT_THAT(seen.stop, ElementsAre("END"));
  EXPECT_EQ(dump_json(std::get<ChatInput>(seen.input).messages),
            R"([{"role":"system","content":"Be kind."},{"role":"user","content":"hi"}])");
  chat.messages.insert(chat.messages.begin(), Json{{"role", "system"}, {"content", "Be brief."}});
  request.input = chat;
  start("general", request)->wait();
  EXPECT_EQ(std::get<ChatInput>(world_.last_request.input).messages.size(), 2u);
}

TEST_F(LocalServiceTest, DroppingWhileLoadingCancels) {
  make();
  world_.hold(true);
  const auto answer = start("one");
  world_.wait([&] { return world_.opens_waiting == 1; });
  answer->ticket.reset();
  world_.hold(false);
  const auto decision = answer->decision();
  ASSERT_FALSE(decision.ok());
  EXPECT_EQ(decision.error().code, Code::kCancelled);
  EXPECT_EQ(world_.count("generate one"), 0);
}

TEST_F(LocalServiceTest, DroppingWhileGeneratingStopsTheBackend) {
  world_.models["one"].answers = false;
  make();
  const auto answer = start("one");
  ASSERT_TRUE(answer->decision().ok());
  EXPECT_EQ(service_->loaded().models[0].in_use, 1u);
  answer->ticket.reset();
  answer->wait();
  EXPECT_EQ(world_.generations_cancelled, 1);
  EXPECT_EQ(service_->loaded().models[0].in_use, 0u);
}

TEST_F(LocalServiceTest, AModelThatGeneratesIsNotUnloadedForAnother) {
  world_.models["one"].answers = false;
  world_.models["two"].bytes = 200;
  make();
  const auto answer = start("one");
  ASSERT_TRUE(answer->decision().ok());
  EXPECT_THAT(refusal("big"), ::testing::HasSubstr("needs 1 MiB, the budget is 1 MiB"));
  EXPECT_EQ(chain("two"), "two -> one < two: timed_out");
  answer->ticket.reset();
  answer->wait();
  EXPECT_TRUE(start("two")->decision().ok());
}

TEST_F(LocalServiceTest, StoppingWhileRequestsAreInEveryStateAnswersAll) {
  world_.models["one"].answers = false;
  make();
  const auto generating = start("one");
  ASSERT_TRUE(generating->decision().ok());
  world_.hold(true);
  const auto loading = start("two");
  world_.wait([&] { return world_.opens_waiting == 1; });
  const auto queued = start("big");
  std::thread release([&] { world_.hold(false); });
  service_.reset();
  release.join();
  generating->wait();
  // The load may end just before the stop is seen; then its request may run, or be over the budget.
  for (const auto& answer : {loading, queued}) {
    const auto decision = answer->decision();
    if (decision.ok())
      answer->wait();
    else
      EXPECT_THAT(decision.error().code, testing::AnyOf(Code::kCancelled, Code::kExhausted));
  }
}

TEST_F(LocalServiceTest, ManyClientsThatComeAndGo) {
  make();
  std::vector<std::jthread> clients;
  for (uint32_t client = 0; client < 8; ++client)
    clients.emplace_back([&, client] {
      for (uint32_t i = 0; i < 50; ++i) {
        auto decision = std::make_shared<std::promise<bool>>();
        auto end = std::make_shared<std::promise<void>>();
        Generation ticket =
            service_->start((client + i) % 2 == 0 ? "general" : "two", {},
                            [=](const Result<Resolution>& made) { decision->set_value(made.ok()); },
                            [=](const GenerateEvent& event) {
                              if (event.index() >= 2) end->set_value();
                            });
        if (i % 3 == 0) ticket.reset();
        if (decision->get_future().get()) end->get_future().wait();
      }
    });
  clients.clear();
  for (const LoadedEntry& model : service_->loaded().models) EXPECT_EQ(model.in_use, 0u);
}

TEST_F(LocalServiceTest, EmbedsThroughTheCacheAndNamesModelsThatCannot) {
  std::ofstream(root_ / "models" / "embedder.gguf") << "x";
  make();
  const auto embed = [&](const std::string& model) {
    std::promise<Result<EmbeddingAnswer>> promise;
    const Generation ticket = service_->embed(
        model, {std::string("a"), std::string("b")},
        [&](Result<EmbeddingAnswer> answer) { promise.set_value(std::move(answer)); });
    return promise.get_future().get();
  };
  const auto answer = embed("embedder");
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->resolution.model, "embedder");
  EXPECT_EQ(answer->resolution.backend, "gguf");
  EXPECT_EQ(answer->embeddings.values, std::vector<float>(2, 1.f));
  ASSERT_EQ(service_->loaded().models.size(), 1u);
  EXPECT_EQ(service_->loaded().models[0].in_use, 0u);

  const auto chatty = embed("general");
  ASSERT_FALSE(chatty.ok());
  EXPECT_EQ(chatty.error().code, Code::kInvalidArgument);
  EXPECT_EQ(chatty.error().message,
            "model 'one': this model generates text; it makes no embeddings");
  EXPECT_EQ(embed("nosuch").error().code, Code::kNotFound);
  EXPECT_EQ(embed("big").error().code, Code::kExhausted);
}

TEST_F(LocalServiceTest, DroppingAnEmbeddingWhileItsModelLoadsCancelsIt) {
  std::ofstream(root_ / "models" / "embedder.gguf") << "x";
  make();
  world_.hold(true);
  std::promise<Result<EmbeddingAnswer>> promise;
  Generation ticket = service_->embed(
      "embedder", {std::string("a")},
      [&](Result<EmbeddingAnswer> answer) { promise.set_value(std::move(answer)); });
  world_.wait([&] { return world_.opens_waiting == 1; });
  ticket.reset();
  world_.hold(false);
  EXPECT_EQ(promise.get_future().get().error().code, Code::kCancelled);
}

constexpr std::string_view kWithEmbedder = R"({"domains": {
  "general": {"model_path": "one.gguf", "description": "anything"},
  "other": {"model_path": "two.gguf", "description": "something else"}},
  "routing": {"embedder": "embedder"}})";

TEST_F(LocalServiceTest, TheRoutersEmbedderIsAModelOfTheCache) {
  std::ofstream(root_ / "models" / "embedder.gguf") << "x";
  make({}, kWithEmbedder);
  const auto routed = [&] {
    std::promise<Result<RouteDecision>> decision;
    GenerateRequest request;
    request.input = "hello";
    service_->route("auto", request, [&](auto made) { decision.set_value(std::move(made)); });
    return decision.get_future().get();
  };
  EXPECT_TRUE(service_->loaded().models.empty()) << "nobody has asked yet";
  EXPECT_EQ(routed()->stage, "embedding");
  EXPECT_EQ(routed()->stage, "embedding");
  ASSERT_EQ(service_->loaded().models.size(), 1u);
  EXPECT_EQ(service_->loaded().models[0].id, "embedder");
  EXPECT_EQ(service_->loaded().models[0].in_use, 1u) << "kept for the router";
  EXPECT_EQ(service_->loaded().bytes, 100u);
  std::promise<Result<LoadedEntry>> entry;
  service_->load("embedder", [&](auto loaded) { entry.set_value(std::move(loaded)); });
  EXPECT_TRUE(entry.get_future().get().ok());
  EXPECT_EQ(world_.count("open embedder"), 1) << "one copy";

  auto config = parse_domain_config(kConfig, root_ / "domains.json", {},
                                    [](std::string_view) { return std::nullopt; });
  service_->reload(std::move(*config));
  while (service_->loaded().models[0].in_use > 0) std::this_thread::yield();  // a worker's last use
}

TEST_F(LocalServiceTest, WithoutRoomForTheEmbedderRulesDecideAndSaySo) {
  std::ofstream(root_ / "models" / "embedder.gguf") << "x";
  world_.models["embedder"].bytes = 5000;
  make({}, kWithEmbedder);
  std::promise<Result<RouteDecision>> decision;
  GenerateRequest request;
  request.input = "hello";
  service_->route("auto", request, [&](auto made) { decision.set_value(std::move(made)); });
  const auto made = decision.get_future().get();
  EXPECT_EQ(made->domain, "general");
  EXPECT_EQ(made->stage, "default");
  EXPECT_THAT(made->reason, HasSubstr("no embeddings: routing: embedder 'embedder': "));
  EXPECT_EQ(service_->loaded().bytes, 0u);
}

TEST_F(LocalServiceTest, PreloadAndEagerLoadingLoadAtStart) {
  Settings settings;
  settings.preload = {"two", "nosuch"};
  make(settings);
  world_.wait([&] { return std::count(world_.log.begin(), world_.log.end(), "start two") == 1; });
  EXPECT_EQ(world_.count("open one"), 0);
  Settings eager;
  eager.lazy_loading = false;
  make(eager);
  world_.wait([&] { return std::count(world_.log.begin(), world_.log.end(), "start one") == 1; });
}

TEST_F(LocalServiceTest, ListsDomainsFirstThenModels) {
  make();
  start("two")->wait();
  std::vector<std::string> lines;
  for (const ModelEntry& entry : service_->models())
    lines.push_back(entry.id + " " + entry.kind + " " + entry.backend +
                    (entry.loaded ? " loaded" : ""));
  EXPECT_THAT(lines, ElementsAre("general domain gguf", "0x3579-VectorAgent domain gguf",
                                 "two domain safetensors loaded", "remote domain hf-transformers",
                                 "lost domain gguf", "wide domain gguf", "down domain gguf",
                                 "chain domain gguf", "big model gguf", "one model gguf"));
}

TEST_F(LocalServiceTest, TheDomainListServesBothKindsOfClient) {
  make();
  const Json list = service_->domains();
  EXPECT_EQ(list["object"], "list");
  EXPECT_EQ(list["default_domain"], "general");
  EXPECT_EQ(list["data"].size(), 8u);
  EXPECT_EQ(list["data"][0]["id"], "general");
  EXPECT_EQ(list["data"][0]["max_tokens"], 7);
  EXPECT_EQ(list["data"][1]["config"]["agent_id"], "vector");
  EXPECT_EQ(list["data"][2]["layer"], "layer1");
  EXPECT_EQ(list["data"][3]["available"], true);
  EXPECT_EQ(list["domains"]["general"]["config"]["model_path"], "one.gguf");
  EXPECT_EQ(list["errors"][0]["domain"], "broken");
  auto one = service_->domain("0x3579");
  ASSERT_TRUE(one.ok());
  EXPECT_EQ((*one)["id"], "0x3579-VectorAgent");
  EXPECT_EQ(service_->domain("x").error().message, "domain 'x': no domain of that name");
}

}  // namespace
}  // namespace localai::runtime
