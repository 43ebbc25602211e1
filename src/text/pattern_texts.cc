// The regexes of known pre-tokenizers, as the tokenizer.json of the models spell them.
#include "text/pattern.h"

namespace localai::text {

#define LAI_SPACES R"(|\s+(?!\S)|\s+)"
#define LAI_ANY_CASE R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
#define LAI_LINES R"(|\s*[\r\n]+)" LAI_SPACES
#define LAI_UPPERS R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LAI_LOWERS R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define LAI_BEFORE R"([^\r\n\p{L}\p{N}]?)"
const char* const kPatternGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+)" LAI_SPACES;
const char* const kPatternLlama3 =
    LAI_ANY_CASE "|" LAI_BEFORE R"(\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)" LAI_LINES;
const char* const kPatternQwen2 =
    LAI_ANY_CASE "|" LAI_BEFORE R"(\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)" LAI_LINES;
const char* const kPatternQwen35 =
    LAI_ANY_CASE "|" LAI_BEFORE R"([\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" LAI_LINES;
const char* const kPatternTekken =
    LAI_BEFORE LAI_UPPERS "*" LAI_LOWERS "+|" LAI_BEFORE LAI_UPPERS "+" LAI_LOWERS
                          "*"
                          R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" LAI_LINES;
const char* const kPatternGpt4o = LAI_BEFORE LAI_UPPERS
    "*" LAI_LOWERS "+" LAI_ANY_CASE "?|" LAI_BEFORE LAI_UPPERS "+" LAI_LOWERS "*" LAI_ANY_CASE
    "?"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" LAI_LINES;
const char* const kPatternNumber = R"(\p{N})";
const char* const kPatternNumbers = R"(\p{N}+)";
const char* const kPatternNumbersOf3 = R"(\p{N}{1,3})";
const char* const kPatternAsciiDigits3 = "[0-9][0-9][0-9]";
const char* const kPatternPunctuation = R"([\p{P}\$\+<=>\^~\|]+)";
const char* const kPatternDeepseekCjk = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
const char* const kPatternDeepseekWords =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*)" LAI_LINES;
const char* const kPatternSeedCoder =
    LAI_ANY_CASE "|" LAI_BEFORE R"(\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+)" LAI_LINES;
const char* const kPatternUfakzeka =
    LAI_BEFORE R"(\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)" LAI_LINES;
const char* const kPatternJais2 = LAI_ANY_CASE
    "|" LAI_BEFORE R"(\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+)"
    R"(|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S))"
    R"(|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})";
const char* const kPatternExaoneMoe =
    LAI_ANY_CASE "|" LAI_BEFORE R"((?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N})"
                 R"(| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n])" LAI_SPACES;
const char* const kPatternYoutu = LAI_BEFORE LAI_UPPERS
    "*" LAI_LOWERS "+" LAI_ANY_CASE "?|" LAI_BEFORE LAI_UPPERS "+" LAI_LOWERS "*" LAI_ANY_CASE
    "?"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" LAI_LINES;
const char* const kPatternPoro = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+";
const char* const kPatternFalconPunctuation = R"([\p{P}\$\+<=>\^~\|`]+)";
const char* const kPatternLineEnd = R"([\r\n])";
const char* const kPatternLines = R"([^\n]+|[\n]+)";
const char* const kPatternSpacedLetters = R"(\s?\p{L}+)";
const char* const kPatternSpacedPunctuation = R"(\s?\p{P}+)";
const char* const kPatternDigitTriples = R"((?=(\d{3})+(?!\d)))";
const char* const kPatternDeepseekLetters =
    R"(\s?[A-Za-z\x{b5}\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{1ba}\x{1bc}-\x{1bf}\x{1c4}-\x{293})"
    R"(\x{295}-\x{2af}\x{370}-\x{373}\x{376}\x{377}\x{37b}-\x{37d}\x{37f}\x{386}\x{388}-\x{38a})"
    R"(\x{38c}\x{38e}-\x{3a1}\x{3a3}-\x{3f5}\x{3f7}-\x{481}\x{48a}-\x{52f}\x{531}-\x{556})"
    R"(\x{10a0}-\x{10c5}\x{13a0}-\x{13f5}\x{13f8}-\x{13fd}\x{1c90}-\x{1cba}\x{1cbd}-\x{1cbf})"
    R"(\x{1d00}-\x{1d2b}\x{1d6b}-\x{1d77}\x{1d79}-\x{1d9a}\x{1e00}-\x{1f15}\x{1f18}-\x{1f1d})"
    R"(\x{1f20}-\x{1f45}\x{1f48}-\x{1f4d}\x{1f50}-\x{1f57}\x{1f59}\x{1f5b}\x{1f5d}\x{1f5f}-\x{1f7d})"
    R"(\x{1f80}-\x{1fb4}\x{1fb6}-\x{1fbc}\x{1fbe}\x{1fc2}-\x{1fc4}\x{1fc6}-\x{1fcc}\x{1fd0}-\x{1fd3})"
    R"(\x{1fd6}-\x{1fdb}\x{1fe0}-\x{1fec}\x{1ff2}-\x{1ff4}\x{1ff6}-\x{1ffc}\x{2102}\x{2107})"
    R"(\x{210a}-\x{2113}\x{2115}\x{2119}-\x{211d}\x{2124}\x{2126}\x{2128}\x{212a}-\x{212d})"
    R"(\x{212f}-\x{2134}\x{2139}\x{213c}-\x{213f}\x{2145}-\x{2149}\x{214e}\x{2183}\x{2184})"
    R"(\x{2c00}-\x{2c7b}\x{2c7e}-\x{2ce4}\x{2ceb}-\x{2cee}\x{2cf2}\x{2cf3}\x{a640}-\x{a66d})"
    R"(\x{a680}-\x{a69b}\x{a722}-\x{a76f}\x{a771}-\x{a787}\x{a78b}-\x{a78e}\x{ab70}-\x{abbf})"
    R"(\x{fb00}-\x{fb06}\x{fb13}-\x{fb17}\x{ff21}-\x{ff3a}\x{ff41}-\x{ff5a}\x{10400}-\x{1044f})"
    R"(\x{104b0}-\x{104d3}\x{104d8}-\x{104fb}\x{10c80}-\x{10cb2}\x{10cc0}-\x{10cf2})"
    R"(\x{118a0}-\x{118df}\x{1e900}-\x{1e943}]+)";
const char* const kPatternDeepseekMarks =
    R"(\s?[!-/:-~\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff5e}\x{2018}-\x{201f}\x{3000}-\x{3002}]+)";
const char* const kPatternSpacesAtEnd = R"(\s+$)";
const char* const kPatternDeepseekIdeographs =
    R"([\x{4e00}-\x{9fa5}\x{800}-\x{4e00}\x{ac00}-\x{d7ff}]+)";
const char* const kPatternYoutuBlocks =
    R"([\x{ac00}-\x{d7a3}\x{3131}-\x{318e}]+|[\x{ff01}\x{2026}\x{201c}\x{201d}\x{2018}\x{2019})"
    R"(\x{2014}\x{ff1a}\x{ff1b}\x{ff0c}\x{3001}-\x{303f}\x{fe30}-\x{fe4f}]+|[\x{3105}-\x{312f}]+)"
    R"(|[\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+)";
#undef LAI_SPACES
#undef LAI_ANY_CASE
#undef LAI_LINES
#undef LAI_UPPERS
#undef LAI_LOWERS
#undef LAI_BEFORE

}  // namespace localai::text
