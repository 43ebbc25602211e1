#include "text/jinja/lexer.h"

#include <array>
#include <optional>

#include "base/number.h"
#include "base/utf8.h"
#include "text/jinja/string_literal.h"
#include "text/jinja/unicode.h"

namespace localai::text::jinja {
namespace {

// The source as the lexer sees it: every line break is \n, and one at the very end is dropped.
std::string normalize_source(std::string_view source) {
  std::string out = normalize_newlines(source);
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

bool is_digit_in_base(char c, int base) {
  if (base == 16) return std::isxdigit(static_cast<unsigned char>(c)) != 0;
  return c >= '0' && c < '0' + base;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalize_source(source)) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) LAI_TRY_STATUS(lex_data());
    push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  using Sign = char;  // '-', '+' or 0: what stands beside a delimiter

  [[nodiscard]] bool looking_at(std::string_view text, size_t at) const {
    return std::string_view(source_).substr(std::min(at, source_.size())).starts_with(text);
  }
  [[nodiscard]] Sign sign_at(size_t at) const {
    return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : '\0';
  }
  [[nodiscard]] size_t skip_space(size_t at) const {
    while (at < source_.size()) {
      const Utf8Char c = decode_utf8(source_, at);
      if (!is_python_space(c.code_point)) break;
      at += c.bytes;
    }
    return at;
  }

  // Positions only grow, so lines are counted once.
  void locate(size_t at) {
    for (; counted_ < at; ++counted_)
      if (source_[counted_] == '\n') {
        ++line_;
        line_start_ = counted_ + 1;
      }
  }
  Error fail(size_t at, const std::string& what) {
    locate(at);
    return invalid(where(line_, static_cast<uint32_t>(at - line_start_ + 1)) + ": " + what);
  }
  Token& push(TokenKind kind, std::string text) {
    locate(std::min(at_, source_.size()));
    Token token;
    token.kind = kind;
    token.text = std::move(text);
    token.line = line_;
    token.column = static_cast<uint32_t>(at_ - line_start_ + 1);
    tokens_.push_back(std::move(token));
    return tokens_.back();
  }

  // Text before a tag: "-" strips all whitespace; without a sign a tag that is not a variable
  // strips the blanks of its own line (lstrip_blocks).
  void push_data(size_t end, Sign sign, bool is_variable) {
    std::string_view text = std::string_view(source_).substr(at_, end - at_);
    if (sign == '-') {
      text = strip_space(text, false, true);
    } else if (sign == '\0' && !is_variable) {
      const size_t newline = text.rfind('\n');
      const size_t start = newline == std::string_view::npos ? 0 : newline + 1;
      if ((start > 0 || line_starting_) && strip_space(text.substr(start)).empty())
        text = text.substr(0, start);
    }
    if (!text.empty()) push(TokenKind::kData, std::string(text));
    line_starting_ = false;
    at_ = end;
  }

