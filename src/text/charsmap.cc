#include "text/charsmap.h"

#include <utf8proc.h>

#include "base/utf8.h"

namespace localai::text {
namespace {

// A unit of the double array.
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t leaf_value(uint32_t unit) { return unit & 0x7FFFFFFFu; }
uint32_t label(uint32_t unit) { return unit & 0x800000FFu; }
uint32_t offset(uint32_t unit) { return unit >> 10 << ((unit & 0x200u) >> 6); }

// Clusters of more bytes are taken apart.
constexpr size_t kClusterBytesMax = 5;

}  // namespace

Result<Charsmap> Charsmap::parse(std::string_view blob) {
  const auto u32 = [&](size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i)
      value |= uint32_t{static_cast<unsigned char>(blob[at + i])} << (8 * i);
    return value;
  };
  if (blob.size() < 4) return corrupt("charsmap of " + std::to_string(blob.size()) + " bytes");
  const uint32_t trie_bytes = u32(0);
  if (trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes > blob.size() - 4)
    return corrupt("charsmap: a trie of " + std::to_string(trie_bytes) + " bytes in " +
                   std::to_string(blob.size()));
  Charsmap out;
  for (size_t at = 4; at < 4 + size_t{trie_bytes}; at += 4) out.units_.push_back(u32(at));
  out.replacements_ = blob.substr(4 + size_t{trie_bytes});
  if (!is_valid_utf8(out.replacements_)) return corrupt("charsmap: a replacement is not UTF-8");
  return out;
}

// From inside a character, or from past the end, it is empty: such a rule is of a broken file.
std::string_view Charsmap::replacement(size_t at) const {
  const std::string_view all = replacements_;
  if (at >= all.size() || (static_cast<unsigned char>(all[at]) & 0xC0) == 0x80) return {};
  return all.substr(at, all.find('\0', at) - at);
}

template <class Found>
void Charsmap::rules(std::string_view text, const Found& found) const {
  size_t node = offset(units_[0]);
  for (size_t i = 0; i < text.size() && text[i] != '\0'; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= units_.size() || label(units_[node]) != byte) return;
    const uint32_t unit = units_[node];
    node ^= offset(unit);
    if (!has_leaf(unit)) continue;
    if (node >= units_.size()) return;
    if (!found(Rule{replacement(leaf_value(units_[node])), i + 1})) return;
  }
}

std::string Charsmap::replace_longest(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t character = decode_utf8(text, 0).bytes;
    Rule best{text.substr(0, character), character};
    rules(text, [&](const Rule& rule) {
      best = rule;
      return true;
    });
    // A rule whose key ends inside a character would leave half of it.
    if (best.bytes < text.size() && (static_cast<unsigned char>(text[best.bytes]) & 0xC0) == 0x80)
      best = {text.substr(0, character), character};
    out += best.to;
    text.remove_prefix(best.bytes);
  }
  return out;
}

std::optional<std::string_view> Charsmap::shortest(std::string_view text) const {
  std::optional<std::string_view> out;
  rules(text, [&](const Rule& rule) {
    out = rule.to;
    return false;
  });
  return out;
}

std::string Charsmap::replace_clusters(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    Utf8Char c = decode_utf8(text, 0);
    size_t cluster = c.bytes;
    utf8proc_int32_t state = 0;
    while (cluster < text.size()) {
      const Utf8Char next = decode_utf8(text, cluster);
      if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(c.code_point),
                                           static_cast<utf8proc_int32_t>(next.code_point), &state))
        break;
      cluster += next.bytes;
      c = next;
    }
    std::string_view rest = text.substr(0, cluster);
    text.remove_prefix(cluster);
    if (cluster <= kClusterBytesMax)
      if (const auto to = shortest(rest)) {
        out += *to;
        continue;
      }
    while (!rest.empty()) {
      const std::string_view character = rest.substr(0, decode_utf8(rest, 0).bytes);
      out += shortest(character).value_or(character);
      rest.remove_prefix(character.size());
    }
  }
  return out;
}

}  // namespace localai::text
