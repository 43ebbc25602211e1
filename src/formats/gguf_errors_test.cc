// GGUF files that are wrong, and the whole message each gets.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "formats/gguf.h"
#include "formats/testing/gguf_builder.h"

namespace localai::formats {
namespace {

using testing::ByteWriter;
using testing::GgufBuilder;
using Bytes = std::vector<std::byte>;

std::string message_of(const Bytes& bytes) {
  const auto file = GgufFile::parse(bytes, "m");
  return file.ok() ? "no error" : file.error().message;
}

ByteWriter header(uint64_t tensors, uint64_t entries, uint32_t version = 3) {
  ByteWriter out;
  out.raw("GGUF").put(version).put(tensors).put(entries);
  return out;
}

// One metadata entry "k" whose value is what `write` adds after the type; padded so that the
// counts are plausible.
template <class Write>
Bytes entry(uint32_t type, Write write) {
  ByteWriter out = header(0, 1);
  out.string("k").put(type);
  write(out);
  return out.bytes();
}

// One tensor "t" over 64 bytes of data.
struct TensorField {
  std::string name = "t";
  std::vector<uint64_t> dims = {16};  // as in the file: fastest first
  uint32_t type = 0;
  uint64_t offset = 0;
};
Bytes tensors(const std::vector<TensorField>& fields) {
  ByteWriter out = header(fields.size(), 0);
  for (const TensorField& field : fields) {
    out.string(field.name).put(static_cast<uint32_t>(field.dims.size()));
    for (const uint64_t dim : field.dims) out.put(dim);
    out.put(field.type).put(field.offset);
  }
  out.pad_to(32).raw(std::string(64, 'x'));
  return out.bytes();
}

TEST(GgufErrors, NameWhatIsWrongInTheHeader) {
  EXPECT_EQ(message_of(ByteWriter().raw("GG").bytes()),
            "m: magic: needs 4 bytes at offset 0, but the file ends at 2");
  EXPECT_EQ(message_of(ByteWriter().raw("GGML").bytes()),
            "m: not a GGUF file: it does not begin with the bytes \"GGUF\"");
  EXPECT_EQ(message_of(ByteWriter().raw("GGUF").put(uint16_t{3}).bytes()),
            "m: version: needs 4 bytes at offset 4, but the file ends at 6");
  EXPECT_EQ(message_of(header(0, 0, 0).bytes()),
            "m: GGUF version 0 is not supported (2 and 3 are)");
  EXPECT_EQ(message_of(header(0, 0, 1).bytes()),
            "m: GGUF version 1 is not supported (2 and 3 are)");
  EXPECT_EQ(message_of(header(0, 0, 4).bytes()),
            "m: GGUF version 4 is not supported (2 and 3 are)");
  EXPECT_EQ(message_of(header(0, 0, 3u << 24).bytes()),
            "m: the file is big-endian; only little-endian GGUF is supported");
  EXPECT_EQ(message_of(header(0, 0, 2).bytes()), "no error");
  EXPECT_EQ(message_of(header(1, 0).bytes()),
            "m: tensor count 1 is more than a file of 24 bytes can hold");
  EXPECT_EQ(message_of(header(0, UINT64_MAX).bytes()),
            "m: metadata count 18446744073709551615 is more than a file of 24 bytes can hold");
  EXPECT_EQ(message_of(header(uint64_t{1} << 63, 0).bytes()),
            "m: tensor count 9223372036854775808 is more than a file of 24 bytes can hold");
}

TEST(GgufErrors, NameTheMetadataKeyAndItsFault) {
  const auto none = [](ByteWriter&) {};
  const auto pad = [](ByteWriter& out) { out.raw(std::string(8, '\0')); };
  EXPECT_EQ(message_of(header(0, 1).string("").put(uint32_t{0}).put(uint8_t{0}).bytes()),
            "m: metadata key 0 is empty");
  EXPECT_EQ(
      message_of(header(0, 1).put(UINT64_MAX).put(uint64_t{0}).bytes()),
      "m: metadata key 0: needs 18446744073709551615 bytes at offset 32, but the file ends at "
      "40");
  EXPECT_EQ(message_of(header(0, 1).string(std::string(65536, 'k')).put(uint64_t{0}).bytes()),
            "m: metadata key 0 has 65536 bytes, over the limit of 65535");
  EXPECT_EQ(message_of(entry(0, none)),
            "m: key 'k': value: needs 1 bytes at offset 37, but the file ends at 37");
  EXPECT_EQ(message_of(entry(13, pad)), "m: key 'k': value type 13 is not one of 0..12");
  EXPECT_EQ(message_of(entry(7, [](ByteWriter& out) { out.put(uint8_t{2}); })),
            "m: key 'k': bool value 2 is neither 0 nor 1");
  EXPECT_EQ(
      message_of(entry(8, [](ByteWriter& out) { out.put(uint64_t{1} << 63); })),
      "m: key 'k': string: needs 9223372036854775808 bytes at offset 45, but the file ends at "
      "45");
  EXPECT_EQ(message_of(entry(10, [](ByteWriter& out) { out.put(uint32_t{1}); })),
            "m: key 'k': value: needs 8 bytes at offset 37, but the file ends at 41");
  GgufBuilder twice;
  twice.add("a.key", 1.f).add("a.key", 2.f);
  EXPECT_EQ(message_of(twice.bytes()), "m: key 'a.key' stands twice in the metadata");
  const auto key = [](const std::string& name) {
    return message_of(header(0, 1).string(name).put(uint32_t{99}).bytes());
  };
  EXPECT_EQ(key("a\x1b[2J\xff"), "m: key 'a\\x1b[2J\uFFFD': value type 99 is not one of 0..12");
  EXPECT_EQ(key(std::string("a\0", 2)), "m: key 'a\\x00' holds a NUL byte");
  EXPECT_EQ(key(std::string(99, 'a') + "\u00e9" + "b"),
            "m: key '" + std::string(99, 'a') + "...': value type 99 is not one of 0..12");
}

TEST(GgufErrors, NameTheArrayAndItsFault) {
  const auto array = [](uint32_t type, uint64_t count, const std::string& rest) {
    return message_of(entry(9, [&](ByteWriter& out) { out.put(type).put(count).raw(rest); }));
  };
  EXPECT_EQ(array(9, 1, "xxxx"), "m: key 'k': an array of arrays is not supported");
  EXPECT_EQ(array(77, 1, "xxxx"), "m: key 'k': array element: value type 77 is not one of 0..12");
  EXPECT_EQ(
      array(4, 2, "xxxx"),
      "m: key 'k': array of 2 elements of type u32 at offset 49 does not fit into the file of "
      "53 bytes");
  EXPECT_EQ(
      array(10, uint64_t{1} << 61, "xxxxxxxx"),
      "m: key 'k': array of 2305843009213693952 elements of type u64 at offset 49 does not fit "
      "into the file of 57 bytes");
  EXPECT_EQ(
      array(8, UINT64_MAX, "xxxxxxxx"),
      "m: key 'k': array of 18446744073709551615 elements of type string at offset 49 does not "
      "fit into the file of 57 bytes");
  EXPECT_EQ(array(8, 1, std::string("\x05\0\0\0\0\0\0\0abc", 11)),
            "m: key 'k': array element 0: string: needs 5 bytes at offset 57, but the file ends at "
            "60");
  EXPECT_EQ(array(7, 2, "\x01\x03"), "m: key 'k': array of bool holds the byte 3");
  EXPECT_EQ(array(0, 0, ""), "no error");
}

TEST(GgufErrors, RefuseABadAlignment) {
  const auto alignment = [](auto value) {
    return message_of(GgufBuilder().add("general.alignment", value).bytes());
  };
  EXPECT_EQ(alignment(uint32_t{0}), "m: key 'general.alignment': 0 is not a power of two");
  EXPECT_EQ(alignment(uint32_t{48}), "m: key 'general.alignment': 48 is not a power of two");
  EXPECT_EQ(alignment(uint64_t{32}), "m: key 'general.alignment': type u64 where u32 is expected");
  EXPECT_EQ(alignment("32"), "m: key 'general.alignment': type string where u32 is expected");
  EXPECT_EQ(alignment(uint32_t{1} << 31), "no error");  // no tensors, nothing to align
  GgufBuilder builder;
  builder.add("general.alignment", uint32_t{1} << 31);
  builder.tensor("t", DType::kF32, {1}, std::vector<float>{1});
  EXPECT_EQ(message_of(builder.bytes()),
            "m: the tensor data would begin at offset 2147483648, but the file ends at 128");
}

TEST(GgufErrors, NameTheTensorAndItsFault) {
  struct Case {
    TensorField field;
    const char* message;
  };
  const std::string long_name(64, 'n');
  const Case cases[] = {
      {{.name = ""}, "m: name of tensor 0 is empty"},
      {{.name = long_name}, "m: name of tensor 0 has 64 bytes, over the limit of 63"},
      {{.dims = {1, 1, 1, 1, 1}}, "m: tensor 't': 5 dimensions, over the limit of 4"},
      {{.dims = {4, 0}}, "m: tensor 't': dimension 1 is 0"},
      {{.dims = {uint64_t{1} << 32, uint64_t{1} << 32}},
       "m: tensor 't': shape [4294967296, 4294967296]: its number of elements overflows 63 bits"},
      {{.dims = {uint64_t{1} << 63}},
       "m: tensor 't': shape [9223372036854775808]: its number of elements overflows 63 bits"},
      {{.dims = {uint64_t{1} << 62}},
       "m: tensor 't': shape [4611686018427387904]: its bytes overflow 64 bits"},
      {{.type = 16}, "m: tensor 't': type IQ2_XXS is not supported"},
      {{.type = 34}, "m: tensor 't': type TQ1_0 is not supported"},
      {{.type = 40}, "m: tensor 't': type NVFP4 is not supported"},
      {{.type = 4}, "m: tensor 't': type 4 is not defined"},
      {{.type = 0xFFFFFFFF}, "m: tensor 't': type 4294967295 is not defined"},
      {{.dims = {48}, .type = 2},
       "m: tensor 't': shape [48]: rows of 48 elements are not whole blocks of 32 (Q4_0)"},
      {{.dims = {128, 2}, .type = 14},
       "m: tensor 't': shape [2, 128]: rows of 128 elements are not whole blocks of 256 (Q6_K)"},
      {{.dims = {}, .type = 8},
       "m: tensor 't': shape []: rows of 1 elements are not whole blocks of 32 (Q8_0)"},
      {{.offset = 8}, "m: tensor 't': offset 8 is not a multiple of the alignment 32"},
      {{.offset = 32},
       "m: tensor 't': 64 bytes at offset 32 end past the tensor data, which has 64 bytes"},
      {{.offset = uint64_t{0} - 32},
       "m: tensor 't': 64 bytes at offset 18446744073709551584 end past the tensor data, which has "
       "64 bytes"},
      {{.dims = {17}},
       "m: tensor 't': 68 bytes at offset 0 end past the tensor data, which has 64 bytes"},
  };
  for (const Case& c : cases) EXPECT_EQ(message_of(tensors({c.field})), c.message);
  EXPECT_EQ(message_of(tensors({{.name = std::string("t\0x", 3)}})),
            "m: tensor 't\\x00x': the name holds a NUL byte");
  EXPECT_EQ(message_of(tensors({{.name = "t", .dims = {8}}, {.name = "t", .dims = {8}}})),
            "m: tensor 't' stands twice in the file");
  EXPECT_EQ(message_of(tensors({{.name = "b", .dims = {8}, .offset = 32},
                                {.name = "a", .dims = {9}, .offset = 0}})),
            "m: tensor 'b': offset 32 lies inside tensor 'a', which covers 0..36");
  EXPECT_EQ(message_of(tensors({{.name = "b", .dims = {8}, .offset = 32},
                                {.name = "a", .dims = {8}, .offset = 0}})),
            "no error");  // any order is fine
}

Bytes sample_file() {
  GgufBuilder builder;
  builder.add("general.architecture", "llama").add("general.alignment", uint32_t{32});
  builder.add("tokens", std::vector<std::string>{"a", "bc", ""});
  builder.add("flags", std::vector<bool>{true, false}).add("x", 1.5f);
  builder.tensor("m", DType::kQ4_0, {2, 64}, std::vector<float>(128, 0.5f));
  builder.tensor("v", DType::kF32, {8}, std::vector<float>(8, 1.f));
  return builder.bytes();
}

// Wherever the file is cut, parsing ends in an error, never in a read past the end (the copy has
// the exact size, so the sanitizer sees one).
TEST(GgufErrors, EveryTruncationIsAnError) {
  const Bytes whole = sample_file();
  EXPECT_EQ(message_of(whole), "no error");
  for (size_t size = 0; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_NE(message_of(cut), "no error") << size;
  }
}

// Whatever one to three bytes are changed to, a file that is accepted has only readable views.
TEST(GgufErrors, FlippedBytesNeverLeadOutside) {
  const Bytes whole = sample_file();
  std::mt19937 random(7);
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes = whole;
    for (auto flips = 1 + random() % 3; flips > 0; --flips)
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    const auto file = GgufFile::parse(bytes, "m");
    if (!file.ok()) continue;
    ++accepted;
    for (const NamedTensor& tensor : file->tensors()) {
      ASSERT_GE(tensor.view.data, bytes.data());
      ASSERT_LE(tensor.view.bytes,
                static_cast<uint64_t>(bytes.data() + bytes.size() - tensor.view.data));
    }
    const auto tokens = file->array("tokens");
    if (!tokens.ok() || !tokens->has_value()) continue;
    for (const std::string_view token : (*tokens)->strings()) ASSERT_LT(token.size(), bytes.size());
  }
  EXPECT_GT(accepted, 100);  // bytes of names and weights are free
}

}  // namespace
}  // namespace localai::formats
