// Result, JSON limits, UTF-8, files and the thread pool.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <numeric>
#include <vector>

#include "base/base64.h"
#include "base/codes.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/json.h"
#include "base/number.h"
#include "base/sha256.h"
#include "base/thread_pool.h"
#include "base/utf8.h"

namespace localai {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return invalid(std::to_string(n) + " is odd");
  return n / 2;
}
Result<int> quarter(int n) {
  LAI_TRY(const int h, half(n), "first");
  LAI_TRY(const int q, half(h), "second");
  return q;
}

TEST(Result, CarriesTheValueOrTheErrorWithItsContext) {
  EXPECT_EQ(*quarter(12), 3);
  EXPECT_EQ(quarter(6).error().message, "second: 3 is odd");
  EXPECT_EQ(quarter(7).error().message, "first: 7 is odd");
  EXPECT_EQ(code_info(quarter(7).error().code).http_status, 400);
}

TEST(Json, RefusesDepthAndRepeatedKeys) {
  EXPECT_TRUE(parse_json(R"({"a":[1,2,{"b":null}]})").ok());
  EXPECT_EQ(parse_json("[[1]]", {.depth_max = 1}).error().message,
            "not valid JSON: nested deeper than 1 levels");
  EXPECT_EQ(parse_json(R"({"a":1,"a":2})").error().message,
            "not valid JSON: the key \"a\" stands twice in one object");
  EXPECT_EQ(parse_json(R"({"a":1,"b":2,"c":3})", {.members_max = 2}).error().message,
            "not valid JSON: an object of more than 2 members");
  EXPECT_TRUE(parse_json(R"({"a":{"x":1},"b":{"x":1}})").ok());
  EXPECT_NE(parse_json("{\"a\":\n tru}").error().message.find("line 2"), std::string::npos);
  EXPECT_FALSE(parse_json("").ok());
  EXPECT_FALSE(parse_json(std::string(1'000'000, '[')).ok());
}

TEST(Json, DumpReplacesBadUtf8) { EXPECT_EQ(dump_json(Json("a\xff")), "\"a\xEF\xBF\xBD\""); }

TEST(Utf8, DecodesAndRefuses) {
  const std::string text = "a\u00e9\u20ac\U0001F600";
  std::string round;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    ASSERT_TRUE(c.valid);
    append_utf8(round, c.code_point);
    at += c.bytes;
  }
  EXPECT_EQ(round, text);
  for (const char* bad : {"\xC0\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\x80", "\xE2\x82"})
    EXPECT_FALSE(is_valid_utf8(bad)) << bad;
  EXPECT_EQ(sanitize_utf8("a\xE2\x82"), "a\uFFFD");
  EXPECT_EQ(sanitize_utf8("\xF0\x9F\x98z\xED\xA0\x80\xC0"), "\uFFFDz\uFFFD\uFFFD\uFFFD\uFFFD");
}

TEST(Utf8, IncompleteTailCountsOnlyWellFormedBeginnings) {
  EXPECT_EQ(incomplete_utf8_tail("abc"), 0u);
  EXPECT_EQ(incomplete_utf8_tail("a\xE2\x82"), 2u);
  EXPECT_EQ(incomplete_utf8_tail("a\xF0\x9F\x98"), 3u);
  EXPECT_EQ(incomplete_utf8_tail("\u20ac"), 0u);
  EXPECT_EQ(incomplete_utf8_tail("a\xED\xA0"), 0u);  // a surrogate can never be completed
  EXPECT_EQ(incomplete_utf8_tail("\x80\x80"), 0u);
}

TEST(File, MapsReadsAndNamesWhatIsWrong) {
  const std::filesystem::path path = testing::TempDir() + "lai_file_test";
  const std::string text = "hello";
  ASSERT_TRUE(write_file_atomically(path, std::as_bytes(std::span(text))).ok());
  const auto mapping = Mapping::open(path);
  ASSERT_TRUE(mapping.ok());
  EXPECT_EQ(mapping->bytes().size(), 5u);
  EXPECT_EQ(static_cast<char>(mapping->bytes()[4]), 'o');
  const auto part = mapping->bytes().subspan(1, 3);
  std::array<std::byte, 3> copy = {};
  EXPECT_TRUE(mapping->holds(part));
  EXPECT_FALSE(mapping->holds(copy));
  ASSERT_TRUE(mapping->read(part, copy.data()).ok());
  EXPECT_TRUE(std::equal(part.begin(), part.end(), copy.begin()));
  std::filesystem::resize_file(path, 2);
  EXPECT_EQ(mapping->read(part, copy.data()).error().message,
            "the file ends at byte 2; it was longer when it was opened");
  std::filesystem::resize_file(path, 5);
  ASSERT_TRUE(write_file_atomically(path, std::as_bytes(std::span(text))).ok());
  EXPECT_EQ(*read_file(path, 5), "hello");
  EXPECT_EQ(read_file(path, 4).error().message, path.string() + ": 5 bytes, over the limit of 4");
  std::filesystem::remove(path);
  EXPECT_EQ(Mapping::open(path).error().code, Code::kNotFound);
  EXPECT_EQ(Mapping::open("/").error().message, "/: not a regular file");
}

TEST(Number, ParsesTheWholeTextOrNothing) {
  EXPECT_EQ(parse_number<int>("-12"), -12);
  EXPECT_FALSE(parse_number<int>("12x"));
  EXPECT_FALSE(parse_number<uint8_t>("256"));
  EXPECT_FALSE(parse_number<int>(""));
  EXPECT_FALSE(checked_mul(uint64_t{1} << 63, 2));
}

TEST(ThreadPool, CoversEveryPieceOnceOnAnyNumberOfThreads) {
  for (uint32_t threads : {1u, 2u, 3u, 8u}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> hits(1000);
      pool.for_ranges(hits.size(), 7, [&](size_t begin, size_t end) {
        for (size_t i = begin; i < end; ++i) hits[i].fetch_add(1);
      });
      for (const auto& h : hits) ASSERT_EQ(h.load(), 1);
      std::atomic<uint32_t> mask{0};
      pool.run([&](uint32_t t) { mask.fetch_or(1u << t); });
      ASSERT_EQ(mask.load(), (1u << threads) - 1);
    }
  }
}

// FIPS 180-4's example, and a text that is not the same in other pieces.
TEST(Sha256, IsTheStandardsHashOfAllPieces) {
  const std::string_view abc = "abc";
  const auto bytes = std::as_bytes(std::span(abc));
  EXPECT_EQ(hex(Sha256().add(bytes).digest()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256().add(bytes.first(1)).add(bytes.subspan(1)).digest(),
            Sha256().add(bytes).digest());
  EXPECT_NE(Sha256().add("ab").add("c").digest(), Sha256().add("a").add("bc").digest());
}

TEST(Cpu, CountsAtLeastOneCore) { EXPECT_GE(usable_cpu_count(), 1u); }

TEST(Base64, TheVectorsOfTheRfc) {
  const std::pair<const char*, const char*> kVectors[] = {{"", ""},
                                                          {"f", "Zg=="},
                                                          {"fo", "Zm8="},
                                                          {"foo", "Zm9v"},
                                                          {"foob", "Zm9vYg=="},
                                                          {"fooba", "Zm9vYmE="},
                                                          {"foobar", "Zm9vYmFy"},
                                                          {"\xff\xfe", "//4="}};
  for (const auto& [bytes, text] : kVectors) EXPECT_EQ(base64_of(bytes), text);
}

}  // namespace
}  // namespace localai
