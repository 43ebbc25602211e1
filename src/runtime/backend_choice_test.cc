#include "runtime/backend_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "runtime/resolver.h"
#include "runtime/transformers_launch.h"

namespace localai::runtime {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class BackendChoiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ =
        fs::path(::testing::TempDir()) /
        ("choice_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(root_);
    write("known", R"({"model_type": "llama"})");
    write("other", R"({"model_type": "olmo2"})");
    write("silent", "{}");
    write("broken", "{\"model_type\": ");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& config) {
    fs::create_directories(root_ / name);
    std::ofstream(root_ / name / "model.safetensors") << "x";
    std::ofstream(root_ / name / "config.json") << config;
  }
  [[nodiscard]] std::string path(const std::string& name) const {
    return canonical_path(root_ / name).string();
  }
  [[nodiscard]] Resolver resolver(const std::string& domain = R"({"model_name": "known"})",
                                  ResolverOptions options = {}) const {
    auto config = parse_domain_config(R"({"domains": {"d": )" + domain + "}}", root_ / "d.json", {},
                                      [](std::string_view) { return std::nullopt; });
    LAI_CHECK(config.ok());
    options.models_dir = root_;
    return {std::move(*config), std::move(options)};
  }

  fs::path root_;
};

TEST_F(BackendChoiceTest, FollowsTheArchitectureOfADirectory) {
  EXPECT_FALSE(choose_backend_of(root_ / "known").service);
  EXPECT_EQ(choose_backend_of(root_ / "known").reason,
            "the native engine has architecture 'llama'");
  const BackendChoice other = choose_backend_of(root_ / "other");
  EXPECT_TRUE(other.service);
  EXPECT_EQ(other.architecture, "olmo2");
  EXPECT_EQ(other.reason, "the native engine does not have architecture 'olmo2'");
  for (const char* name : {"silent", "broken", "absent", "known/config.json"})
    EXPECT_FALSE(choose_backend_of(root_ / name).service) << name;
}

TEST_F(BackendChoiceTest, ANamedModelGoesWhereItsArchitectureIs) {
  const auto known = resolver().resolve("known");
  ASSERT_TRUE(known.ok());
  EXPECT_FALSE(known->source.service);
  EXPECT_EQ(known->resolution.backend, "safetensors");
  EXPECT_EQ(known->source.path, path("known"));
  const auto other = resolver().resolve("other");
  ASSERT_TRUE(other.ok());
  ASSERT_TRUE(other->source.service);
  EXPECT_EQ(other->resolution.backend, "hf-transformers");
  EXPECT_EQ(other->resolution.model, "other");
  EXPECT_EQ(other->source.service->name, path("other"));  // the service of our own takes paths
  EXPECT_EQ(other->source.path, other->source.service->identity());
}

TEST_F(BackendChoiceTest, AServiceElsewhereIsAskedForTheName) {
  ResolverOptions options;
  options.transformers_base_url = "http://there:9090";
  const auto other = resolver(R"({"model_name": "known"})", options).resolve("other");
  ASSERT_TRUE(other.ok() && other->source.service);
  EXPECT_EQ(other->source.service->base_url, "http://there:9090");
  EXPECT_EQ(other->source.service->name, "other");
}

TEST_F(BackendChoiceTest, ADomainKeepsItsTransformersConfig) {
  const Resolver all = resolver(
      R"({"model_path": "other", "backend_type": "safetensors", "transformers_config":
          {"endpoint": "http://localhost:1/v1", "dtype": "bfloat16", "timeout_seconds": 7}})");
  const auto target = all.resolve("d");
  ASSERT_TRUE(target.ok()) << target.error().message;
  ASSERT_TRUE(target->source.service);
  EXPECT_EQ(target->source.service->name, "other");
  EXPECT_EQ(target->source.service->dtype, "bfloat16");
  EXPECT_EQ(target->source.service->timeout_seconds, 7);
  EXPECT_EQ(service_models(all), Json({{"models", {{"other", {{"path", path("other")}}}}}}));
}

TEST_F(BackendChoiceTest, ADomainMaySayTheServiceForAnArchitectureOfTheEngine) {
  const auto target =
      resolver(R"({"model_path": "known", "backend_type": "hf-transformers"})").resolve("d");
  ASSERT_TRUE(target.ok());
  EXPECT_TRUE(target->source.service);
}

TEST_F(BackendChoiceTest, SettingsOfTheNativeEngineAreRefusedWhereItDoesNotAnswer) {
  const auto domain = resolver(R"({"model_path": "other", "quantize": "q8_0"})").resolve("d");
  ASSERT_FALSE(domain.ok());
  EXPECT_EQ(domain.error().code, Code::kUnsupported);
  EXPECT_THAT(domain.error().message, HasSubstr("'olmo2'"));
  EXPECT_THAT(domain.error().message, HasSubstr("'quantize'"));
  ResolverOptions options;
  options.quantize = models::find_load_quantization("q8_0");
  ASSERT_NE(options.quantize, nullptr);
  const auto named = resolver(R"({"model_name": "known"})", options).resolve("other");
  ASSERT_FALSE(named.ok());
  EXPECT_THAT(named.error().message, HasSubstr("--quantize"));
}

}  // namespace
}  // namespace localai::runtime
