#pragma once
// Tokens with one of lookahead, and the errors that name where they stand.
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/jinja/lexer.h"

namespace localai::text::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  [[nodiscard]] const Token& current() const { return tokens_[at_]; }
  [[nodiscard]] const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& next() {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  [[nodiscard]] bool is(TokenKind kind) const { return current().kind == kind; }
  [[nodiscard]] static bool is_word(const Token& token, std::string_view word) {
    return token.kind == TokenKind::kName && token.text == word;
  }
  [[nodiscard]] bool is_name(std::string_view word) const { return is_word(current(), word); }
  [[nodiscard]] bool is_op(std::string_view op) const {
    return current().kind == TokenKind::kOperator && current().text == op;
  }
  bool skip_name(std::string_view word) {
    if (!is_name(word)) return false;
    next();
    return true;
  }
  bool skip_op(std::string_view op) {
    if (!is_op(op)) return false;
    next();
    return true;
  }
  Status expect_op(std::string_view op) {
    if (skip_op(op)) return Ok{};
    return fail("expected '" + std::string(op) + "', found " + describe());
  }
  Status expect_name(std::string_view word) {
    if (skip_name(word)) return Ok{};
    return fail("expected '" + std::string(word) + "', found " + describe());
  }
  Result<std::string> expect_any_name() {
    if (!is(TokenKind::kName)) return fail("expected a name, found " + describe());
    return next().text;
  }
  Status expect(TokenKind kind, std::string_view what) {
    if (!is(kind)) return fail("expected " + std::string(what) + ", found " + describe());
    next();
    return Ok{};
  }
  [[nodiscard]] Error fail(const std::string& message) const { return fail_at(current(), message); }
  [[nodiscard]] static Error fail_at(const Token& token, const std::string& message) {
    return invalid(where(token.line, token.column) + ": " + message);
  }
  [[nodiscard]] std::string describe() const;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace localai::text::jinja
