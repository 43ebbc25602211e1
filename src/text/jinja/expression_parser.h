#pragma once
// The expression half of the parser.
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/token_stream.h"

namespace localai::text::jinja {

class ExpressionParser {
 public:
  ExpressionParser(TokenStream& tokens, Program& program, uint32_t depth_max)
      : tokens_(tokens), program_(program), depth_max_(depth_max) {}

  Result<ExprPtr> parse_expression(bool with_conditional = true);
  // One expression, or a tuple without parentheses; `end_word` may follow it ("recursive").
  Result<ExprPtr> parse_tuple(bool with_conditional, std::string_view end_word = {},
                              bool in_parentheses = false);
  Result<ExprPtr> parse_filters(ExprPtr input, bool starts_with_name);
  Result<ExprPtr> parse_primary();

  uint32_t intern(const std::string& name);
  // One level of nesting more, for as long as the object lives; check `status` first.
  class Nested {
   public:
    explicit Nested(ExpressionParser& parser);
    ~Nested() { --parser_.depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;
    Status status;

   private:
    ExpressionParser& parser_;
  };

  // Calls of plain names, and names tested with `is defined`: for the check of unknown functions.
  struct NamedCall {
    std::string name;
    uint32_t line, column;
  };
  std::vector<NamedCall> calls;
  std::vector<std::string> guarded;
  // How often the names that change what a macro accepts were read.
  struct Uses {
    uint32_t caller = 0, varargs = 0, kwargs = 0;
  } uses;

 private:
  Result<ExprPtr> parse_conditional();
  Result<ExprPtr> parse_or();
  Result<ExprPtr> parse_and();
  Result<ExprPtr> parse_not();
  Result<ExprPtr> parse_compare();
  Result<ExprPtr> parse_sum();
  Result<ExprPtr> parse_concat();
  Result<ExprPtr> parse_product();
  Result<ExprPtr> parse_power();
  Result<ExprPtr> parse_unary(bool with_filters = true);
  Result<ExprPtr> parse_list();
  Result<ExprPtr> parse_dict();
  Result<ExprPtr> parse_string();
  Result<ExprPtr> parse_name();
  Result<ExprPtr> parse_postfix(ExprPtr node);
  Result<ExprPtr> parse_filter_expression(ExprPtr node);
  Result<ExprPtr> parse_attribute(ExprPtr node);
  Result<ExprPtr> parse_subscript(ExprPtr node);
  Result<ExprPtr> parse_subscribed(ExprPtr node, const Token& token);
  Result<ExprPtr> parse_call(ExprPtr node);
  Result<ExprPtr> parse_test(ExprPtr node);
  Status parse_arguments(Expr& call);
  Status parse_argument(Expr& call);
  Result<std::string> parse_dotted_name();
  Result<Operator> parse_compare_operator(bool& found);

  static ExprPtr make(ExprKind kind, const Token& at);
  static ExprPtr constant(Value value, const Token& at);
  // Fills in the depth of a finished node; kExhausted when it is too deep.
  Result<ExprPtr> finish(ExprPtr node) const;
  using Rule = Result<ExprPtr> (ExpressionParser::*)();
  Result<ExprPtr> parse_operators(Rule operand, ExprKind kind,
                                  std::initializer_list<std::pair<std::string_view, Operator>> ops);
  Result<ExprPtr> parse_words(Rule operand, ExprKind kind, std::string_view word);

  TokenStream& tokens_;
  Program& program_;
  const uint32_t depth_max_;
  uint32_t depth_ = 0;
};

}  // namespace localai::text::jinja
