// safetensors files and model directories as they should be, and what is wrong with others.
#include "formats/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "formats/checkpoint.h"
#include "formats/testing/gguf_builder.h"

namespace localai::formats {
namespace {

namespace fs = std::filesystem;

fs::path fresh_directory(const std::string& name) {
  const fs::path path = fs::path(::testing::TempDir()) / (name + std::to_string(::getpid()));
  fs::remove_all(path);
  fs::create_directories(path);
  return path;
}

std::vector<std::byte> file_of(std::string_view header, size_t data_bytes) {
  std::vector<std::byte> out(8 + header.size() + data_bytes);
  const uint64_t size = header.size();
  std::memcpy(out.data(), &size, sizeof size);
  std::memcpy(out.data() + 8, header.data(), header.size());
  for (size_t i = 0; i < data_bytes; ++i) out[8 + header.size() + i] = static_cast<std::byte>(i);
  return out;
}

void write(const fs::path& path, std::span<const std::byte> bytes) {
  const Status status = write_file_atomically(path, bytes);
  ASSERT_TRUE(status.ok()) << status.error().message;
}
void write(const fs::path& path, std::string_view text) {
  write(path, std::as_bytes(std::span(text)));
}

std::string message_of(std::string_view header, size_t data_bytes) {
  const auto bytes = file_of(header, data_bytes);
  const auto read = read_safetensors(bytes, "m");
  return read.ok() ? "no error" : read.error().message;
}

TEST(Safetensors, ReadsTensorsInFileOrderWithTheirBytes) {
  const auto bytes =
      file_of(R"({"b":{"dtype":"BF16","shape":[2,2],"data_offsets":[12,20],"extra":[{}]},)"
              R"( "empty":{"dtype":"F16","shape":[0,5],"data_offsets":[12,12]},)"
              R"("__metadata__":{"format":"pt"},)"
              R"("a":{"data_offsets":[0,12],"shape":[3],"dtype":"F32"},)"
              R"("scalar":{"dtype":"BOOL","shape":[],"data_offsets":[20,21]}}   )",
              21);
  const auto header = read_safetensors(bytes, "m");
  ASSERT_TRUE(header.ok()) << header.error().message;
  ASSERT_EQ(header->tensors.size(), 4u);
  EXPECT_EQ(header->metadata.at("format"), "pt");
  EXPECT_EQ(header->tensors[0].name, "a");
  EXPECT_EQ(header->tensors[1].name, "empty");
  EXPECT_EQ(header->tensors[1].view.bytes, 0u);
  EXPECT_EQ(header->tensors[1].view.shape, make_shape({0, 5}));
  EXPECT_EQ(header->tensors[2].name, "b");
  EXPECT_EQ(header->tensors[2].view.dtype, DType::kBF16);
  EXPECT_EQ(header->tensors[2].view.data[0], std::byte{12});
  EXPECT_EQ(header->tensors[3].view.shape, make_shape({}));
  EXPECT_EQ(header->tensors[3].view.bytes, 1u);
}

TEST(Safetensors, NamesWhatIsWrongInAHeader) {
  struct Case {
    const char* header;
    size_t data_bytes;
    const char* message;
  };
  const Case cases[] = {
      {"", 0, "m: header is not valid JSON: Empty: no JSON found"},
      {"[]", 0, "m: header is not a JSON object"},
      {R"({"a":1})", 0, "m: tensor 'a': its entry is not an object"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 3,
       "m: tensor 'a': data_offsets [0, 4] end past the data, which has 3 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5,
       "m: the data has 5 bytes, but the tensors end at 4"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})", 5,
       "m: tensor 'a': data_offsets [1, 5] leave a hole after the tensor before, which ends at 0"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
       R"("b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})",
       7, "m: tensor 'b': data_offsets [3, 7] overlap the tensor before, which ends at 4"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
       "m: tensor 'a': data_offsets [0, 4] hold 4 bytes, but shape [2] of F32 needs 8"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", 0,
       "m: tensor 'a': data_offsets [0, 0] hold 0 bytes, but shape [4611686018427387904] of F32 "
       "needs more than 64 bits can count"},
      {R"({"a":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}})", 0,
       "m: tensor 'a': shape [4294967296, 4294967296, 0]: its number of elements overflows 64 "
       "bits"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[5,4]}})", 4,
       "m: tensor 'a': data_offsets [5, 4] run backwards"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 4,
       "m: tensor 'a': data_offsets is not an array of two numbers"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,-1]}})", 4,
       "m: tensor 'a': data_offsets are not unsigned integers"},
      {R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1,
       "m: tensor 'a': shape: dimension 0 is not an unsigned integer"},
      {R"({"a":{"dtype":"U8","shape":[1,1.0],"data_offsets":[0,1]}})", 1,
       "m: tensor 'a': shape: dimension 1 is not an unsigned integer"},
      {R"({"a":{"dtype":"U8","shape":"x","data_offsets":[0,1]}})", 1,
       "m: tensor 'a': shape is not an array"},
      {R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1,
       "m: tensor 'a': shape has more than 8 dimensions"},
      {R"({"a":{"dtype":"F8_E8M0","shape":[1],"data_offsets":[0,1]}})", 1,
       "m: tensor 'a': dtype F8_E8M0 is not supported"},
      {R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,1]}})", 1,
       "m: tensor 'a': dtype 'F31' is not one that safetensors defines"},
      {R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,1]}})", 1,
       "m: tensor 'a': dtype is not a string"},
      {R"({"a":{"dtype":"U8","shape":[1]}})", 1, "m: tensor 'a': field 'data_offsets' is missing"},
      {R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
       "m: tensor 'a': field 'dtype' stands twice"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
       R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       2, "m: tensor 'a' stands twice in the header"},
      {R"({"__metadata__":[]})", 0, "m: __metadata__: it is not an object"},
      {R"({"__metadata__":{"a":1}})", 0, "m: __metadata__: the value of 'a' is not a string"},
      {R"({"__metadata__":{"a":"1","a":"2"}})", 0, "m: __metadata__: the key 'a' stands twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "m: __metadata__ stands twice in the header"},
      {R"({"\u001b[31m":1})", 0, "m: tensor '\\x1b[31m': its entry is not an object"},
  };
  for (const Case& c : cases) EXPECT_EQ(message_of(c.header, c.data_bytes), c.message) << c.header;
  EXPECT_NE(message_of(std::string_view("{}\0\0", 4), 0), "no error");  // NUL padding
  EXPECT_EQ(message_of("{}  ", 0), "no error");
}

