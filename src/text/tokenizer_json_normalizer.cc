// Normalizers of tokenizer.json.
#include <array>
#include <utility>

#include "text/bert_steps.h"
#include "text/tokenizer_json_steps.h"

namespace localai::text {
namespace {

using Kind = NormalizerStep::Kind;

// RFC 4648 section 4; the padding at the end may be missing.
Result<std::string> base64_bytes(std::string_view text) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  out.reserve(text.size() / 4 * 3 + 3);
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t value = kAlphabet.find(text[i]);
    if (value == std::string_view::npos)
      return corrupt("byte " + std::to_string(i) + " is not base64");
    bits = bits << 6 | static_cast<uint32_t>(value);
    if (i % 4 != 0) out.push_back(static_cast<char>(bits >> (6 - 2 * (i % 4)) & 0xFF));
  }
  return out;
}

Status read_replace(const JsonObject& object, VocabularySpec& spec) {
  LAI_TRY(const auto pattern, json_require<JsonObject>(object, "pattern"));
  LAI_TRY(const auto literal, json_get<std::string_view>(pattern, "String", ""));
  LAI_TRY(const auto regex, json_get<std::string_view>(pattern, "Regex", ""));
  LAI_TRY(const auto to, json_get<std::string_view>(object, "content", ""));
  if (literal.empty() && regex.empty()) return corrupt("Replace: no pattern");
  const Kind kind = regex.empty() ? Kind::kReplace : Kind::kReplaceRegex;
  spec.normalizer.push_back({kind, std::string(regex.empty() ? literal : regex), std::string(to)});
  return Ok{};
}

// Source: tokenizers, normalizers/bert.rs; accents go with the case where the file does not say.
Status read_bert(const JsonObject& object, VocabularySpec& spec) {
  LAI_TRY(const bool clean, json_get<bool>(object, "clean_text", true));
  LAI_TRY(const bool ideographs, json_get<bool>(object, "handle_chinese_chars", true));
  LAI_TRY(const bool lowercase, json_get<bool>(object, "lowercase", true));
  LAI_TRY(const bool accents, json_get<bool>(object, "strip_accents", lowercase));
  add_bert_normalizer(spec, {clean, ideographs, accents, lowercase});
  return Ok{};
}

Status read_strip(const JsonObject& object, VocabularySpec& spec) {
  NormalizerStep step{Kind::kStrip};
  LAI_TRY(step.left, json_get<bool>(object, "strip_left", false));
  LAI_TRY(step.right, json_get<bool>(object, "strip_right", false));
  spec.normalizer.push_back(std::move(step));
  return Ok{};
}

Status read_step(const JsonObject& object, std::string_view type, VocabularySpec& spec) {
  constexpr std::array<std::pair<std::string_view, Kind>, 7> kPlain = {{
      {"NFC", Kind::kNfc},
      {"NFD", Kind::kNfd},
      {"NFKC", Kind::kNfkc},
      {"NFKD", Kind::kNfkd},
      {"Lowercase", Kind::kLowercase},
      {"StripAccents", Kind::kStripCombining},
      {"Nmt", Kind::kNmt},
  }};
  for (const auto& [name, kind] : kPlain)
    if (type == name) {
      spec.normalizer.push_back({kind});
      return Ok{};
    }
  if (type == "Prepend") {
    LAI_TRY(const auto text, json_get<std::string_view>(object, "prepend", ""));
    spec.normalizer.push_back({Kind::kPrepend, "", std::string(text)});
    return Ok{};
  }
  if (type == "Precompiled") {
    LAI_TRY(const auto rules, json_get<std::string_view>(object, "precompiled_charsmap", ""));
    LAI_TRY(std::string bytes, base64_bytes(rules), "Precompiled");
    if (!bytes.empty()) spec.normalizer.push_back({Kind::kCharsmapHf, std::move(bytes)});
    return Ok{};
  }
  if (type == "Replace") return read_replace(object, spec);
  if (type == "Strip") return read_strip(object, spec);
  if (type == "BertNormalizer") return read_bert(object, spec);
  return unsupported("'" + std::string(type) + "' is not supported");
}

}  // namespace

void add_bert_normalizer(VocabularySpec& spec, const BertNormalizer& wanted) {
  const auto add = [&](bool on, Kind kind) {
    if (on) spec.normalizer.push_back({kind});
  };
  add(wanted.clean_text, Kind::kCleanText);
  add(wanted.ideographs_apart, Kind::kIdeographsApart);
  add(wanted.strip_accents, Kind::kNfd);
  add(wanted.strip_accents, Kind::kStripNonspacing);
  add(wanted.lowercase, Kind::kLowercase);
}

Status read_normalizer(const JsonElement& step, VocabularySpec& spec) {
  return each_step(step, "normalizers", [&](const JsonObject& object, std::string_view type) {
    return read_step(object, type, spec);
  });
}

}  // namespace localai::text
