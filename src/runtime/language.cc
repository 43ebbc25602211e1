#include "runtime/language.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "text/unicode.h"

namespace localai::runtime {
namespace {

struct Script {
  std::string_view language;
  char32_t first, last;
};
// Kana before Han: Japanese is written with both.
constexpr std::array kScripts = {
    Script{"el", 0x0370, 0x03FF}, Script{"ru", 0x0400, 0x052F}, Script{"he", 0x0590, 0x05FF},
    Script{"ar", 0x0600, 0x06FF}, Script{"hi", 0x0900, 0x097F}, Script{"th", 0x0E00, 0x0E7F},
    Script{"ja", 0x3040, 0x30FF}, Script{"ko", 0xAC00, 0xD7A3}, Script{"zh", 0x4E00, 0x9FFF},
};

// Words that are common in one of these languages and rare in the others.
struct CommonWords {
  std::string_view language;
  std::string_view words;  // each between two spaces
};
constexpr std::array kCommon = {
    CommonWords{"de",
                " der die das und ist nicht ein eine ich wie wir mit für auf von zu bitte mir "
                "den dem was sind werden kann auch sich im über "},
    CommonWords{"en",
                " the is are of and to in what how with for please this that can you we my "
                "it on from do does i should would which our be "},
    CommonWords{"es",
                " el los las una es y por para qué cómo como del con está favor mi puedo "
                "se lo más este esta son "},
    CommonWords{"fr",
                " le les des une est et pour dans que quelle comment je vous avec sur ce "
                "cette du au pas moi quel nous mon "},
    CommonWords{"it",
                " il gli è che di per una sono come con del della questo questa mi cosa "
                "nel alla non le "},
    CommonWords{"nl",
                " het een van en dat is niet ik je wat hoe voor met zijn deze naar ook kan "
                "wij mijn op "},
    CommonWords{"pt",
                " o os uma é não para por com como do da dos das você meu qual este esta "
                "em são e "},
    CommonWords{"tr", " bir ve bu için ile nasıl ne mi mı çok daha olan da de nedir benim "},
};

// Letters of the script with the most, when they are at least a third of all letters; else none.
std::string_view by_script(std::string_view folded) {
  std::array<size_t, kScripts.size()> counts{};
  size_t letters = 0;
  for (size_t at = 0; at < folded.size();) {
    const text::TextChar c = text::char_at(folded, at);
    at += c.bytes;
    if (!c.is(text::kLetter)) continue;
    ++letters;
    for (size_t i = 0; i < kScripts.size(); ++i)
      if (c.code >= kScripts[i].first && c.code <= kScripts[i].last) ++counts[i];
  }
  constexpr size_t kKana = 6, kHan = 8;
  if (counts[kKana] > 0) counts[kKana] += std::exchange(counts[kHan], 0);
  const auto most = std::max_element(counts.begin(), counts.end());
  if (*most == 0 || *most * 3 < letters) return "";
  return kScripts[static_cast<size_t>(most - counts.begin())].language;
}

std::string_view by_words(std::span<const Word> words) {
  std::array<size_t, kCommon.size()> counts{};
  std::string padded;
  for (const Word& word : words) {
    padded.assign(" ").append(word.text).append(" ");
    for (size_t i = 0; i < kCommon.size(); ++i)
      if (kCommon[i].words.find(padded) != std::string_view::npos) ++counts[i];
  }
  const auto most = std::max_element(counts.begin(), counts.end());
  if (*most == 0 || std::count(counts.begin(), counts.end(), *most) > 1) return "";
  return kCommon[static_cast<size_t>(most - counts.begin())].language;
}

}  // namespace

std::string_view detect_language(std::string_view folded, std::span<const Word> words) {
  if (const std::string_view language = by_script(folded); !language.empty()) return language;
  return by_words(words.first(std::min<size_t>(words.size(), 200)));
}

}  // namespace localai::runtime
