#include "runtime/model_catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace localai::runtime {
namespace {

namespace fs = std::filesystem;

class ModelCatalogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ =
        fs::path(::testing::TempDir()) /
        ("catalog_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(root_);
    write("config/near.gguf", 3);
    write("models/small.gguf", 10);
    write("models/deep/er/big-00001-of-00002.gguf", 20);
    write("models/deep/er/big-00002-of-00002.gguf", 30);
    write("models/folder/model-00001-of-00002.safetensors", 5);
    write("models/folder/model-00002-of-00002.safetensors", 6);
    write("models/notes.txt", 1);
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& name, size_t bytes) {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << std::string(bytes, 'x');
  }
  [[nodiscard]] ModelCatalog catalog() const { return {root_ / "config", root_ / "models"}; }

  fs::path root_;
};

TEST_F(ModelCatalogTest, ScansFilesFoldersAndSplitSets) {
  std::vector<std::string> lines;
  for (const ModelFile& file : catalog().scan())
    lines.push_back(file.name + " " + file.format + " " + std::to_string(file.bytes));
  EXPECT_THAT(lines,
              ::testing::ElementsAre("big gguf 50", "folder safetensors 11", "small gguf 10"));
}

TEST_F(ModelCatalogTest, ALinkThatCirclesEnds) {
  fs::create_directory_symlink(root_ / "models", root_ / "models/deep/again");
  EXPECT_LT(catalog().scan().size(), 100u);
}

TEST_F(ModelCatalogTest, RelativePathsTryConfigFolderThenModels) {
  EXPECT_EQ(*catalog().find_path("near.gguf"), root_ / "config/near.gguf");
  EXPECT_EQ(*catalog().find_path("small.gguf"), root_ / "models/small.gguf");
  EXPECT_EQ(*catalog().find_path("../models/folder"), root_ / "models/folder");
  EXPECT_EQ(*catalog().find_path((root_ / "models/small.gguf").string()),
            root_ / "models/small.gguf");
  auto missing = catalog().find_path("notes.txt");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().message,
            "'notes.txt': no GGUF file or safetensors folder of that path in " +
                (root_ / "config").string() + ", ., " + (root_ / "models").string());
  EXPECT_FALSE(catalog().find_path("").ok());
}

TEST_F(ModelCatalogTest, FindsByName) {
  EXPECT_EQ(catalog().find_name("big")->path, root_ / "models/deep/er/big-00001-of-00002.gguf");
  EXPECT_EQ(catalog().find_name("folder")->path, root_ / "models/folder");
  EXPECT_EQ(catalog().find_name("nosuch").error().message,
            "no model named 'nosuch' in " + (root_ / "models").string());
}

TEST_F(ModelCatalogTest, ARemoteClientStaysBelowTheRoots) {
  const ModelCatalog here = catalog();
  EXPECT_TRUE(here.contains(root_ / "models/deep/x.gguf"));
  EXPECT_TRUE(here.contains("inside/the/working/directory.gguf"));
  EXPECT_FALSE(here.contains(root_ / "models/../secret.gguf"));
  EXPECT_FALSE(here.contains("../outside.gguf"));
  EXPECT_FALSE(here.contains(root_.string() + "/models-of-others/x.gguf"));
  EXPECT_FALSE(here.contains("/etc/passwd"));
}

}  // namespace
}  // namespace localai::runtime
