#include "text/byte_token.h"

#include <string>

namespace localai::text {
namespace {

constexpr std::string_view kHex = "0123456789ABCDEF";

}  // namespace

std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  const size_t high = kHex.find(token[3]), low = kHex.find(token[4]);
  if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

std::array<TokenId, 256> byte_token_ids(const TokenIndex& index) {
  std::array<TokenId, 256> out{};
  for (size_t byte = 0; byte < out.size(); ++byte) {
    const std::string text = std::string("<0x") + kHex[byte >> 4] + kHex[byte & 15] + ">";
    out[byte] = index.find(text).value_or(-1);
  }
  return out;
}

}  // namespace localai::text
