#include "text/jinja/expression_parser.h"

#include <algorithm>

namespace localai::text::jinja {

std::string TokenStream::describe() const {
  switch (current().kind) {
    case TokenKind::kEnd:
      return "the end of the template";
    case TokenKind::kData:
      return "text";
    case TokenKind::kVariableBegin:
      return "'{{'";
    case TokenKind::kVariableEnd:
      return "'}}'";
    case TokenKind::kBlockBegin:
      return "'{%'";
    case TokenKind::kBlockEnd:
      return "'%}'";
    case TokenKind::kString:
      return "a string";
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return "a number";
    case TokenKind::kName:
    case TokenKind::kOperator:
      return in_quotes(current().text);
  }
  return "a token";
}

ExpressionParser::Nested::Nested(ExpressionParser& parser) : status(Ok{}), parser_(parser) {
  const Token& token = parser.tokens_.current();
  if (++parser.depth_ > parser.depth_max_)
    status = exhausted(where(token.line, token.column) + ": nested deeper than " +
                       std::to_string(parser.depth_max_) + " levels");
}

uint32_t ExpressionParser::intern(const std::string& name) {
  const auto [entry, added] =
      program_.name_index.emplace(name, static_cast<uint32_t>(program_.names.size()));
  if (added) {
    program_.names.push_back(name);
    program_.mentions.emplace(name, true);
  }
  return entry->second;
}

ExprPtr ExpressionParser::make(ExprKind kind, const Token& at) {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = at.line;
  node->column = at.column;
  return node;
}

ExprPtr ExpressionParser::constant(Value value, const Token& at) {
  ExprPtr node = make(ExprKind::kConst, at);
  node->constant = std::move(value);
  return node;
}

Result<ExprPtr> ExpressionParser::finish(ExprPtr node) const {
  uint32_t below = 0;
  const auto see = [&](const ExprPtr& child) {
    if (child) below = std::max(below, child->depth);
  };
  for (const ExprPtr& child : node->args) see(child);
  for (const auto& [name, child] : node->named) see(child);
  see(node->star);
  see(node->star_star);
  node->depth = below + 1;
  if (node->depth > depth_max_)
    return exhausted(where(node->line, node->column) + ": an expression is nested deeper than " +
                     std::to_string(depth_max_) + " levels");
  return node;
}

Result<ExprPtr> ExpressionParser::parse_expression(bool with_conditional) {
  const Nested nested(*this);
  if (!nested.status.ok()) return nested.status.error();
  return with_conditional ? parse_conditional() : parse_or();
}

Result<ExprPtr> ExpressionParser::parse_conditional() {
  const Nested nested(*this);
  if (!nested.status.ok()) return nested.status.error();
  const Token start = tokens_.current();
  LAI_TRY(ExprPtr value, parse_or());
  while (tokens_.skip_name("if")) {
    ExprPtr node = make(ExprKind::kConditional, start);
    LAI_TRY(ExprPtr test, parse_or());
    ExprPtr otherwise;
    if (tokens_.skip_name("else")) {
      LAI_TRY(otherwise, parse_conditional());
    }
    node->args.push_back(std::move(test));
    node->args.push_back(std::move(value));
    node->args.push_back(std::move(otherwise));
    LAI_TRY(value, finish(std::move(node)));
  }
  return value;
}

Result<ExprPtr> ExpressionParser::parse_words(Rule operand, ExprKind kind, std::string_view word) {
  const Token start = tokens_.current();
  LAI_TRY(ExprPtr first, (this->*operand)());
  if (!tokens_.is_name(word)) return first;
  ExprPtr node = make(kind, start);
  node->args.push_back(std::move(first));
  while (tokens_.skip_name(word)) {
    LAI_TRY(ExprPtr next, (this->*operand)());
    node->args.push_back(std::move(next));
  }
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_or() {
  return parse_words(&ExpressionParser::parse_and, ExprKind::kOr, "or");
}
Result<ExprPtr> ExpressionParser::parse_and() {
  return parse_words(&ExpressionParser::parse_not, ExprKind::kAnd, "and");
}

Result<ExprPtr> ExpressionParser::parse_not() {
  if (!tokens_.is_name("not")) return parse_compare();
  const Nested nested(*this);
  if (!nested.status.ok()) return nested.status.error();
  ExprPtr node = make(ExprKind::kNot, tokens_.next());
  LAI_TRY(ExprPtr operand, parse_not());
  node->args.push_back(std::move(operand));
  return finish(std::move(node));
}

Result<Operator> ExpressionParser::parse_compare_operator(bool& found) {
  static constexpr std::pair<std::string_view, Operator> kOperators[] = {
      {"==", Operator::kEqual},     {"!=", Operator::kNotEqual}, {"<", Operator::kLess},
      {"<=", Operator::kLessEqual}, {">", Operator::kGreater},   {">=", Operator::kGreaterEqual}};
  found = true;
  for (const auto& [text, op] : kOperators)
    if (tokens_.skip_op(text)) return op;
  if (tokens_.skip_name("in")) return Operator::kIn;
  if (tokens_.is_name("not") && TokenStream::is_word(tokens_.look(), "in")) {
    tokens_.next();
    tokens_.next();
    return Operator::kNotIn;
  }
  found = false;
  return Operator::kEqual;
}

Result<ExprPtr> ExpressionParser::parse_compare() {
  const Token start = tokens_.current();
  LAI_TRY(ExprPtr first, parse_sum());
  ExprPtr node = make(ExprKind::kCompare, start);
  node->args.push_back(std::move(first));
  while (true) {
    bool found = false;
    LAI_TRY(const Operator op, parse_compare_operator(found));
    if (!found) break;
    LAI_TRY(ExprPtr next, parse_sum());
    node->ops.push_back(op);
    node->args.push_back(std::move(next));
  }
  if (node->ops.empty()) return std::move(node->args[0]);
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_operators(
    Rule operand, ExprKind kind,
    std::initializer_list<std::pair<std::string_view, Operator>> operators) {
  const Token start = tokens_.current();
  LAI_TRY(ExprPtr first, (this->*operand)());
  ExprPtr node;
  while (true) {
    const auto* const op = std::find_if(operators.begin(), operators.end(),
                                        [&](const auto& o) { return tokens_.is_op(o.first); });
    if (op == operators.end()) break;
    tokens_.next();
    if (!node) {
      node = make(kind, start);
      node->args.push_back(std::move(first));
    }
    LAI_TRY(ExprPtr next, (this->*operand)());
    node->ops.push_back(op->second);
    node->args.push_back(std::move(next));
  }
  if (!node) return first;
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_sum() {
  return parse_operators(&ExpressionParser::parse_concat, ExprKind::kArithmetic,
                         {{"+", Operator::kAdd}, {"-", Operator::kSubtract}});
}
Result<ExprPtr> ExpressionParser::parse_concat() {
  return parse_operators(&ExpressionParser::parse_product, ExprKind::kConcat,
                         {{"~", Operator::kAdd}});
}
Result<ExprPtr> ExpressionParser::parse_product() {
  return parse_operators(&ExpressionParser::parse_power, ExprKind::kArithmetic,
                         {{"*", Operator::kMultiply},
                          {"/", Operator::kDivide},
                          {"//", Operator::kFloorDivide},
                          {"%", Operator::kModulo}});
}
Result<ExprPtr> ExpressionParser::parse_power() {
  const auto operand = [](ExpressionParser& parser) { return parser.parse_unary(); };
  const Token start = tokens_.current();
  LAI_TRY(ExprPtr first, operand(*this));
  if (!tokens_.is_op("**")) return first;
  ExprPtr node = make(ExprKind::kArithmetic, start);
  node->args.push_back(std::move(first));
  while (tokens_.skip_op("**")) {
    LAI_TRY(ExprPtr next, operand(*this));
    node->ops.push_back(Operator::kPower);
    node->args.push_back(std::move(next));
  }
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_unary(bool with_filters) {
  const Nested nested(*this);
  if (!nested.status.ok()) return nested.status.error();
  ExprPtr node;
  if (tokens_.is_op("-") || tokens_.is_op("+")) {
    const Token token = tokens_.next();
    node = make(token.text == "-" ? ExprKind::kNegative : ExprKind::kPositive, token);
    LAI_TRY(ExprPtr operand, parse_unary(false));
    node->args.push_back(std::move(operand));
    LAI_TRY(node, finish(std::move(node)));
  } else {
    LAI_TRY(node, parse_primary());
  }
  LAI_TRY(node, parse_postfix(std::move(node)));
  if (!with_filters) return node;
  return parse_filter_expression(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_primary() {
  const Token token = tokens_.current();
  switch (token.kind) {
    case TokenKind::kName:
      return parse_name();
    case TokenKind::kString:
      return parse_string();
    case TokenKind::kInteger:
      tokens_.next();
      return constant(Value::integer(token.integer), token);
    case TokenKind::kFloat:
      tokens_.next();
      return constant(Value::real(token.real), token);
    default:
      break;
  }
  if (tokens_.is_op("[")) return parse_list();
  if (tokens_.is_op("{")) return parse_dict();
  if (!tokens_.skip_op("(")) return tokens_.fail("unexpected " + tokens_.describe());
  LAI_TRY(ExprPtr inner, parse_tuple(true, {}, true));
  LAI_TRY_STATUS(tokens_.expect_op(")"));
  return inner;
}

Result<ExprPtr> ExpressionParser::parse_name() {
  const Token token = tokens_.next();
  const std::string& name = token.text;
  if (name == "true" || name == "True") return constant(Value::boolean(true), token);
  if (name == "false" || name == "False") return constant(Value::boolean(false), token);
  if (name == "none" || name == "None") return constant(Value::none(), token);
  ExprPtr node = make(ExprKind::kName, token);
  node->name = intern(name);
  if (name == "caller") ++uses.caller;
  if (name == "varargs") ++uses.varargs;
  if (name == "kwargs") ++uses.kwargs;
  return node;
}

Result<ExprPtr> ExpressionParser::parse_string() {
  const Token token = tokens_.current();
  auto object = std::make_shared<StringObject>();
  while (tokens_.is(TokenKind::kString)) object->text += tokens_.next().text;
  object->length = 0;
  for (const char c : object->text)
    object->length += (static_cast<uint8_t>(c) & 0xC0) != 0x80 ? 1u : 0u;
  if (object->text.size() <= 64) program_.mentions.emplace(object->text, true);
  return constant(Value::object(Kind::kString, std::move(object)), token);
}

Result<ExprPtr> ExpressionParser::parse_tuple(bool with_conditional, std::string_view end_word,
                                              bool in_parentheses) {
  ExprPtr node = make(ExprKind::kTuple, tokens_.current());
  const auto at_end = [&] {
    return tokens_.is(TokenKind::kVariableEnd) || tokens_.is(TokenKind::kBlockEnd) ||
           tokens_.is_op(")") || (!end_word.empty() && tokens_.is_name(end_word));
  };
  bool is_tuple = false;
  while (!at_end()) {
    LAI_TRY(ExprPtr item, parse_expression(with_conditional));
    node->args.push_back(std::move(item));
    if (!tokens_.skip_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !node->args.empty()) return std::move(node->args[0]);
  if (!is_tuple && !in_parentheses)
    return tokens_.fail("expected an expression, found " + tokens_.describe());
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_list() {
  ExprPtr node = make(ExprKind::kList, tokens_.next());
  while (!tokens_.is_op("]")) {
    LAI_TRY(ExprPtr item, parse_expression());
    node->args.push_back(std::move(item));
    if (!tokens_.skip_op(",")) break;
  }
  LAI_TRY_STATUS(tokens_.expect_op("]"));
  return finish(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_dict() {
  ExprPtr node = make(ExprKind::kDict, tokens_.next());
  while (!tokens_.is_op("}")) {
    LAI_TRY(ExprPtr key, parse_expression());
    LAI_TRY_STATUS(tokens_.expect_op(":"));
    LAI_TRY(ExprPtr value, parse_expression());
    node->args.push_back(std::move(key));
    node->args.push_back(std::move(value));
    if (!tokens_.skip_op(",")) break;
  }
  LAI_TRY_STATUS(tokens_.expect_op("}"));
  return finish(std::move(node));
}

}  // namespace localai::text::jinja
