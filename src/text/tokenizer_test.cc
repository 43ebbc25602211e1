#include "text/tokenizer.h"

#include <gmock/gmock.h>

#include "text/byte_alphabet.h"
#include "text/pattern.h"

namespace localai::text {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Byte-level: the 256 bytes (id = byte), then what the merges make, then <|end|>.
VocabularySpec byte_level(std::vector<std::pair<std::string, std::string>> merges) {
  VocabularySpec spec;
  spec.kind = TokenizerKind::kByteLevelBpe;
  for (int byte = 0; byte < 256; ++byte)
    spec.tokens.emplace_back(alphabet_character(static_cast<unsigned char>(byte)));
  for (const auto& [left, right] : merges) spec.tokens.push_back(left + right);
  spec.types.assign(spec.tokens.size(), TokenType::kNormal);
  spec.tokens.emplace_back("<|end|>");
  spec.types.push_back(TokenType::kControl);
  spec.added.push_back(
      {.id = static_cast<TokenId>(spec.tokens.size() - 1), .text = "<|end|>", .special = true});
  spec.merges = std::move(merges);
  spec.pre_tokenizer.push_back({PreTokenizerStep::Kind::kSplitRegex, kPatternGpt2});
  return spec;
}

// SentencePiece: <unk>, <s>, 256 byte tokens, then `pieces` with falling scores.
VocabularySpec sentencepiece(const std::vector<std::string>& pieces) {
  constexpr char kHex[] = "0123456789ABCDEF";
  VocabularySpec spec;
  spec.kind = TokenizerKind::kSentencePieceBpe;
  spec.byte_fallback = true;
  spec.tokens = {"<unk>", "<s>"};
  spec.types = {TokenType::kUnknown, TokenType::kControl};
  for (int byte = 0; byte < 256; ++byte) {
    spec.tokens.push_back(std::string("<0x") + kHex[byte >> 4] + kHex[byte & 15] + ">");
    spec.types.push_back(TokenType::kByte);
  }
  spec.scores.assign(spec.tokens.size(), 0.f);
  for (const std::string& piece : pieces) {
    spec.scores.push_back(-static_cast<float>(spec.tokens.size()));
    spec.tokens.push_back(piece);
    spec.types.push_back(TokenType::kNormal);
  }
  spec.added.push_back({.id = 1, .text = "<s>", .special = true});
  spec.normalizer.push_back({NormalizerStep::Kind::kReplace, " ", "\u2581"});
  spec.unknown = 0;
  spec.bos = 1;
  return spec;
}

std::unique_ptr<Tokenizer> make(VocabularySpec spec) {
  auto made = Tokenizer::create(std::move(spec));
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
  return std::move(*made);
}

std::string error_of(VocabularySpec spec) {
  const auto made = Tokenizer::create(std::move(spec));
  return made.ok() ? "no error" : made.error().message;
}

TEST(ByteLevelBpe, MergesLowestRankFirstThenLeftmost) {
  const auto t = make(byte_level({{"b", "c"}, {"a", "b"}, {"a", "a"}}));
  EXPECT_THAT(t->encode("abc", {}), ElementsAre('a', 256));  // not ab, c
  EXPECT_THAT(t->encode("abd", {}), ElementsAre(257, 'd'));
  EXPECT_THAT(t->encode("aaa", {}), ElementsAre(258, 'a'));
}

TEST(ByteLevelBpe, LongAndShortWordsMergeAlike) {
  const auto t = make(byte_level({{"a", "a"}, {"aa", "aa"}, {"aaaa", "a"}}));
  for (const size_t length : {1u, 3u, 5u, 23u, 24u, 25u, 26u, 101u, 4096u}) {
    const std::string text(length, 'a');
    const auto ids = t->encode(text, {});
    EXPECT_EQ(t->decode(ids), text);
    // Pairs from the left, then fours, then a single last letter joins a last four.
    std::vector<TokenId> expected(length / 4, 257);
    if (length % 4 >= 2) expected.push_back(256);
    if (length % 4 == 1 && length > 4) expected.back() = 258;
    if (length % 4 == 3 || length == 1) expected.push_back('a');
    EXPECT_EQ(ids, expected) << length;
  }
}

TEST(ByteLevelBpe, SpecialTextIsAControlTokenOnlyWhenAsked) {
  const auto t = make(byte_level({{"<", "|"}}));
  EXPECT_THAT(t->encode("a<|end|>", {}), ElementsAre('a', 257));
  const auto ids = t->encode("a<|end|>", {.add_special = false, .parse_special = false});
  EXPECT_THAT(ids, testing::Not(testing::Contains(257)));
  EXPECT_EQ(t->decode(ids), "a<|end|>");
  EXPECT_EQ(t->decode(std::vector<TokenId>{'a', 257}), "a");
  EXPECT_EQ(t->decode(std::vector<TokenId>{'a', 257}, true), "a<|end|>");
}

TEST(ByteLevelBpe, IgnoreMergesTakesAWholeWordButNeverAControlToken) {
  VocabularySpec spec = byte_level({{"a", "b"}});
  spec.ignore_merges = true;
  spec.tokens.push_back("xyz");
  spec.types.push_back(TokenType::kNormal);
  spec.pre_tokenizer.clear();
  const auto t = make(std::move(spec));
  EXPECT_THAT(t->encode("xyz", {}), ElementsAre(258));
  const EncodeOptions user{.add_special = false, .parse_special = false};
  EXPECT_THAT(t->encode("<|end|>", user), testing::Not(testing::Contains(257)));
}

TEST(ByteLevelBpe, MalformedBytesAreReplacementCharacters) {
  const auto t = make(byte_level({}));
  for (const char* text : {"a\xff", "a\xE2\x82", "a\xF0\x9F\x98"})
    EXPECT_EQ(t->decode(t->encode(text, {})), "a\uFFFD") << text;
}

TEST(SentencePieceBpe, MergesByScoreAndFallsBackToBytes) {
  const auto t = make(sentencepiece({"\u2581", "a", "b", "ab", "\u2581ab"}));
  EXPECT_THAT(t->encode(" ab", {}), ElementsAre(262));
  EXPECT_THAT(t->encode("b\u20aca", {}), ElementsAre(260, 2 + 0xE2, 2 + 0x82, 2 + 0xAC, 259));
  EXPECT_EQ(t->decode(t->encode("b\u20ac a", {})), "b\u20ac a");
}

TEST(SentencePieceBpe, SpacePrefixStandsAtTheStartAndAfterSpecials) {
  VocabularySpec spec = sentencepiece({"\u2581", "a",
                                       "\u2581"
                                       "a"});
  spec.add_space_prefix = spec.strip_decoded_space = spec.add_bos = true;
  const auto t = make(std::move(spec));
  EXPECT_THAT(t->encode("a<s>a", {}), ElementsAre(1, 260, 1, 260));
  EXPECT_EQ(t->decode(std::vector<TokenId>{1, 260, 259}), "aa");
  EXPECT_EQ(t->piece(260), " a");
}

TEST(SentencePieceBpe, TextNeverSpellsAByteToken) {
  const auto t = make(sentencepiece({"<", "0", "x", "4", "1", ">", "<0", "x4", "<0x4", "1>"}));
  EXPECT_THAT(t->encode("<0x41>", {}), testing::Not(testing::Contains(2 + 0x41)));
}

TEST(AddedTokens, OverlapsGoToTheLongestOrTheLeftmost) {
  VocabularySpec spec = byte_level({});
  for (const char* text : {"ab", "bcd"}) {
    spec.added.push_back({.id = static_cast<TokenId>(spec.tokens.size()), .text = text});
    spec.tokens.push_back(text);
    spec.types.push_back(TokenType::kUserDefined);
  }
  VocabularySpec longest = spec;
  longest.longest_added_first = true;
  EXPECT_THAT(make(std::move(spec))->encode("abcd", {}), ElementsAre(257, 'c', 'd'));
  EXPECT_THAT(make(std::move(longest))->encode("abcd", {}), ElementsAre('a', 258));
}

TEST(AddedTokens, StripTheSpacesAroundThemAndStandAlone) {
  VocabularySpec spec = byte_level({});
  spec.added = {{.id = 256, .text = "<|end|>", .special = true, .lstrip = true, .rstrip = true}};
  auto t = make(spec);
  EXPECT_THAT(t->encode("a \n<|end|>\u3000 b", {}), ElementsAre('a', 256, 'b'));
  spec.added = {{.id = 256, .text = "<|end|>", .special = true, .single_word = true}};
  t = make(spec);
  EXPECT_THAT(t->encode("<|end|>", {}), ElementsAre(256));
  EXPECT_THAT(t->encode("a<|end|>", {}), testing::Not(testing::Contains(256)));
}

TEST(Tokenizer, RefusesBadSpecs) {
  VocabularySpec spec = byte_level({{"a", "b"}});
  spec.merges.push_back({"q", "r"});
  EXPECT_EQ(error_of(spec), "merge 1, 'q' and 'r': 'qr' is not a token");
  spec = byte_level({});
  spec.tokens.back() = "a";
  EXPECT_EQ(error_of(spec), "tokens 97 and 256 have the same text 'a'");
  spec = byte_level({});
  spec.eos = 257;
  EXPECT_EQ(error_of(spec), "eos is token 257, the vocabulary has 257");
  spec = byte_level({});
  spec.types.pop_back();
  EXPECT_EQ(error_of(spec), "the vocabulary has 257 tokens and 256 types");
  spec = sentencepiece({"a"});
  spec.scores.pop_back();
  EXPECT_THAT(error_of(spec), HasSubstr("259 tokens and 258 scores"));
  spec = byte_level({});
  spec.pre_tokenizer[0].pattern = "(";
  EXPECT_THAT(error_of(spec), HasSubstr("pre-tokenizer: regex '(': missing closing parenthesis"));
}

TEST(StreamDecoder, NeverSplitsACharacter) {
  const auto t = make(byte_level({}));
  StreamDecoder decoder(*t);
  EXPECT_EQ(decoder.push('a'), "a");
  for (const TokenId id : {0xF0, 0x9F, 0x98}) EXPECT_EQ(decoder.push(id), "");
  EXPECT_EQ(decoder.push(0x80), "\U0001F600");
  EXPECT_EQ(decoder.push(0xE2), "");
  EXPECT_EQ(decoder.push('b'), "\uFFFDb");
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.finish(), "");
}

