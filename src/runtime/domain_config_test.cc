#include "runtime/domain_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/file.h"
#include "runtime/domain_keys.h"

namespace localai::runtime {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Environment environment(std::map<std::string, std::string> values) {
  return [values = std::move(values)](std::string_view name) -> std::optional<std::string> {
    const auto found = values.find(std::string(name));
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

DomainConfig parse(const std::string& json,
                   const std::map<std::string, std::string>& variables = {}) {
  const Environment env = environment(variables);
  auto settings = read_settings(env);
  EXPECT_TRUE(settings.ok());
  auto config = parse_domain_config(json, "c/domains.json", *settings, env);
  EXPECT_TRUE(config.ok()) << config.error().message;
  return std::move(*config);
}

std::vector<std::string> lines(const std::vector<DomainProblem>& problems) {
  std::vector<std::string> out;
  for (const DomainProblem& problem : problems)
    out.push_back(problem.domain + ": " + problem.message);
  return out;
}

TEST(DomainConfig, ReadsEveryKeyOfTheOriginal) {
  const DomainConfig config = parse(R"({
    "domains": {
      "0x5678-SQLAgent": {
        "name": "SQL Agent", "layer": "layer1", "team": "DataTeam", "backend_type": "GGUF",
        "model_path": "m.gguf", "model_name": "m", "api_key": "secret", "base_url": "http://x",
        "agent_id": "0x5678", "attention_weights": {"sql_queries": 0.95}, "max_tokens": 1024,
        "temperature": 0.1, "top_p": 0.9, "top_k": 40, "tags": ["sql"], "keywords": ["SELECT"],
        "fallback_model": "general", "gpu_layers": -1, "toon_enabled": true,
        "toon_config": {"use_arbml": true}, "aliases": ["sql"], "fallback_models": ["other"],
        "system_prompt": "Answer in SQL.", "stop": [";"], "context_length": 4096, "preload": true,
        "pin": true, "kv_cache_type": "F32",
        "vision_config": {"endpoint": "http://x", "api_key": "deep secret"}
      }},
    "default_domain": "0x5678-SQLAgent",
    "layer_mapping": {"layer1": {"DataTeam": ["0x5678-SQLAgent"]}}})");
  EXPECT_THAT(lines(config.errors), IsEmpty());
  EXPECT_THAT(lines(config.warnings), IsEmpty());
  ASSERT_EQ(config.domains.size(), 1u);
  const Domain& domain = config.domains[0];
  EXPECT_EQ(domain.backend, "gguf");
  EXPECT_EQ(domain.agent_id, "0x5678");
  EXPECT_EQ(domain.max_tokens, 1024u);
  EXPECT_EQ(domain.context_length, 4096u);
  EXPECT_FLOAT_EQ(*domain.temperature, 0.1f);
  EXPECT_FLOAT_EQ(*domain.top_p, 0.9f);
  EXPECT_EQ(domain.top_k, 40);
  EXPECT_EQ(domain.system_prompt, "Answer in SQL.");
  EXPECT_EQ(domain.kv_cache_type, "f32");
  EXPECT_TRUE(domain.preload && domain.pin);
  EXPECT_THAT(domain.stop, ElementsAre(";"));
  EXPECT_THAT(domain.fallbacks, ElementsAre("general", "other"));
  EXPECT_EQ(dump_json(domain.config).find("secret"), std::string::npos);
  EXPECT_EQ(config.default_domain, "0x5678-SQLAgent");
}

TEST(DomainConfig, OneBadDomainLeavesTheOthersStanding) {
  const DomainConfig config = parse(R"({"domains": {
    "hot": {"model_path": "m.gguf", "temperature": 3},
    "lost": {"name": "no model"},
    "odd": {"model_path": "m.gguf", "backend_type": "tensorrt"},
    "list": [],
    "text": {"model_path": "m.gguf", "max_tokens": "many"},
    "none": {"model_path": "m.gguf", "max_tokens": 0},
    "stops": {"model_path": "m.gguf", "stop": ["a", 1]},
    "empty": {"model_path": "m.gguf", "stop": [""]},
    "kv": {"model_path": "m.gguf", "kv_cache_type": "q4_0"},
    "ocr": {"backend_type": "deepseek-ocr", "model_name": "x"},
    "hf": {"backend_type": "hf-transformers", "model_name": "x",
           "transformers_config": {"quantization": "3bit"}},
    "url": {"backend_type": "hf-transformers", "model_name": "x",
            "transformers_config": {"endpoint": "box:1"}},
    "slow": {"backend_type": "hf-transformers", "model_name": "x",
             "transformers_config": {"timeout_seconds": -1}},
    "good": {"model_path": "m.gguf"}}, "layer_mapping": {"layer1": ["x"]}})");
  EXPECT_THAT(
      lines(config.errors),
      ElementsAre(
          ": layer_mapping: [\"x\"] is not an object of layers, each an object of teams with lists",
          "hot: temperature: 3 is not a number within 0..2",
          "lost: neither 'model_path' nor 'model_name' says which model answers",
          "odd: backend_type: 'tensorrt' is not one of gguf, safetensors, hf-transformers, "
          "deepseek-ocr",
          "list: a domain must be an object", "text: max_tokens: \"many\" is not a whole number",
          "none: max_tokens: 0 is not a whole number within 1..2147483647",
          "stops: stop: [\"a\",1] is not a list of strings",
          "empty: stop: an empty string would end every answer at once",
          "kv: kv_cache_type: 'q4_0' is not one of f16, f32",
          "ocr: vision_config: a deepseek-ocr domain needs 'endpoint' or 'script_path'",
          "hf: transformers_config.quantization: '3bit' is not one of 4bit, nf4, fp4, 8bit",
          "url: transformers_config.endpoint: 'box:1': not an http URL; expected "
          "http://HOST[:PORT][/PREFIX]",
          "slow: transformers_config: timeout_seconds: -1 is not a whole number within 0..86400"));
  ASSERT_EQ(config.domains.size(), 1u);
  EXPECT_EQ(config.domains[0].id, "good");
  EXPECT_EQ(config.default_domain, "good");
}

