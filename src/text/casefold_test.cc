#include "text/casefold.h"

#include <gtest/gtest.h>

namespace localai::text {
namespace {

TEST(Casefold, MakesSpellingsOfOneWordEqual) {
  EXPECT_EQ(casefold("SELECT Total"), "select total");
  EXPECT_EQ(casefold("STRASSE"), casefold("straße"));
  EXPECT_EQ(casefold("ΜΙΣΘΌΣ"), casefold("μισθός")) << "final sigma";
  EXPECT_EQ(casefold("ЗАПРОС"), "запрос");
  EXPECT_EQ(casefold("CAFE\xcc\x81"), casefold("café")) << "composed or not";
  EXPECT_EQ(casefold("日本"), "日本");
}

TEST(Casefold, TakesAnyBytes) {
  EXPECT_EQ(casefold(""), "");
  EXPECT_EQ(casefold("A\xff\xc3"), "a\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(casefold(std::string("A\0B", 3)), std::string("a\0b", 3));
  std::string marks = "a";
  for (int i = 0; i < 100'000; ++i) marks += i % 2 == 0 ? "\xcc\x81" : "\xcc\xa3";
  EXPECT_GE(casefold(marks).size(), 200'000u);
}

}  // namespace
}  // namespace localai::text