TEST(Safetensors, NamesAWrongHeaderLength) {
  const auto message = [](uint64_t length, size_t size) {
    std::vector<std::byte> bytes(size);
    std::memcpy(bytes.data(), &length, std::min(size, sizeof length));
    const auto read = read_safetensors(bytes, "m");
    return read.ok() ? "no error" : read.error().message;
  };
  EXPECT_EQ(message(2, 7), "m: a file of 7 bytes has no header length");
  EXPECT_EQ(message(3, 10), "m: header length 3 runs past the end of the file of 10 bytes");
  EXPECT_EQ(message(100'000'001, 10), "m: header length 100000001 is over the limit of 100000000");
  EXPECT_EQ(message(UINT64_MAX, 10),
            "m: header length 18446744073709551615 is over the limit of 100000000");
}

constexpr char kOneFloat[] = R"({"%":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
std::vector<std::byte> shard_with(char tensor) {
  std::string header = kOneFloat;
  header[header.find('%')] = tensor;
  return file_of(header, 4);
}

TEST(SafetensorsModel, OpensADirectoryAShardedOneAndAFile) {
  const fs::path directory = fresh_directory("safetensors_model");
  write(directory / "model-1.safetensors", shard_with('a'));
  write(directory / "model-2.safetensors", shard_with('b'));
  write(directory / "model.safetensors.index.json",
        R"({"metadata":{"total_size":8},"weight_map":{"a":"model-1.safetensors",)"
        R"("b":"model-2.safetensors"}})");
  auto model = SafetensorsModel::open(directory);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->tensors().size(), 2u);
  EXPECT_TRUE(model->config().empty());
  EXPECT_EQ(model->mapped_bytes(), 2 * shard_with('a').size());

  write(directory / "config.json", R"({"model_type":"llama"})");
  const auto file = Checkpoint::open(directory / "model-2.safetensors");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->architecture(), "llama");
  EXPECT_EQ(file->format(), "safetensors");
  EXPECT_EQ(file->find("a"), nullptr);
  ASSERT_NE(file->find("b"), nullptr);

  write(directory / "model.safetensors", shard_with('c'));  // the single file comes first
  model = SafetensorsModel::open(directory);
  ASSERT_TRUE(model.ok()) << model.error().message;
  ASSERT_EQ(model->tensors().size(), 1u);
  EXPECT_EQ(model->tensors()[0].name, "c");
}