TEST(DomainConfig, UnknownKeysAreNamedWithTheNearestKnownOne) {
  const DomainConfig config = parse(R"({"domain": 1, "domains": {"a": {
    "model_path": "m.gguf", "temprature": 0.1, "sistem_promt": "x", "zzzz": 1,
    "transformers_config": {"endpiont": "x"}}}})");
  EXPECT_THAT(lines(config.warnings),
              ElementsAre(": unknown key 'domain', did you mean 'domains'?",
                          "a: unknown key 'temprature', did you mean 'temperature'?",
                          "a: unknown key 'sistem_promt', did you mean 'system_prompt'?",
                          "a: unknown key 'zzzz'",
                          "a: unknown key 'transformers_config.endpiont', did you mean "
                          "'transformers_config.endpoint'?"));
  EXPECT_EQ(config.domains.size(), 1u);
}

TEST(DomainConfig, AFileThatIsNoConfigIsRefusedWhole) {
  const Environment none = environment({});
  const auto error = [&](const std::string& json) {
    auto config = parse_domain_config(json, "d.json", Settings{}, none);
    return config.ok() ? "" : config.error().message;
  };
  EXPECT_THAT(error("{\"domains\": {"), ::testing::StartsWith("d.json: not valid JSON: line 1"));
  EXPECT_EQ(error("[]"), "d.json: the file must hold one object");
  EXPECT_EQ(error("{}"), "d.json: 'domains' is missing or not an object of id -> domain");
  EXPECT_EQ(error(R"({"domains": {"a": {}, "a": {}}})"),
            "d.json: not valid JSON: the key \"a\" stands twice in one object");
  auto missing = load_domain_config("nowhere/d.json", Settings{}, none);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_EQ(missing.error().message,
            "config file: nowhere/d.json: open: No such file or directory");
}

TEST(DomainConfig, AVariableSwitchesADomainOn) {
  const std::string json = R"({"domains": {
    "a": {"model_path": "m.gguf", "enabled_env_var": "ENABLE_A"}, "b": {"model_path": "m.gguf"}}})";
  for (const char* off : {"", "0", "false", " No ", "OFF"}) {
    const DomainConfig config = parse(json, {{"ENABLE_A", off}});
    EXPECT_EQ(config.find("a"), nullptr) << off;
    ASSERT_EQ(config.disabled.size(), 1u);
    EXPECT_EQ(config.disabled[0].variable, "ENABLE_A");
  }
  EXPECT_NE(parse(json, {{"ENABLE_A", "1"}}).find("a"), nullptr);
}

