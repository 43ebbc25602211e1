// The writer against the reader: what is written is what is read, and a failure leaves nothing.
#include "formats/gguf_writer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <numeric>

namespace localai::formats {
namespace {

namespace fs = std::filesystem;

class GgufWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(::testing::TempDir()) / ("gguf_writer" + std::to_string(::getpid()));
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  [[nodiscard]] size_t files() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }
  fs::path directory_;
};

std::vector<std::byte> counted(size_t bytes) {
  std::vector<std::byte> out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>(i * 7 + 3);
  return out;
}

TEST_F(GgufWriterTest, WritesInPiecesWhatTheReaderReads) {
  GgufHeader header(64);
  header.add("general.architecture", "llama").add("n", uint32_t{7}).add("f", 1.5f);
  header.add("words", std::vector<std::string>{"a", "", "\u00e9"});
  header.add("ids", std::vector<int32_t>{-1, 2});
  header.tensor("odd", DType::kF32, make_shape({3}));
  header.tensor("blocks", DType::kQ4_0, make_shape({3, 2, 32}));
  header.tensor("scalar", DType::kI8, Shape{});
  const fs::path path = directory_ / "out.gguf";
  auto writer = GgufWriter::create(path, header);
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  const auto odd = counted(12), blocks = counted(6 * 18), scalar = counted(1);
  ASSERT_TRUE(writer->append(odd).ok());
  for (size_t at = 0; at < blocks.size(); at += 10)
    ASSERT_TRUE(
        writer->append(std::span(blocks).subspan(at, std::min<size_t>(10, blocks.size() - at)))
            .ok());
  ASSERT_TRUE(writer->append(scalar).ok());
  EXPECT_FALSE(fs::exists(path));
  ASSERT_TRUE(writer->finish().ok());
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(fs::file_size(path), writer->file_bytes());

  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->tensors()[1].view.shape, make_shape({3, 2, 32}));
  EXPECT_EQ(file->tensors()[1].view.dtype, DType::kQ4_0);
  EXPECT_EQ(std::memcmp(file->tensors()[0].view.data, odd.data(), odd.size()), 0);
  EXPECT_EQ(std::memcmp(file->tensors()[1].view.data, blocks.data(), blocks.size()), 0);
  EXPECT_EQ(std::memcmp(file->tensors()[2].view.data, scalar.data(), scalar.size()), 0);
  EXPECT_EQ(*file->unsigned_integer("general.alignment"), 64u);
}

TEST_F(GgufWriterTest, CopiesEveryKindOfEntryUnchanged) {
  GgufHeader first;
  first.add("u8", uint8_t{255}).add("i8", int8_t{-128}).add("u16", uint16_t{65535});
  first.add("i16", int16_t{-32768}).add("u32", uint32_t{1}).add("i32", int32_t{-5});
  first.add("f32", 0.1f).add("bool", true).add("string", "x").add("u64", UINT64_MAX);
  first.add("i64", INT64_MIN).add("f64", 0.1).add("words", std::vector<std::string>{"a", "bc"});
  first.add("floats", std::vector<float>{1, 2});
  const auto bytes = first.bytes();
  const auto file = GgufFile::parse(bytes, "first");
  ASSERT_TRUE(file.ok()) << file.error().message;
  GgufHeader second;
  for (const GgufEntry& entry : file->metadata()) second.add(entry);
  EXPECT_EQ(second.bytes(), bytes);
}

TEST_F(GgufWriterTest, RefusesAHeaderThatNoReaderWouldTake) {
  const auto message = [&](const GgufHeader& header) {
    const auto writer = GgufWriter::create(directory_ / "x.gguf", header);
    return writer.ok() ? "" : writer.error().message.substr(directory_.string().size() + 1);
  };
  EXPECT_EQ(message(GgufHeader().add("k", 1.f).add("k", 2.f)), "x.gguf: key 'k' stands twice");
  EXPECT_EQ(message(GgufHeader().add("", 1.f)), "x.gguf: key is empty");
  const Shape row = make_shape({32});
  EXPECT_EQ(message(GgufHeader().tensor("t", DType::kF32, row).tensor("t", DType::kF32, row)),
            "x.gguf: tensor 't' stands twice");
  EXPECT_EQ(message(GgufHeader().tensor(std::string(64, 'n'), DType::kF32, row)),
            "x.gguf: tensor '" + std::string(64, 'n') + "' has 64 bytes, over the limit of 63");
  EXPECT_EQ(message(GgufHeader().tensor("t", DType::kBool, row)),
            "x.gguf: tensor 't': GGUF has no type BOOL");
  EXPECT_EQ(message(GgufHeader().tensor("t", DType::kQ4_K, row)),
            "x.gguf: tensor 't': rows of 32 elements are not whole blocks of 256 (Q4_K)");
  EXPECT_EQ(message(GgufHeader().tensor("t", DType::kF32, make_shape({1, 1, 1, 1, 1}))),
            "x.gguf: tensor 't': 5 dimensions, over the limit of 4");
  EXPECT_EQ(message(GgufHeader().tensor("t", DType::kF32, make_shape({1u << 31, 1u << 31, 4}))),
            "x.gguf: tensor 't': shape [2147483648, 2147483648, 4]: its bytes overflow 64 bits");
  EXPECT_EQ(files(), 0u);
}

TEST_F(GgufWriterTest, LeavesNothingBehindAndKeepsTheOldFile) {
  const fs::path path = directory_ / "old.gguf";
  ASSERT_TRUE(write_file_atomically(path, counted(5)).ok());
  {
    GgufHeader header;
    header.tensor("t", DType::kF32, make_shape({4}));
    auto writer = GgufWriter::create(path, header);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(writer->append(counted(8)).ok());
    EXPECT_EQ(writer->append(counted(9)).error().message,
              path.string() + ": more bytes than tensor 0 of 1 has");
    EXPECT_EQ(writer->finish().error().message,
              path.string() + ": the data of tensor 0 of 1 is not complete");
  }
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(fs::file_size(path), 5u);
  const auto nowhere = GgufWriter::create(directory_ / "none" / "x.gguf", GgufHeader());
  EXPECT_EQ(nowhere.error().code, Code::kNotFound);
}

TEST_F(GgufWriterTest, ADiskTooSmallIsKnownBeforeTheWork) {
  GgufHeader header;  // 1 PiB: no test machine has it
  header.tensor("t", DType::kF32, make_shape({1u << 24, 1u << 24}));
  const auto writer = GgufWriter::create(directory_ / "big.gguf", header);
  ASSERT_FALSE(writer.ok());
  EXPECT_EQ(writer.error().code, Code::kExhausted);
  EXPECT_EQ(files(), 0u);
}

}  // namespace
}  // namespace localai::formats