TEST(SafetensorsModel, NamesWhatIsWrongWithAnIndex) {
  const fs::path directory = fresh_directory("safetensors_index");
  const std::string d = directory.string() + "/", index = d + "model.safetensors.index.json";
  write(directory / "1.safetensors", shard_with('a'));
  write(directory / "2.safetensors", shard_with('b'));
  write(directory / "3.safetensors", shard_with('a'));
  const auto message = [&](const std::string& weight_map) {
    write(index, "{\"weight_map\":" + weight_map + "}");
    const auto model = SafetensorsModel::open(directory);
    return model.ok() ? std::string("no error") : model.error().message;
  };
  EXPECT_EQ(message(R"({"a":"1.safetensors","b":"2.safetensors"})"), "no error");
  EXPECT_EQ(message("[]"), index + ": 'weight_map' is missing or not an object");
  EXPECT_EQ(message("{}"), index + ": 'weight_map' names no file");
  EXPECT_EQ(message(R"({"a":1})"), index + ": weight_map: the file of tensor 'a' is not a string");
  for (const std::string bad :
       {"../1.safetensors", "x/1.safetensors", "/1.safetensors", "1.bin", "..", "..safetensors"})
    EXPECT_EQ(message("{\"a\":\"" + bad + "\"}"),
              index + ": weight_map: tensor 'a': '" + bad +
                  "' is not the plain name of a .safetensors file");
  EXPECT_EQ(message(R"({"a":"1.safetensors","a":"2.safetensors"})"),
            index + ": weight_map: tensor 'a' stands twice");
  EXPECT_EQ(message(R"({"a":"1.safetensors","z":"1.safetensors"})"),
            index + ": weight_map: tensor 'z' is not in '1.safetensors'");
  EXPECT_EQ(message(R"({"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors"})"),
            index +
                ": weight_map: tensor 'b' is said to be in '1.safetensors', but it is in "
                "'2.safetensors'");
  EXPECT_EQ(message(R"({"a":"1.safetensors","b":"3.safetensors"})"),
            d + "3.safetensors: tensor 'a' stands in two shards");
  EXPECT_EQ(message(R"({"a":"4.safetensors"})"),
            d + "4.safetensors: open: No such file or directory");
}

TEST(SafetensorsModel, NamesABadConfigAndAnEmptyDirectory) {
  const fs::path directory = fresh_directory("safetensors_config");
  const auto message = [&] {
    const auto model = SafetensorsModel::open(directory);
    return model.ok() ? std::string("no error") : model.error().message;
  };
  EXPECT_EQ(message(), directory.string() +
                           ": holds neither model.safetensors nor model.safetensors.index.json");
  write(directory / "config.json", R"({"a":1,"a":2})");
  EXPECT_EQ(message(), directory.string() +
                           "/config.json: not valid JSON: the key \"a\" stands "
                           "twice in one object");
  write(directory / "config.json", "[]");
  EXPECT_EQ(message(), directory.string() + "/config.json: not a JSON object");
  EXPECT_EQ(SafetensorsModel::open(directory / "absent").error().code, Code::kNotFound);
}

TEST(Checkpoint, TellsFormatsByContent) {
  const fs::path directory = fresh_directory("checkpoint");
  testing::GgufBuilder builder;
  builder.add("general.architecture", "gemma3").tensor("t", DType::kF32, {1}, std::vector{1.f});
  ASSERT_TRUE(builder.write(directory / "no_extension").ok());
  auto checkpoint = Checkpoint::open(directory / "no_extension");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->format(), "gguf");
  EXPECT_EQ(checkpoint->architecture(), "gemma3");
  EXPECT_EQ(checkpoint->safetensors(), nullptr);
  ASSERT_NE(checkpoint->find("t"), nullptr);
  const Checkpoint moved = std::move(*checkpoint);  // views stay valid
  float value = 0;
  dequantize(DType::kF32, moved.find("t")->data, &value, 1);
  EXPECT_EQ(value, 1.f);
  EXPECT_EQ(moved.mapped_bytes(), builder.bytes().size());

  write(directory / "weights", shard_with('a'));
  EXPECT_EQ(Checkpoint::open(directory / "weights")->format(), "safetensors");

  const auto message = [&](const char* name, std::string_view content) {
    write(directory / name, content);
    return Checkpoint::open(directory / name).error().message;
  };
  const std::string d = directory.string() + "/";
  EXPECT_EQ(message("x.gguf", "hello, world"),
            d + "x.gguf: not a GGUF file: it does not begin with the bytes \"GGUF\"");
  EXPECT_EQ(message("x.safetensors", "hello"),
            d + "x.safetensors: a file of 5 bytes has no header length");
  EXPECT_EQ(message("x.txt", "hello"), d + "x.txt: neither a GGUF nor a safetensors file");
  EXPECT_EQ(message("empty.gguf", ""), d + "empty.gguf: the file is empty");
  EXPECT_EQ(Checkpoint::open(directory / "absent").error().code, Code::kNotFound);
}

}  // namespace
}  // namespace localai::formats
