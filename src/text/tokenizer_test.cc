#include "text/tokenizer.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/utf8.h"
#include "text/bert_steps.h"
#include "text/byte_alphabet.h"
#include "text/charsmap.h"
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

VocabularySpec word_piece(std::vector<std::string> words) {
  VocabularySpec spec;
  spec.kind = TokenizerKind::kWordPiece;
  spec.tokens = {"[UNK]", "[CLS]"};
  spec.types = {TokenType::kControl, TokenType::kControl};
  spec.added = {{.id = 0, .text = "[UNK]", .special = true, .in_model = true},
                {.id = 1, .text = "[CLS]", .special = true, .in_model = true}};
  for (std::string& word : words) {
    spec.tokens.push_back(std::move(word));
    spec.types.push_back(TokenType::kNormal);
  }
  spec.unknown = 0;
  spec.word_continuation = "##";
  spec.word_characters_max = 100;
  spec.clean_spaces = true;
  add_bert_normalizer(spec, {});
  add_bert_pre_tokenizer(spec);
  return spec;
}

TEST(WordPiece, TakesTheLongestBeginningAndGivesUpOnTheWholeWord) {
  const auto t = make(word_piece({"un", "##aff", "##able", "una", ".", "\u4e2d", "e", "##able##"}));
  EXPECT_THAT(t->encode("Un\u00c0ffable. \u4e2d\u4e2d", {}), ElementsAre(0, 6, 7, 7));
  EXPECT_THAT(t->encode("un UNAFFABLE", {}), ElementsAre(2, 0));
  EXPECT_THAT(t->encode("unable", {}), ElementsAre(0));  // una, and no ##ble
  EXPECT_THAT(t->encode("\u00c9\u0301\x01 e", {}), ElementsAre(8, 8));
  EXPECT_EQ(t->decode(std::vector<TokenId>{1, 2, 4, 6}), "unable.");
  EXPECT_EQ(t->decode(std::vector<TokenId>{1, 2}, true), "[CLS] un");
  EXPECT_EQ(t->piece(4), "able");
}

TEST(WordPiece, AWordOfTooManyCharactersIsUnknown) {
  const auto t = make(word_piece({"\u00e6", "##\u00e6"}));
  std::string text;
  for (int i = 0; i < 100; ++i) text += "\u00e6";
  EXPECT_EQ(t->encode(text, {}).size(), 100U);
  EXPECT_THAT(t->encode(text + "\u00e6", {}), ElementsAre(0));
}

TEST(WordPiece, GgufSpellsTheFirstTokenOfAWord) {
  VocabularySpec spec = word_piece({"\u2581un", "able", "\u2581able"});
  spec.word_start = "\u2581";
  spec.word_continuation = "";
  spec.word_characters_max = 0;
  const auto t = make(std::move(spec));
  EXPECT_THAT(t->encode("unable able", {}), ElementsAre(2, 3, 4));
  EXPECT_EQ(t->decode(std::vector<TokenId>{2, 3, 4}), "unable able");
}

TEST(WordPiece, TextNeverSpellsAControlToken) {
  VocabularySpec spec = word_piece({"a"});
  spec.pre_tokenizer.clear();
  spec.normalizer.clear();
  const EncodeOptions user{.add_special = false, .parse_special = false};
  EXPECT_THAT(make(std::move(spec))->encode("[CLS]", user), ElementsAre(0));
}

VocabularySpec unigram(const std::vector<std::pair<std::string, double>>& pieces) {
  VocabularySpec spec;
  spec.kind = TokenizerKind::kUnigram;
  spec.tokens = {"<unk>"};
  spec.scores = {0};
  spec.types = {TokenType::kUnknown};
  for (const auto& [text, score] : pieces) {
    spec.tokens.push_back(text);
    spec.scores.push_back(score);
    spec.types.push_back(TokenType::kNormal);
  }
  spec.unknown = 0;
  return spec;
}