TEST(DomainConfig, ADomainWithoutABackendFollowsSuffixThenEnvironment) {
  const std::string json =
      R"({"domains": {"file": {"model_path": "M.GGUF"}, "dir": {"model_path": "d"}}})";
  const auto backends = [&](const std::map<std::string, std::string>& variables) {
    const DomainConfig config = parse(json, variables);
    return config.domains[0].backend + " " + config.domains[1].backend;
  };
  EXPECT_EQ(backends({}), "gguf safetensors");
  EXPECT_EQ(backends({{"GGUF_ENABLE", "1"}}), "gguf gguf");
  EXPECT_EQ(backends({{"GGUF_ENABLE", "1"}, {"TRANSFORMERS_BASE_URL", "http://x"}}),
            "gguf hf-transformers");
}

TEST(DomainConfig, TheDefaultIsNamedOrGeneralOrTheFirst) {
  const std::string two = R"("a": {"model_path": "m.gguf"}, "general": {"model_path": "m.gguf"})";
  EXPECT_EQ(parse("{\"domains\": {" + two + "}}").default_domain, "general");
  EXPECT_EQ(parse("{\"domains\": {" + two + "}, \"default_domain\": \"a\"}").default_domain, "a");
  const DomainConfig lost = parse("{\"domains\": {" + two + "}, \"default_domain\": \"x\"}");
  EXPECT_EQ(lost.default_domain, "general");
  EXPECT_THAT(
      lines(lost.warnings),
      ElementsAre(": default_domain: 'x' is not a usable domain; 'general' takes its place"));
  EXPECT_EQ(parse("{\"domains\": {}}").default_domain, "");
}

TEST(DomainConfig, WhatThisBuildCannotDoIsSaid) {
  const DomainConfig config = parse(R"({"domains": {
    "mt": {"backend_type": "hf-transformers", "model_name": "m",
           "transformers_config": {"endpoint": "http://box:9090/v1/translate"}},
    "q": {"backend_type": "hf-transformers", "model_name": "m", "quantize": "q8_0"},
    "lo": {"model_path": "m.gguf", "lora": "l.gguf", "ttl_seconds": 5}}})");
  const std::string translate =
      "transformers_config.endpoint: 'http://box:9090/v1/translate' is not in this build: of a "
      "service's endpoints it calls /v1/chat/completions";
  const std::string quantize =
      "'quantize' is a setting of the native engine; for hf-transformers there are "
      "transformers_config.dtype and .quantization";
  EXPECT_EQ(config.domains[0].unsupported, translate);
  EXPECT_EQ(config.domains[2].unsupported, "'lora' is not in this build");
  EXPECT_THAT(lines(config.warnings),
              ElementsAre("mt: " + translate, "q: " + quantize, "lo: 'lora' is not in this build"));
}

TEST(DomainConfig, ATransformersDomainKnowsItsModelInTheService) {
  const std::string json = R"({"domains": {
    "full": {"backend_type": "HF-Transformers", "model_name": "shown", "transformers_config": {
      "endpoint": "http://box:9090/v1/chat/completions", "model_name": "phi", "dtype": "float16",
      "timeout_seconds": 7, "quantization": "fp4", "double_quant": true,
      "compute_dtype": "float32"}},
    "named": {"backend_type": "hf-transformers", "model_name": "m",
              "transformers_config": {"timeout_seconds": 0, "quantization": "8bit"}},
    "path": {"backend_type": "hf-transformers", "model_path": "../models/granite"}}})";
  const auto identities = [&](const std::map<std::string, std::string>& variables) {
    std::vector<std::string> out;
    for (const Domain& domain : parse(json, variables).domains)
      out.push_back(domain.service->identity().string());
    return out;
  };
  EXPECT_THAT(identities({}),
              ElementsAre("http://box:9090/phi?dtype=float16&quantization="
                          "{\"bits\":4,\"type\":\"fp4\",\"double_quant\":true,"
                          "\"compute_dtype\":\"float32\"}",
                          "transformers/m?quantization={\"bits\":8}", "transformers/granite"));
  EXPECT_EQ(identities({{"TRANSFORMERS_BASE_URL", " http://here:1/v1/ "}})[2],
            "http://here:1/granite");
  const DomainConfig config = parse(json);
  EXPECT_EQ(config.domains[0].service->timeout_seconds, 7u);
  EXPECT_EQ(config.domains[1].service->timeout_seconds, kServiceTimeoutSeconds);
}

TEST(DomainConfig, NamesThatTwoDomainsClaimAreReported) {
  const DomainConfig config = parse(R"({"domains": {
    "0x1-A": {"model_path": "m.gguf", "aliases": ["x"]},
    "0x1-B": {"model_path": "m.gguf", "aliases": ["x", "0x1-A"]}}})");
  EXPECT_THAT(lines(config.warnings),
              ElementsAre("0x1-B: the short id '0x1' already names the domain '0x1-A'",
                          "0x1-B: alias 'x' already names the domain '0x1-A'",
                          "0x1-B: alias '0x1-A' already names the domain '0x1-A'"));
}

