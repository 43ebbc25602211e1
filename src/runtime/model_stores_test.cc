#include "runtime/model_stores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

namespace localai::runtime {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kDigest(64, 'a');

class ModelStoresTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ =
        fs::path(::testing::TempDir()) /
        ("stores_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }
  void link(const std::string& name, const std::string& target) const {
    fs::create_directories((root_ / name).parent_path());
    fs::create_symlink(target, root_ / name);
  }
  [[nodiscard]] ModelStores stores(std::map<std::string, std::string> variables = {}) const {
    variables.emplace("HOME", root_.string());
    return stores_of([variables](std::string_view name) -> std::optional<std::string> {
      const auto found = variables.find(std::string(name));
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    });
  }
  [[nodiscard]] std::vector<std::string> lines(const ModelStores& stores) const {
    std::vector<std::string> out;
    for (const ModelFile& file : scan_stores(stores))
      out.push_back(file.source + " " + file.name + " " + file.format + " " +
                    std::to_string(file.bytes) + " " +
                    file.path.lexically_relative(root_).string());
    return out;
  }
  void write_manifest(const std::string& name, const std::string& layers) const {
    write(".ollama/models/manifests/" + name, R"({"schemaVersion":2,"layers":[)" + layers + "]}");
  }
  static std::string layer(const std::string& digest) {
    return R"({"mediaType":"application/vnd.ollama.image.model","digest":")" + digest + R"("})";
  }

  fs::path root_;
};

TEST_F(ModelStoresTest, TheHuggingFaceCacheByItsMainSnapshot) {
  const std::string repository = ".cache/huggingface/hub/models--org--some-name/";
  write(repository + "blobs/1", "12345");
  link(repository + "snapshots/new/model.safetensors", "../../blobs/1");
  link(repository + "snapshots/old/model.safetensors", "../../blobs/1");
  write(repository + "refs/main", "new\n");
  write(".cache/huggingface/hub/models--gpt2/snapshots/x/model.safetensors", "1");
  write(".cache/huggingface/hub/models--org--quants/snapshots/x/a-Q4_0.gguf", "1");
  write(".cache/huggingface/hub/models--org--quants/snapshots/x/a-Q8_0.gguf", "12");
  write(".cache/huggingface/hub/models--org--tokenizer-only/snapshots/x/tokenizer.json", "{}");
  write(".cache/huggingface/hub/datasets--org--d/snapshots/x/model.safetensors", "1");
  const std::string hub = ".cache/huggingface/hub/";
  EXPECT_THAT(
      lines(stores()),
      ElementsAre("huggingface gpt2 safetensors 1 " + hub + "models--gpt2/snapshots/x",
                  "huggingface org/quants:a-Q4_0 gguf 1 " + hub +
                      "models--org--quants/snapshots/x/a-Q4_0.gguf",
                  "huggingface org/quants:a-Q8_0 gguf 2 " + hub +
                      "models--org--quants/snapshots/x/a-Q8_0.gguf",
                  "huggingface org/some-name safetensors 5 " + repository + "snapshots/new"));
}

TEST_F(ModelStoresTest, ARefLeadsNowhereElse) {
  write("outside/model.safetensors", "1");
  write(".cache/huggingface/hub/models--org--name/refs/main", "../../../../../outside");
  write(".cache/huggingface/hub/models--org--other/refs/main", std::string(1000, 'x'));
  EXPECT_THAT(lines(stores()), IsEmpty());
}

TEST_F(ModelStoresTest, VariablesMoveTheFolders) {
  write("hub/models--a--b/snapshots/x/model.safetensors", "1");
  write("home/hub/models--c--d/snapshots/x/model.safetensors", "1");
  write("ollama/blobs/sha256-" + kDigest, "123");
  write("ollama/manifests/registry.ollama.ai/library/m/latest",
        R"({"layers":[)" + layer("sha256:" + kDigest) + "]}");
  EXPECT_EQ(lines(stores({{"HF_HUB_CACHE", (root_ / "hub").string()}})).size(), 1u);
  EXPECT_EQ(lines(stores({{"HF_HOME", (root_ / "home").string()}})).size(), 1u);
  EXPECT_THAT(lines(stores({{"OLLAMA_MODELS", (root_ / "ollama").string()}})),
              ElementsAre("ollama m:latest gguf 3 ollama/blobs/sha256-" + kDigest));
}

TEST_F(ModelStoresTest, WithoutAHomeOnlyTheVariablesCount) {
  const ModelStores none = stores({{"HOME", ""}});
  EXPECT_TRUE(none.hugging_face.empty() && none.ollama.empty() && none.lm_studio.empty());
  EXPECT_EQ(stores({{"HOME", ""}, {"HF_HOME", "/data"}}).hugging_face, "/data/hub");
}

TEST_F(ModelStoresTest, OllamaManifestsNameBlobs) {
  write(".ollama/models/blobs/sha256-" + kDigest, "1234");
  const std::string other = R"({"mediaType":"application/vnd.ollama.image.license","digest":"x"},)";
  write_manifest("registry.ollama.ai/library/llama3.2/1b", other + layer("sha256:" + kDigest));
  write_manifest("registry.ollama.ai/me/mine/latest", layer("sha256:" + kDigest));
  write_manifest("hf.co/org/name/Q4", layer("sha256:" + kDigest));
  const std::string blob = " gguf 4 .ollama/models/blobs/sha256-" + kDigest;
  EXPECT_THAT(lines(stores()),
              ElementsAre("ollama hf.co/org/name:Q4" + blob, "ollama llama3.2:1b" + blob,
                          "ollama me/mine:latest" + blob));
}

TEST_F(ModelStoresTest, HostileManifestsArePassedOver) {
  write("secret.gguf", "1");
  write(".ollama/models/blobs/sha256-short", "1");
  const std::string base = "registry.ollama.ai/library/";
  write_manifest(base + "up/latest", layer("../../../secret.gguf"));
  write_manifest(base + "absolute/latest", layer((root_ / "secret.gguf").string()));
  write_manifest(base + "short/latest", layer("sha256:short"));
  write_manifest(base + "missing/latest", layer("sha256:" + kDigest));
  write_manifest(base + "number/latest", R"({"mediaType":1,"digest":2}, 3, null)");
  write(".ollama/models/manifests/" + base + "deep/latest", std::string(100'000, '['));
  write(".ollama/models/manifests/" + base + "huge/latest", std::string(2u << 20, ' '));
  link(".ollama/models/manifests/" + base + "device/latest", "/dev/zero");
  EXPECT_THAT(lines(stores()), IsEmpty());
}

TEST_F(ModelStoresTest, LmStudioFolders) {
  write(".lmstudio/models/pub/one/one-Q4.gguf", "1");
  write(".lmstudio/models/pub/split/big-00001-of-00002.gguf", "1");
  write(".lmstudio/models/pub/split/big-00002-of-00002.gguf", "12");
  write(".cache/lm-studio/models/pub/mlx/model.safetensors", "1");
  EXPECT_THAT(lines(stores()),
              ElementsAre("lmstudio pub/one gguf 1 .lmstudio/models/pub/one/one-Q4.gguf",
                          "lmstudio pub/split gguf 3 "
                          ".lmstudio/models/pub/split/big-00001-of-00002.gguf",
                          "lmstudio pub/mlx safetensors 1 .cache/lm-studio/models/pub/mlx"));
}

TEST_F(ModelStoresTest, LinksThatCircleEnd) {
  write(".lmstudio/models/pub/one/one.gguf", "1");
  link(".lmstudio/models/pub/again", "..");
  link(".lmstudio/models/self", ".");
  link(".cache/huggingface/hub/models--a--b/snapshots/x/snapshots", "..");
  EXPECT_LT(scan_stores(stores()).size(), 10u);
}

TEST_F(ModelStoresTest, TheCatalogFindsThemByNameAfterItsOwn) {
  write("models/one.gguf", "1");
  write(".lmstudio/models/pub/one/one.gguf", "12");
  write(".ollama/models/blobs/sha256-" + kDigest, "1234");
  write_manifest("registry.ollama.ai/library/m/latest", layer("sha256:" + kDigest));
  const ModelCatalog catalog("", root_ / "models", stores());
  EXPECT_EQ(catalog.find_name("one")->path, root_ / "models/one.gguf");
  EXPECT_EQ(catalog.find_name("pub/one")->source, "lmstudio");
  EXPECT_EQ(catalog.find_name("m")->name, "m:latest");
  EXPECT_FALSE(catalog.find_name("m:other").ok());
  EXPECT_EQ(catalog.scan().front().source, "models");
}

TEST_F(ModelStoresTest, AShardBehindALinkKeepsItsName) {
  write("blobs/1", "1");
  link("snapshot/big-00001-of-00002.gguf", "../blobs/1");
  link("snapshot/small.gguf", "../blobs/1");
  EXPECT_EQ(canonical_path(root_ / "snapshot/big-00001-of-00002.gguf"),
            fs::canonical(root_ / "snapshot") / "big-00001-of-00002.gguf");
  EXPECT_EQ(canonical_path(root_ / "snapshot/small.gguf"), fs::canonical(root_ / "blobs/1"));
}

}  // namespace
}  // namespace localai::runtime
