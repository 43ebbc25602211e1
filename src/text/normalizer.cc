#include "text/normalizer.h"

#include <utility>

#include "base/utf8.h"
#include "text/unicode.h"
#include "text/unicode_forms.h"

namespace localai::text {
namespace {

using Kind = NormalizerStep::Kind;

std::string replaced(const std::string& text, const std::string& from, const std::string& to) {
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  for (size_t found = text.find(from); found != std::string::npos; found = text.find(from, at)) {
    out.append(text, at, found - at).append(to);
    at = found + from.size();
  }
  return out.append(text, at);
}

std::string replaced(const std::string& text, const Pattern& pattern, const std::string& to) {
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  for (auto found = pattern.find(text, 0); found; found = pattern.find(text, at)) {
    out.append(text, at, found->begin - at).append(to);
    at = found->end;
  }
  return out.append(text, at);
}

// Calls change(out, character) for each character of the text.
template <class Change>
std::string by_character(std::string_view text, const Change& change) {
  std::string out;
  out.reserve(text.size());
  for (TextChar c = char_at(text, 0); c.bytes > 0; c = char_at(text, 0)) {
    change(out, c, text.substr(0, c.bytes));
    text.remove_prefix(c.bytes);
  }
  return out;
}

std::string without(std::string_view text, uint32_t classes) {
  return by_character(text, [&](std::string& out, const TextChar& c, std::string_view bytes) {
    if (!c.is(classes)) out += bytes;
  });
}

std::string stripped(std::string_view text, bool left, bool right) {
  if (left) text.remove_prefix(run_end(text, 0, kSpace));
  for (TextChar c = char_before(text, text.size()); right && c.is(kSpace);
       c = char_before(text, text.size()))
    text.remove_suffix(c.bytes);
  return std::string(text);
}

// BertNormalizer's clean_text. Source: tokenizers, normalizers/bert.rs.
std::string cleaned(std::string_view text) {
  return by_character(text, [](std::string& out, const TextChar& c, std::string_view bytes) {
    if (c.is(kControl)) return;
    if (c.is(kSpace)) {
      out += ' ';
    } else {
      out += bytes;
    }
  });
}

// Its handle_chinese_chars: the blocks of ideographs, not of kana or hangul.
bool is_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

std::string ideographs_apart(std::string_view text) {
  return by_character(text, [](std::string& out, const TextChar& c, std::string_view bytes) {
    const bool apart = is_ideograph(c.code);
    if (apart) out += ' ';
    out += bytes;
    if (apart) out += ' ';
  });
}

std::string lowered(std::string_view text) {
  return by_character(text, [](std::string& out, const TextChar& c, std::string_view) {
    append_lower(out, c.code);
  });
}

// Source: tokenizers, normalizers/unicode.rs (the rules of SentencePiece's nmt_* normalizers).
std::string nmt(std::string_view text) {
  return by_character(text, [](std::string& out, const TextChar& c, std::string_view bytes) {
    const char32_t code = c.code;
    if ((code >= 1 && code <= 8) || code == 0xB || (code >= 0xE && code <= 0x1F) || code == 0x7F ||
        code == 0x8F || code == 0x9F)
      return;
    const bool space = code == '\t' || code == '\n' || code == 0xC || code == '\r' ||
                       code == 0x1680 || (code >= 0x200B && code <= 0x200F) || code == 0x2028 ||
                       code == 0x2029 || code == 0x2581 || code == 0xFEFF || code == 0xFFFD;
    if (space) {
      out += ' ';
    } else {
      out += bytes;
    }
  });
}

// SentencePiece's remove_extra_whitespaces: none at the ends, one where there were more.
std::string squeezed(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool space = true;
  for (const char c : text) {
    if (c != ' ' || !space) out.push_back(c);
    space = c == ' ';
  }
  // It looks for U+2581 at the end, after it has put that for the spaces.
  std::string_view kept = out;
  while (kept.ends_with(' ') || kept.ends_with("\u2581"))
    kept.remove_suffix(kept.ends_with(' ') ? 1 : 3);
  out.resize(kept.size());
  return out;
}

}  // namespace

Result<Normalizer> Normalizer::create(const std::vector<NormalizerStep>& steps) {
  Normalizer out;
  for (const NormalizerStep& spec : steps) {
    Step step{spec};
    if (spec.kind == Kind::kReplace && spec.from.empty())
      return corrupt("normalizer: the string to replace is empty");
    if (spec.kind == Kind::kReplaceRegex) {
      LAI_TRY(step.pattern, Pattern::compile(spec.from), "normalizer");
    }
    if (spec.kind == Kind::kCharsmap || spec.kind == Kind::kCharsmapHf) {
      LAI_TRY(step.charsmap, Charsmap::parse(spec.from), "normalizer");
      step.spec.from = {};  // some hundred kilobytes
    }
    out.steps_.push_back(std::move(step));
  }
  return out;
}

std::string Normalizer::run(std::string_view text) const {
  std::string out(text);
  for (const Step& step : steps_) {
    const NormalizerStep& spec = step.spec;
    switch (spec.kind) {
      case Kind::kReplace:
        out = replaced(out, spec.from, spec.to);
        break;
      case Kind::kReplaceRegex:
        out = replaced(out, *step.pattern, spec.to);
        break;
      case Kind::kPrepend:
        if (!out.empty()) out.insert(0, spec.to);
        break;
      case Kind::kNfc:
        out = normal_form(out, {.compose = true});
        break;
      case Kind::kNfd:
        out = normal_form(out, {});
        break;
      case Kind::kNfkc:
        out = normal_form(out, {.compatibility = true, .compose = true});
        break;
      case Kind::kNfkd:
        out = normal_form(out, {.compatibility = true});
        break;
      case Kind::kLowercase:
        out = lowered(out);
        break;
      case Kind::kStrip:
        out = stripped(out, spec.left, spec.right);
        break;
      case Kind::kStripCombining:
        out = without(out, kCombining);
        break;
      case Kind::kStripNonspacing:
        out = without(out, kNonspacing);
        break;
      case Kind::kCleanText:
        out = cleaned(out);
        break;
      case Kind::kIdeographsApart:
        out = ideographs_apart(out);
        break;
      case Kind::kNmt:
        out = nmt(out);
        break;
      case Kind::kCharsmap:
        out = step.charsmap.replace_longest(out);
        break;
      case Kind::kCharsmapHf:
        out = step.charsmap.replace_clusters(out);
        break;
      case Kind::kSqueezeSpaces:
        out = squeezed(out);
        break;
    }
  }
  return out;
}

}  // namespace localai::text