TEST(Unigram, TakesTheHighestSumNotTheLongestToken) {
  const auto t = make(unigram({{"ab", -1}, {"c", -5}, {"a", -2}, {"bc", -3}, {"abcd", -50}}));
  EXPECT_THAT(t->encode("abc", {}), ElementsAre(3, 4));
  EXPECT_THAT(t->encode("ab", {}), ElementsAre(1));
  EXPECT_THAT(t->encode("abcd", {}), ElementsAre(5));  // d alone is unknown: -60
}

TEST(Unigram, UnknownCharactersSideBySideAreOneTokenOrTheirBytes) {
  VocabularySpec spec = unigram({{"a", -1}, {"<0xC3>", 0}, {"<0xA9>", 0}});
  EXPECT_THAT(make(spec)->encode("xya\u00e9", {}), ElementsAre(0, 1, 0));
  spec.byte_fallback = true;
  spec.types[2] = spec.types[3] = TokenType::kByte;
  const auto t = make(std::move(spec));
  EXPECT_THAT(t->encode("a\u00e9\u00e9a\u00e8", {}), ElementsAre(1, 2, 3, 2, 3, 1, 0));
  EXPECT_THAT(t->encode("<0xC3>", {}), ElementsAre(0));
  EXPECT_EQ(t->decode(std::vector<TokenId>{1, 2, 3}), "a\u00e9");
}

// Rules for one character: "A" becomes "a".
std::string small_charsmap() {
  std::vector<uint32_t> units(0x42, 0);
  units[0x41] = 0x41 | 1U << 8 | 1U << 10;  // label, has a leaf, which is at 0x41 ^ 1
  units[0x40] = 0x80000000U;                // replacement 0
  std::string out = {static_cast<char>(units.size() * 4 % 256),
                     static_cast<char>(units.size() * 4 / 256), 0, 0};
  for (const uint32_t unit : units)
    for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(unit >> shift));
  return out + "a" + '\0';
}

TEST(Charsmap, ReplacesTheLongestOrWholeClusters) {
  const auto rules = Charsmap::parse(small_charsmap());
  ASSERT_TRUE(rules.ok());
  EXPECT_EQ(rules->replace_longest(std::string("AbA\u0301") + '\0' + "A"),
            std::string("aba\u0301") + '\0' + "a");
  EXPECT_EQ(rules->replace_clusters("AbA\u0301"), "aba");  // as the reference does
}