TEST(DomainConfig, LayerMappingFillsInWhatADomainLeavesOut) {
  const DomainConfig config = parse(R"({"domains": {"a": {"model_path": "m.gguf"}},
    "layer_mapping": {"layer1": {"Team": ["a", "ghost"]}}})");
  EXPECT_EQ(config.domains[0].layer, "layer1");
  EXPECT_EQ(config.domains[0].team, "Team");
  EXPECT_THAT(lines(config.warnings),
              ElementsAre(": layer_mapping: layer1.Team names the unknown domain 'ghost'"));
}

std::string source_file(const std::string& name) {
  auto text = read_file(std::string(LAI_SOURCE_DIR) + "/" + name, kConfigBytesMax);
  EXPECT_TRUE(text.ok()) << text.error().message;
  return text.ok() ? *text : "";
}

TEST(DomainConfig, ThePublishedSchemaIsTheParsersOwn) {
  EXPECT_EQ(source_file("config/domains.schema.json"), dump_json(domain_config_schema(), 2) + "\n")
      << "write it anew: localai domains schema > config/domains.schema.json";
}

TEST(DomainConfig, TheReferencePageKnowsEveryKeyAndVariable) {
  const std::string page = source_file("docs/CONFIGURATION.md");
  const auto expect_rows = [&](std::span<const KeySpec> keys) {
    for (const KeySpec& key : keys) {
      const std::string row =
          "| `" + std::string(key.name) + "` | " + std::string(key.meaning) + " |";
      EXPECT_NE(page.find(row), std::string::npos) << "missing: " << row;
      for (const KeySpec& nested : key.nested)
        EXPECT_NE(page.find("`" + std::string(nested.name) + "`"), std::string::npos)
            << nested.name;
    }
  };
  expect_rows(file_keys());
  expect_rows(domain_keys());
  for (const VariableSpec& variable : known_variables()) {
    const std::string row =
        "| `" + std::string(variable.name) + "` | " + std::string(variable.meaning) + " |";
    EXPECT_NE(page.find(row), std::string::npos) << "missing: " << row;
  }
}

TEST(DomainConfig, TheShippedConfigsAreFaultless) {
  for (const char* name :
       {"config/domains.json", "config/domains.demo.json", "config/domains.production.json"}) {
    const DomainConfig config = parse(source_file(name));
    EXPECT_THAT(lines(config.errors), IsEmpty()) << name;
    EXPECT_THAT(lines(config.warnings), Each(HasSubstr("is not in this build"))) << name;
    EXPECT_EQ(config.default_domain, "general") << name;
  }
}

TEST(Settings, ReadsTheVariablesAndNamesBadOnes) {
  auto settings = read_settings(environment({{"MODEL_CACHE_MAX_MEMORY_MB", "300"},
                                             {"ENABLE_LAZY_LOADING", "0"},
                                             {"PRELOAD_MODELS", " a, b ,,c"}}));
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->cache_bytes_max, uint64_t{300} << 20);
  EXPECT_FALSE(settings->lazy_loading);
  EXPECT_THAT(settings->preload, ElementsAre("a", "b", "c"));
  EXPECT_EQ(read_settings(environment({}))->cache_bytes_max, uint64_t{8192} << 20);
  for (const char* bad : {"0", "-1", "8GB", "99999999999999999999"}) {
    auto refused = read_settings(environment({{"MODEL_CACHE_MAX_MEMORY_MB", bad}}));
    ASSERT_FALSE(refused.ok()) << bad;
    EXPECT_EQ(refused.error().message, "MODEL_CACHE_MAX_MEMORY_MB='" + std::string(bad) +
                                           "': not a whole number within 1..4294967296");
  }
}

TEST(NearestKey, FindsSwapsAndStaysSilentWhenNothingIsNear) {
  EXPECT_EQ(nearest_key(domain_keys(), "mdoel_path"), "model_path");
  EXPECT_EQ(nearest_key(domain_keys(), "topk"), "top_k");
  EXPECT_EQ(nearest_key(domain_keys(), "completely_different"), "");
  EXPECT_EQ(nearest_key(domain_keys(), std::string(100000, 'x')), "");
}

}  // namespace
}  // namespace localai::runtime
