#pragma once
// Template source to tokens, with the whitespace rules of jinja2's lexer under trim_blocks and
// lstrip_blocks. Source: jinja2 3.1, documentation "Whitespace Control" and behaviour of its lexer.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace localai::text::jinja {

enum class TokenKind : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;  // data, name, the string's value, the operator
  int64_t integer = 0;
  double real = 0;
  uint32_t line = 1, column = 1;
};

// Errors: kInvalidArgument, "line 3, column 7: ...".
Result<std::vector<Token>> tokenize_template(std::string_view source);

std::string where(uint32_t line, uint32_t column);  // "line 3, column 7"

}  // namespace localai::text::jinja
