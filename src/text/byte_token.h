#pragma once
// Tokens that stand for one byte: "<0x00>" .. "<0xFF>".
#include <array>
#include <optional>
#include <string_view>

#include "text/token_index.h"
#include "text/vocabulary.h"

namespace localai::text {

// The byte of "<0xAB>", or nothing.
std::optional<char> byte_of(std::string_view token);
// Their ids, by byte; -1: the vocabulary has none.
std::array<TokenId, 256> byte_token_ids(const TokenIndex& index);

}  // namespace localai::text
