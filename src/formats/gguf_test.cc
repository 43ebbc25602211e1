// GGUF files as they should be: every type, split sets, look-ups.
#include "formats/gguf.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <functional>
#include <limits>

#include "formats/testing/gguf_builder.h"

namespace localai::formats {
namespace {

using testing::GgufBuilder;

std::filesystem::path fresh_directory(const std::string& name) {
  const std::filesystem::path path =
      std::filesystem::path(::testing::TempDir()) / (name + std::to_string(::getpid()));
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

TEST(Gguf, ReadsEveryMetadataType) {
  GgufBuilder builder;
  builder.add("u8", uint8_t{255}).add("i8", int8_t{-128}).add("u16", uint16_t{65535});
  builder.add("i16", int16_t{-32768}).add("u32", uint32_t{4294967295u}).add("i32", int32_t{-5});
  builder.add("f32", 1.5f).add("bool", true).add("string", "\u00e9\n").add("u64", UINT64_MAX);
  builder.add("i64", INT64_MIN).add("f64", 2.25).add("nan", std::nanf(""));
  const auto bytes = builder.bytes();
  const auto file = GgufFile::parse(bytes, "test");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->name(), "test");
  EXPECT_EQ(file->metadata().size(), 13u);
  EXPECT_EQ(*file->unsigned_integer("u8"), 255u);
  EXPECT_EQ(std::get<int64_t>(*file->find("i8")), -128);
  EXPECT_EQ(*file->unsigned_integer("u16"), 65535u);
  EXPECT_EQ(std::get<int64_t>(*file->find("i16")), -32768);
  EXPECT_EQ(*file->unsigned_integer("u32"), 4294967295u);
  EXPECT_EQ(*file->number("i32"), -5.0);
  EXPECT_EQ(*file->number("f32"), 1.5);
  EXPECT_EQ(*file->boolean("bool"), true);
  EXPECT_EQ(*file->string("string"), "\u00e9\n");
  EXPECT_EQ(*file->unsigned_integer("u64"), UINT64_MAX);
  EXPECT_EQ(std::get<int64_t>(*file->find("i64")), INT64_MIN);
  EXPECT_EQ(*file->number("f64"), 2.25);
  EXPECT_TRUE(std::isnan(**file->number("nan")));
}

TEST(Gguf, LooksUpByTypeAndNamesAWrongOne) {
  GgufBuilder builder;
  builder.add("s", "x").add("i", int32_t{-1}).add("f", 0.5f).add("b", true);
  const auto bytes = builder.bytes();
  const auto file = GgufFile::parse(bytes, "m.gguf");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(*file->string("absent"), std::nullopt);
  EXPECT_EQ(*file->unsigned_integer("absent"), std::nullopt);
  EXPECT_EQ(*file->number("absent"), std::nullopt);
  EXPECT_EQ(*file->boolean("absent"), std::nullopt);
  EXPECT_FALSE(file->array("absent")->has_value());
  EXPECT_EQ(file->find("absent"), nullptr);
  EXPECT_EQ(file->unsigned_integer("s").error().message,
            "m.gguf: key 's': type string where an unsigned integer is expected");
  EXPECT_EQ(file->unsigned_integer("i").error().message, "m.gguf: key 'i': -1 is negative");
  EXPECT_EQ(file->string("f").error().message,
            "m.gguf: key 'f': type f32 where a string is expected");
  EXPECT_EQ(file->boolean("i").error().message,
            "m.gguf: key 'i': type i32 where a bool is expected");
  EXPECT_EQ(file->number("b").error().message,
            "m.gguf: key 'b': type bool where a number is expected");
  EXPECT_EQ(file->array("f").error().message,
            "m.gguf: key 'f': type f32 where an array is expected");
}

TEST(Gguf, ReadsArraysOfEveryType) {
  GgufBuilder builder;
  builder.add("u8", std::vector<uint8_t>{1, 255}).add("i8", std::vector<int8_t>{-1});
  builder.add("u16", std::vector<uint16_t>{65535}).add("i16", std::vector<int16_t>{-2});
  builder.add("u32", std::vector<uint32_t>{7, 8, 9}).add("i32", std::vector<int32_t>{-3});
  builder.add("f32", std::vector<float>{0.5f}).add("f64", std::vector<double>{0.25});
  builder.add("u64", std::vector<uint64_t>{UINT64_MAX, 1}).add("i64", std::vector<int64_t>{-4});
  builder.add("bool", std::vector<bool>{true, false});
  builder.add("string", std::vector<std::string>{"a", "", "\xff\0b"});
  builder.add("empty", std::vector<float>{});
  const auto bytes = builder.bytes();
  const auto file = GgufFile::parse(bytes, "test");
  ASSERT_TRUE(file.ok()) << file.error().message;
  const auto array = [&](const char* key) { return **file->array(key); };
  EXPECT_EQ(array("u8").type(), GgufType::kU8);
  EXPECT_EQ(array("u8").integer(1), 255);
  EXPECT_EQ(array("u8").integer(2), std::nullopt);
  EXPECT_EQ(array("i8").integer(0), -1);
  EXPECT_EQ(array("u16").integer(0), 65535);
  EXPECT_EQ(array("i16").number(0), -2.0);
  EXPECT_EQ(array("u32").size(), 3u);
  EXPECT_EQ(array("u32").integer(2), 9);
  EXPECT_EQ(array("i32").integer(0), -3);
  EXPECT_EQ(array("f32").number(0), 0.5);
  EXPECT_EQ(array("f32").integer(0), std::nullopt);
  EXPECT_EQ(array("f64").number(0), 0.25);
  EXPECT_EQ(array("u64").integer(0), std::nullopt);
  EXPECT_EQ(array("u64").scalar(0), GgufScalar(UINT64_MAX));
  EXPECT_EQ(array("i64").integer(0), -4);
  EXPECT_EQ(array("bool").integer(0), 1);
  EXPECT_EQ(array("bool").scalar(1), GgufScalar(false));
  EXPECT_EQ(array("string").integer(0), std::nullopt);
  EXPECT_EQ(array("string").strings(), (std::vector<std::string_view>{"a", "", "\xff"}));
  EXPECT_TRUE(array("u8").strings().empty());
  EXPECT_EQ(array("empty").size(), 0u);
}

TEST(Gguf, ReversesDimensionsAndPointsAtTheBytes) {
  GgufBuilder builder;
  builder.tensor("scalar", DType::kF32, {}, std::vector<float>{3});
  builder.tensor("matrix", DType::kF32, {2, 3}, std::vector<float>{0, 1, 2, 3, 4, 5});
  builder.tensor("blocks", DType::kQ8_0, {3, 1, 2, 32}, std::vector<float>(192, 1.f));
  const auto bytes = builder.bytes();
  const auto file = GgufFile::parse(bytes, "test");
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->tensors()[0].view.shape, make_shape({}));
  EXPECT_EQ(file->tensors()[0].view.bytes, 4u);
  EXPECT_EQ(file->tensors()[1].name, "matrix");
  EXPECT_EQ(file->tensors()[1].view.shape, make_shape({2, 3}));
  EXPECT_EQ(file->tensors()[1].view.bytes, 24u);
  std::vector<float> values(6);
  dequantize(DType::kF32, file->tensors()[1].view.data, values.data(), 6);
  EXPECT_EQ(values, (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(file->tensors()[2].view.shape, make_shape({3, 1, 2, 32}));
  EXPECT_EQ(file->tensors()[2].view.row_bytes(), 34u);
}

TEST(Gguf, ObeysTheAlignmentAndNeedsNoTailPadding) {
  for (const uint32_t alignment : {1u, 8u, 64u, 4096u}) {
    GgufBuilder builder(alignment);
    builder.tensor("a", DType::kF16, {3}, std::vector<float>{1, 2, 3});
    builder.tensor("b", DType::kF16, {1}, std::vector<float>{4});
    auto bytes = builder.bytes();
    bytes.resize(bytes.size() - (alignment == 1 ? 0 : alignment - 2));
    const auto file = GgufFile::parse(bytes, "test");
    ASSERT_TRUE(file.ok()) << file.error().message;
    float value = 0;
    dequantize(DType::kF16, file->tensors()[1].view.data, &value, 1);
    EXPECT_EQ(value, 4.f);
  }
}

TEST(Gguf, OpensAVocabularyWithoutTensors) {
  const auto path = fresh_directory("gguf_vocabulary") / "vocabulary.gguf";
  std::vector<std::string> tokens;
  for (int i = 0; i < 262144; ++i) tokens.push_back("token" + std::to_string(i));
  ASSERT_TRUE(GgufBuilder().add("tokenizer.ggml.tokens", tokens).write(path).ok());
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->mapped_bytes(), std::filesystem::file_size(path));
  const auto read = (*file->array("tokenizer.ggml.tokens"))->strings();
  ASSERT_EQ(read.size(), tokens.size());
  EXPECT_EQ(read.back(), "token262143");
}

// Three shards; `edit` may spoil one.
std::filesystem::path write_split(const std::string& name,
                                  const std::function<void(size_t, GgufBuilder&)>& edit = {},
                                  int32_t total = 3) {
  const auto directory = fresh_directory(name);
  for (size_t i = 0; i < 3; ++i) {
    GgufBuilder builder;
    if (i == 0) builder.add("general.architecture", "llama");
    builder.add("split.count", uint16_t{3}).add("split.tensors.count", total);
    if (!edit || i != 1) builder.add("split.no", static_cast<uint16_t>(i));
    if (edit) edit(i, builder);
    builder.tensor("t" + std::to_string(i), DType::kF32, {1}, std::vector<float>{float(i)});
    const auto file = directory / ("m-0000" + std::to_string(i + 1) + "-of-00003.gguf");
    EXPECT_TRUE(builder.write(file).ok());
  }
  return directory;
}

TEST(GgufSplit, OpensAllShardsFromTheFirst) {
  const auto directory = write_split("gguf_split");
  const auto file = GgufFile::open(directory / "m-00001-of-00003.gguf");
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(*file->string("general.architecture"), "llama");
  for (size_t i = 0; i < 3; ++i) {
    float value = -1;
    dequantize(DType::kF32, file->tensors()[i].view.data, &value, 1);
    EXPECT_EQ(value, static_cast<float>(i));
  }
}

TEST(GgufSplit, NamesWhatIsWrongWithASet) {
  auto directory = write_split("gguf_split_bad");
  const std::string first = (directory / "m-00001-of-00003.gguf").string();
  const std::string second = (directory / "m-00002-of-00003.gguf").string();
  const auto message = [](const std::filesystem::path& path) {
    const auto file = GgufFile::open(path);
    return file.ok() ? std::string("no error") : file.error().message;
  };
  EXPECT_EQ(message(second), second + ": key 'split.no': this is shard 2 of 3; open the first one");
  const auto renamed = directory / "renamed.gguf";
  std::filesystem::copy_file(first, renamed);
  EXPECT_EQ(message(renamed),
            renamed.string() + ": the first of 3 shards must be named *-00001-of-00003.gguf");
  std::filesystem::remove(second);
  EXPECT_EQ(message(first), second + ": open: No such file or directory");

  write_split("gguf_split_bad", {}, 4);
  EXPECT_EQ(message(first),
            first + ": key 'split.tensors.count': 4, but the 3 shards hold 3 tensors");
  write_split("gguf_split_bad", [](size_t i, GgufBuilder& builder) {
    if (i == 1) builder.add("split.no", uint16_t{2});
  });
  EXPECT_EQ(message(first), second +
                                ": keys 'split.no' and 'split.count' do not say shard 1 "
                                "(from 0) of 3");
  write_split("gguf_split_bad", [](size_t i, GgufBuilder& builder) {
    if (i != 1) return;
    builder.add("split.no", uint16_t{1});
    builder.tensor("t0", DType::kF32, {1}, std::vector<float>{0});
  });
  EXPECT_EQ(message(first), second + ": tensor 't0' stands in an earlier shard too");
}

}  // namespace
}  // namespace localai::formats
