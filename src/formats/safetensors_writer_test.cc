#include "formats/safetensors_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "formats/safetensors.h"

namespace localai::formats {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class SafetensorsWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        fs::path(::testing::TempDir()) /
        ("writer_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  // `count` values from `first` on, in pieces of at most 3.
  static void append(SafetensorsWriter& writer, float first, size_t count) {
    std::vector<float> values;
    for (size_t i = 0; i < count; ++i) values.push_back(first + static_cast<float>(i));
    for (size_t at = 0; at < count; at += 3)
      EXPECT_TRUE(
          writer
              .append(std::as_bytes(std::span(values).subspan(at, std::min<size_t>(3, count - at))))
              .ok());
  }

  fs::path directory_;
};

TEST_F(SafetensorsWriterTest, WhatIsWrittenIsRead) {
  auto writer = SafetensorsWriter::create(
      directory_, {{"b", DType::kF32, make_shape({2, 4})}, {"a", DType::kF32, make_shape({5})}},
      1000);
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  append(*writer, 0.f, 8);
  append(*writer, 100.f, 5);
  ASSERT_TRUE(writer->finish().ok());
  EXPECT_EQ(writer->shards(), 1u);
  const auto model = SafetensorsModel::open(directory_);
  ASSERT_TRUE(model.ok()) << model.error().message;
  ASSERT_EQ(model->tensors().size(), 2u);
  EXPECT_EQ(model->tensors()[0].name, "b");
  EXPECT_EQ(model->tensors()[0].view.shape, make_shape({2, 4}));
  float value = 0;
  std::memcpy(&value, model->tensors()[1].view.data + 16, sizeof value);
  EXPECT_EQ(value, 104.f);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(model->tensors()[0].view.data) % 8, 0u);
}

TEST_F(SafetensorsWriterTest, ShardsByBytesWithAnIndex) {
  auto writer = SafetensorsWriter::create(directory_,
                                          {{"a", DType::kF32, make_shape({2})},
                                           {"b", DType::kF32, make_shape({2})},
                                           {"c", DType::kF32, make_shape({9})},
                                           {"d", DType::kF32, make_shape({1})}},
                                          16);
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  EXPECT_EQ(writer->shards(), 3u);  // a and b; c, which alone is too large; d
  for (const size_t count : {2u, 2u, 9u, 1u}) append(*writer, static_cast<float>(count), count);
  ASSERT_TRUE(writer->finish().ok());
  EXPECT_TRUE(fs::exists(directory_ / "model-00003-of-00003.safetensors"));
  const auto model = SafetensorsModel::open(directory_);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->tensors().size(), 4u);
}

TEST_F(SafetensorsWriterTest, RefusesWhatTheFormatCannotHold) {
  const auto message = [&](std::vector<SafetensorsEntry> entries) {
    const auto writer = SafetensorsWriter::create(directory_, std::move(entries), 1000);
    return writer.ok() ? "" : writer.error().message;
  };
  EXPECT_THAT(message({}), HasSubstr("no tensors"));
  EXPECT_THAT(message({{"a", DType::kF32, make_shape({1})}, {"a", DType::kF32, make_shape({1})}}),
              HasSubstr("'a' stands twice"));
  EXPECT_THAT(message({{"q", DType::kQ4_0, make_shape({32})}}), HasSubstr("no type Q4_0"));
  EXPECT_TRUE(fs::is_empty(directory_));
}

TEST_F(SafetensorsWriterTest, TooFewOrTooManyBytesAreErrorsAndLeaveNoFile) {
  auto writer = SafetensorsWriter::create(directory_, {{"a", DType::kF32, make_shape({2})}}, 1000);
  ASSERT_TRUE(writer.ok());
  const std::vector<float> three(3);
  EXPECT_FALSE(writer->append(std::as_bytes(std::span(three))).ok());
  EXPECT_FALSE(writer->finish().ok());
  EXPECT_FALSE(fs::exists(directory_ / "model.safetensors"));
}

}  // namespace
}  // namespace localai::formats
