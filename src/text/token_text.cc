#include "text/token_text.h"

#include <array>
#include <string_view>
#include <utility>

#include "text/byte_alphabet.h"
#include "text/byte_token.h"

namespace localai::text {
namespace {

std::string with_each(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (text.substr(at).starts_with(from)) {
      out += to;
      at += from.size();
    } else {
      out.push_back(text[at++]);
    }
  }
  return out;
}

// Source: tokenizers, decoders/wordpiece.rs; of one token, with the space before it.
std::string cleaned(std::string text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kReplacements = {{
      {" .", "."},
      {" ?", "?"},
      {" !", "!"},
      {" ,", ","},
      {" ' ", "'"},
      {" n't", "n't"},
      {" 'm", "'m"},
      {" do not", " don't"},
      {" 's", "'s"},
      {" 've", "'ve"},
      {" 're", "'re"},
  }};
  for (const auto& [from, to] : kReplacements) text = with_each(text, from, to);
  return text;
}

std::string word_piece_text(const VocabularySpec& spec, std::string_view text, bool word,
                            bool first) {
  const std::string_view start = spec.word_start, more = spec.word_continuation;
  // One of the two spellings is marked; the other is the bare text.
  const bool begins = word || (start.empty() ? !text.starts_with(more) : text.starts_with(start));
  std::string out(text);
  if (begins) {
    if (!word) out.erase(0, start.size());
    if (!first) out.insert(0, 1, ' ');
  } else if (!first) {
    out.erase(0, more.size());
  }
  return spec.clean_spaces ? cleaned(std::move(out)) : out;
}

std::string text_of(const VocabularySpec& spec, TokenId id, bool with_special, bool first) {
  if (id < 0 || static_cast<size_t>(id) >= spec.tokens.size()) return {};
  const std::string& text = spec.tokens[static_cast<size_t>(id)];
  const TokenType type =
      spec.types.empty() ? TokenType::kNormal : spec.types[static_cast<size_t>(id)];
  const bool special = type == TokenType::kControl || type == TokenType::kUnknown;
  if (special && !with_special) return {};
  const bool added = special || type == TokenType::kUserDefined;
  if (spec.kind == TokenizerKind::kWordPiece) return word_piece_text(spec, text, added, first);
  if (special) return text;
  if (spec.kind == TokenizerKind::kByteLevelBpe)
    return added ? text : alphabet_bytes(text).value_or(text);
  if (type == TokenType::kByte || (spec.types.empty() && spec.byte_fallback))
    if (const auto byte = byte_of(text)) return std::string(1, *byte);
  return with_each(text, "\u2581", " ");
}

}  // namespace

std::string token_text(const VocabularySpec& spec, TokenId id, bool with_special) {
  return text_of(spec, id, with_special, false);
}

std::string decoded_text(const VocabularySpec& spec, std::span<const TokenId> ids,
                         bool with_special) {
  std::string out;
  bool first = true;
  for (const TokenId id : ids) {
    const std::string text = text_of(spec, id, with_special, first);
    first = first && text.empty();
    out += text;
  }
  if (spec.strip_decoded_space && out.starts_with(' ')) out.erase(0, 1);
  return out;
}

}  // namespace localai::text