TEST(Charsmap, BrokenOnesAreErrorsOrChangeNothing) {
  const std::string whole = small_charsmap();
  const size_t units = 4 + 4 * 0x42;
  for (const size_t length : {size_t{0}, size_t{3}, size_t{4}, size_t{20}, units - 1})
    EXPECT_FALSE(Charsmap::parse(whole.substr(0, length)).ok()) << length;
  EXPECT_EQ(Charsmap::parse(whole.substr(0, units))->replace_longest("A"), "");
  std::string odd = whole;
  odd[0] = 3;
  EXPECT_FALSE(Charsmap::parse(odd).ok());
  EXPECT_FALSE(Charsmap::parse(whole + "\xff").ok());
  for (size_t at = 4; at < units; ++at) {
    std::string broken = whole;
    broken[at] = '\xff';
    const auto rules = Charsmap::parse(broken);
    ASSERT_TRUE(rules.ok());
    EXPECT_TRUE(is_valid_utf8(rules->replace_longest("A\u00e9\U0001F600B")));
    EXPECT_TRUE(is_valid_utf8(rules->replace_clusters("A\u00e9\U0001F600B")));
  }
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

TEST(Tokenizer, RefusesWordModelsWithoutWhatTheyNeed) {
  VocabularySpec spec = unigram({{"a", -1}});
  spec.unknown.reset();
  EXPECT_EQ(error_of(spec), "a Unigram vocabulary has no unknown token");
  spec = unigram({{"a", -1}});
  spec.scores.pop_back();
  EXPECT_EQ(error_of(spec), "the vocabulary has 2 tokens and 1 scores");
  spec = unigram({{"a", std::nan("")}});
  EXPECT_EQ(error_of(spec), "token 1 has a score that is not a number");
  spec = word_piece({"a"});
  spec.unknown.reset();
  EXPECT_EQ(error_of(spec), "a WordPiece vocabulary has no unknown token");
  spec = word_piece({"a"});
  spec.normalizer = {{NormalizerStep::Kind::kReplaceRegex, "("}};
  EXPECT_THAT(error_of(spec), HasSubstr("normalizer: regex '('"));
  spec.normalizer = {{NormalizerStep::Kind::kCharsmap, "abc"}};
  EXPECT_EQ(error_of(spec), "normalizer: charsmap of 3 bytes");
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

TEST(Tokenizer, AMegabyteOfOneWordIsNoTroubleForWordModels) {
  VocabularySpec pieces = unigram({{"a", -1}, {"aa", -1.5}, {std::string(64, 'a'), -3}});
  pieces.normalizer = {{NormalizerStep::Kind::kCharsmapHf, small_charsmap()},
                       {NormalizerStep::Kind::kCharsmap, small_charsmap()},
                       {NormalizerStep::Kind::kSqueezeSpaces}};
  VocabularySpec words = word_piece({"a", "##a", "##" + std::string(64, 'a')});
  words.word_characters_max = 0;
  VocabularySpec triples = byte_level({});
  triples.pre_tokenizer = {{PreTokenizerStep::Kind::kSplitRegex, kPatternDigitTriples}};
  for (const VocabularySpec& spec : {pieces, words, triples}) {
    const auto t = make(spec);
    for (const std::string unit : {"a", "x", "a\u0316\u0301", "7", "a "}) {
      std::string text;
      while (text.size() < 1'000'000) text += unit;
      EXPECT_FALSE(t->encode(text, {}).empty());
    }
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
  for (const char* regex : {kPatternGpt2,          kPatternLlama3,
                            kPatternQwen2,         kPatternQwen35,
                            kPatternTekken,        kPatternGpt4o,
                            kPatternNumber,        kPatternNumbers,
                            kPatternNumbersOf3,    kPatternAsciiDigits3,
                            kPatternPunctuation,   kPatternDeepseekCjk,
                            kPatternDeepseekWords, kPatternSeedCoder,
                            kPatternUfakzeka,      kPatternJais2,
                            kPatternExaoneMoe,     kPatternYoutu,
                            kPatternPoro,          kPatternFalconPunctuation,
                            kPatternLineEnd,       kPatternLines,
                            kPatternSpacedLetters, kPatternSpacedPunctuation}) {
    EXPECT_NE(known_pattern(regex), nullptr) << regex;
    const std::string general = std::string("(?:") + regex + ")";  // the same, but not known
    ASSERT_EQ(known_pattern(general), nullptr);
    for (const char* text :
         {"I'LL say: it's 12345, HelloWORLD\t\tx  \r\n\n  y \u00e9\u0301\u4e2d\u3042 !!\n\n",
          "  ABCdef'Re a/b//\n $$$ 'Tis x\u0300y \u01c5a\u02b0B ...\r\n", "'", " ", "\n \n a",
          "a b\u0300  c d/x  \t  \t\t    e (f|g).`h`          "})
      EXPECT_EQ(words(regex, text), words(general, text)) << regex << " on " << text;
  }
  EXPECT_EQ(words(kPatternDigitTriples, "1234567"), (std::vector<std::string>{"1", "234", "567"}));
  EXPECT_EQ(words(kPatternDigitTriples, "\u00bd1234\u00bd12"),
            (std::vector<std::string>{"\u00bd1", "234\u00bd12"}));
  EXPECT_EQ(words(kPatternDigitTriples, "123456"), (std::vector<std::string>{"123", "456"}));
  EXPECT_EQ(Pattern::compile("\\h+").ok(), false);
  EXPECT_EQ(Pattern::compile("(?=a)").error().message,
            "regex '(?=a)' can match nothing, which is not supported");
}

}  // namespace
}  // namespace localai::text