// Work that grew with the square of the length would not end within the test's time limit.
TEST(Tokenizer, AMegabyteOfOneCharacterIsNoTrouble) {
  VocabularySpec spec = byte_level({{"a", "a"}, {"aa", "aa"}, {"\u0120", "\u0120"}});
  spec.longest_added_first = true;
  for (const char* text : {"\n\n\n", "\n\n", "aaaaaaaa"}) {
    spec.added.push_back({.id = static_cast<TokenId>(spec.tokens.size()), .text = text});
    spec.tokens.push_back(text);
    spec.types.push_back(TokenType::kUserDefined);
  }
  spec.normalizer.push_back({NormalizerStep::Kind::kNfc, "", ""});
  const auto t = make(std::move(spec));
  for (const std::string unit : {"a", " ", "\n", "x", "\u0316\u0301", " \n"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    EXPECT_FALSE(t->encode(text, {}).empty());
  }
}

TEST(Pattern, KnownOnesAreMatchedByHandAndOthersByPcre) {
  const auto words = [](const std::string& regex, std::string_view text) {
    const auto pattern = Pattern::compile(regex);
    EXPECT_TRUE(pattern.ok());
    std::vector<std::string> out;
    size_t at = 0;
    while (const auto found = (*pattern)->find(text, at)) {
      out.emplace_back(text.substr(found->begin, found->end - found->begin));
      at = found->end;
    }
    return out;
  };
  for (const char* regex :
       {kPatternGpt2, kPatternLlama3, kPatternQwen2, kPatternQwen35, kPatternTekken, kPatternGpt4o,
        kPatternNumber, kPatternNumbers, kPatternNumbersOf3, kPatternAsciiDigits3,
        kPatternPunctuation, kPatternDeepseekCjk, kPatternDeepseekWords}) {
    EXPECT_NE(known_pattern(regex), nullptr) << regex;
    const std::string general = std::string("(?:") + regex + ")";  // the same, but not known
    ASSERT_EQ(known_pattern(general), nullptr);
    for (const char* text :
         {"I'LL say: it's 12345, HelloWORLD\t\tx  \r\n\n  y \u00e9\u0301\u4e2d\u3042 !!\n\n",
          "  ABCdef'Re a/b//\n $$$ 'Tis x\u0300y \u01c5a\u02b0B ...\r\n", "'", " ", "\n \n a"})
      EXPECT_EQ(words(regex, text), words(general, text)) << regex << " on " << text;
  }
  EXPECT_EQ(Pattern::compile("\\h+").ok(), false);
}

}  // namespace
}  // namespace localai::text