  Status lex_data() {
    size_t tag = at_;
    for (;; ++tag) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= source_.size()) {
        push(TokenKind::kData, source_.substr(at_));
        at_ = source_.size();
        return Ok{};
      }
      const char next = source_[tag + 1];
      if (next == '{' || next == '%' || next == '#') break;
    }
    const Sign sign = sign_at(tag + 2);
    const char kind = source_[tag + 1];
    push_data(tag, sign, kind == '{');
    const size_t after = tag + 2 + (sign != '\0' ? 1 : 0);
    if (kind == '#') return lex_comment(after);
    if (kind == '%')
      if (const std::optional<size_t> raw = raw_begin(after)) return lex_raw(*raw);
    push(kind == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin, "");
    at_ = after;
    return lex_code(kind == '{');
  }

  Status lex_comment(size_t from) {
    const size_t close = source_.find("#}", from);
    if (close == std::string::npos) return fail(at_, "a comment is not closed: #} is missing");
    const Sign sign = close > from ? sign_at(close - 1) : '\0';
    finish_tag(close + 2, sign, true);
    return Ok{};
  }

  // After a closing delimiter: "-" eats all whitespace, nothing eats one newline (trim_blocks).
  void finish_tag(size_t end, Sign sign, bool trim_newline) {
    at_ = end;
    if (sign == '-') {
      at_ = skip_space(end);
    } else if (sign == '\0' && trim_newline && at_ < source_.size() && source_[at_] == '\n') {
      ++at_;
    }
    line_starting_ = at_ > 0 && source_[at_ - 1] == '\n';
  }

  // Where the text of a raw block starts, when `after` (past "{%") begins one.
  [[nodiscard]] std::optional<size_t> raw_begin(size_t after) const {
    size_t at = skip_space(after);
    if (!looking_at("raw", at)) return std::nullopt;
    at = skip_space(at + 3);
    if (looking_at("%}", at)) return at + 2;
    if (looking_at("-%}", at)) return skip_space(at + 3);
    return std::nullopt;
  }

  Status lex_raw(size_t begin) {
    const size_t opened = at_;
    at_ = begin;
    line_starting_ = begin > 0 && source_[begin - 1] == '\n';
    for (size_t tag = source_.find("{%", begin); tag != std::string::npos;
         tag = source_.find("{%", tag + 1)) {
      const Sign open_sign = sign_at(tag + 2);
      size_t at = skip_space(tag + 2 + (open_sign != '\0' ? 1 : 0));
      if (!looking_at("endraw", at)) continue;
      at = skip_space(at + 6);
      const Sign close_sign = sign_at(at);
      if (close_sign != '\0') ++at;
      if (!looking_at("%}", at)) continue;
      push_data(tag, open_sign, false);
      finish_tag(at + 2, close_sign, true);
      return Ok{};
    }
    return fail(opened, "a raw block is not closed: {% endraw %} is missing");
  }

  // Everything between {{ and }}, or {% and %}.
  Status lex_code(bool is_variable) {
    const size_t opened = at_;
    const std::string_view close = is_variable ? "}}" : "%}";
    brackets_.clear();
    while (true) {
      at_ = skip_space(at_);
      if (at_ >= source_.size())
        return fail(opened, "a tag is not closed: " + std::string(close) + " is missing");
      if (brackets_.empty()) {
        const Sign sign = sign_at(at_);
        const bool signed_close = sign == '-' || (sign == '+' && !is_variable);
        if (looking_at(close, at_ + (signed_close ? 1 : 0))) {
          push(is_variable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd, "");
          finish_tag(at_ + (signed_close ? 3 : 2), signed_close ? sign : '\0', !is_variable);
          return Ok{};
        }
      }
      LAI_TRY_STATUS(lex_token());
    }
  }

  Status lex_token() {
    const char c = source_[at_];
    if (c >= '0' && c <= '9') return lex_number();
    if (c == '\'' || c == '"') return lex_string(c);
    if (is_identifier_part(decode_utf8(source_, at_).code_point)) return lex_name();
    return lex_operator();
  }

  Status lex_name() {
    size_t end = at_;
    while (end < source_.size()) {
      const Utf8Char c = decode_utf8(source_, end);
      if (!is_identifier_part(c.code_point)) break;
      end += c.bytes;
    }
    if (!is_identifier_start(decode_utf8(source_, at_).code_point))
      return fail(at_, "a name cannot start with " + quoted_char(at_));
    push(TokenKind::kName, source_.substr(at_, end - at_));
    at_ = end;
    return Ok{};
  }

  [[nodiscard]] std::string quoted_char(size_t at) const {
    return "'" + source_.substr(at, decode_utf8(source_, at).bytes) + "'";
  }

  // \d+(_\d+)* from `at`; `at` itself when there is no digit.
  [[nodiscard]] size_t skip_digits(size_t at, int base = 10) const {
    while (at < source_.size() && is_digit_in_base(source_[at], base)) {
      ++at;
      if (at + 1 < source_.size() && source_[at] == '_' && is_digit_in_base(source_[at + 1], base))
        ++at;
    }
    return at;
  }

  Status lex_number() {
    const size_t whole = skip_digits(at_);
    size_t end = whole;
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    if (!after_dot) {
      if (end < source_.size() && source_[end] == '.' && skip_digits(end + 1) > end + 1)
        end = skip_digits(end + 1);
      if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
        size_t exponent = end + 1;
        if (sign_at(exponent) != '\0') ++exponent;
        if (skip_digits(exponent) > exponent) end = skip_digits(exponent);
      }
    }
    return end > whole ? push_real(end) : lex_integer(whole);
  }

  [[nodiscard]] std::string digits(size_t begin, size_t end) const {
    std::string out;
    for (size_t i = begin; i < end; ++i)
      if (source_[i] != '_') out.push_back(source_[i]);
    return out;
  }

  Status push_real(size_t end) {
    const std::string text = digits(at_, end);
    const std::optional<double> value = parse_number<double>(text);
    if (!value) return fail(at_, "the number " + quoted_number(text) + " is out of range");
    push(TokenKind::kFloat, "").real = *value;
    at_ = end;
    return Ok{};
  }

  static std::string quoted_number(const std::string& text) {
    return text.size() > 40 ? text.substr(0, 40) + "..." : text;
  }

  Status lex_integer(size_t decimal_end) {
    int base = 10;
    size_t begin = at_, end = decimal_end;
    if (source_[at_] == '0' && at_ + 1 < source_.size()) {
      const char mark = static_cast<char>(source_[at_ + 1] | 0x20);
      const int marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
      size_t first = at_ + 2;
      if (marked != 0 && first < source_.size() && source_[first] == '_') ++first;
      if (marked != 0 && skip_digits(first, marked) > first) {
        base = marked;
        begin = first;
        end = skip_digits(first, marked);
      }
    }
    const std::string text = digits(begin, end);
    if (base == 10 && text.size() > 1 && text[0] == '0' &&
        text.find_first_not_of('0') != std::string::npos)
      return fail(at_, "the number " + quoted_number(text) + " starts with a zero");
    int64_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc())
      return fail(at_, "the integer " + quoted_number(text) + " does not fit in 64 bits");
    push(TokenKind::kInteger, "").integer = value;
    at_ = end;
    return Ok{};
  }

  Status lex_string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return fail(at_, "a string is not closed");
    auto value = decode_string_literal(std::string_view(source_).substr(at_ + 1, end - at_ - 1));
    if (!value.ok()) return fail(at_, value.error().message);
    push(TokenKind::kString, std::move(*value));
    at_ = end + 1;
    return Ok{};
  }

  Status lex_operator() {
    static constexpr std::array<std::string_view, 26> kOperators = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (const std::string_view op : kOperators) {
      if (!looking_at(op, at_)) continue;
      LAI_TRY_STATUS(balance(op[0]));
      push(TokenKind::kOperator, std::string(op));
      at_ += op.size();
      return Ok{};
    }
    return fail(at_, "unexpected character " + quoted_char(at_));
  }

  Status balance(char c) {
    if (c == '(') brackets_.push_back(')');
    if (c == '[') brackets_.push_back(']');
    if (c == '{') brackets_.push_back('}');
    if (c != ')' && c != ']' && c != '}') return Ok{};
    if (brackets_.empty()) return fail(at_, std::string("unexpected '") + c + "'");
    if (brackets_.back() != c)
      return fail(
          at_, std::string("unexpected '") + c + "', '" + brackets_.back() + "' is to come first");
    brackets_.pop_back();
    return Ok{};
  }

  const std::string source_;
  size_t at_ = 0;
  bool line_starting_ = true;  // does the text at at_ begin a line?
  size_t counted_ = 0, line_start_ = 0;
  uint32_t line_ = 1;
  std::string brackets_;
  std::vector<Token> tokens_;
};

}  // namespace

std::string where(uint32_t line, uint32_t column) {
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

Result<std::vector<Token>> tokenize_template(std::string_view source) {
  if (!is_valid_utf8(source)) return invalid("the template is not valid UTF-8");
  return Lexer(source).run();
}

}  // namespace localai::text::jinja
