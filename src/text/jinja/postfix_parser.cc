// What follows a primary expression: attributes, subscripts, calls, filters and tests.
#include <algorithm>

#include "text/jinja/expression_parser.h"

namespace localai::text::jinja {

Result<ExprPtr> ExpressionParser::parse_postfix(ExprPtr node) {
  while (true) {
    if (tokens_.is_op(".")) {
      LAI_TRY(node, parse_attribute(std::move(node)));
    } else if (tokens_.is_op("[")) {
      LAI_TRY(node, parse_subscript(std::move(node)));
    } else if (tokens_.is_op("(")) {
      LAI_TRY(node, parse_call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::parse_filter_expression(ExprPtr node) {
  while (true) {
    if (tokens_.is_op("|")) {
      LAI_TRY(node, parse_filters(std::move(node), false));
    } else if (tokens_.is_name("is")) {
      LAI_TRY(node, parse_test(std::move(node)));
    } else if (tokens_.is_op("(")) {
      LAI_TRY(node, parse_call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::parse_attribute(ExprPtr node) {
  const Token dot = tokens_.next();
  const Token token = tokens_.current();
  if (token.kind == TokenKind::kInteger) {
    tokens_.next();
    ExprPtr item = make(ExprKind::kItem, dot);
    item->args.push_back(std::move(node));
    item->args.push_back(constant(Value::integer(token.integer), token));
    return finish(std::move(item));
  }
  LAI_TRY(std::string name, tokens_.expect_any_name());
  program_.mentions.emplace(name, true);
  ExprPtr attribute = make(ExprKind::kAttribute, dot);
  attribute->text = std::move(name);
  attribute->args.push_back(std::move(node));
  return finish(std::move(attribute));
}

Result<ExprPtr> ExpressionParser::parse_subscript(ExprPtr node) {
  const Token token = tokens_.next();
  LAI_TRY(ExprPtr item, parse_subscribed(std::move(node), token));
  if (tokens_.is_op(","))
    return tokens_.fail("a subscript of several parts is not supported: write x[(a, b)]");
  LAI_TRY_STATUS(tokens_.expect_op("]"));
  return finish(std::move(item));
}

Result<ExprPtr> ExpressionParser::parse_subscribed(ExprPtr node, const Token& token) {
  ExprPtr parts[3];
  if (!tokens_.is_op(":")) {
    LAI_TRY(parts[0], parse_expression());
    if (!tokens_.is_op(":")) {
      ExprPtr item = make(ExprKind::kItem, token);
      item->args.push_back(std::move(node));
      item->args.push_back(std::move(parts[0]));
      return item;
    }
  }
  for (int part = 1; part < 3 && tokens_.skip_op(":"); ++part)
    if (!tokens_.is_op(":") && !tokens_.is_op("]") && !tokens_.is_op(",")) {
      LAI_TRY(parts[part], parse_expression());
    }
  ExprPtr slice = make(ExprKind::kSlice, token);
  slice->args.push_back(std::move(node));
  for (ExprPtr& part : parts) slice->args.push_back(std::move(part));
  return slice;
}

Result<ExprPtr> ExpressionParser::parse_call(ExprPtr node) {
  ExprPtr call = make(ExprKind::kCall, tokens_.current());
  if (node->kind == ExprKind::kName)
    calls.push_back({program_.names[node->name], node->line, node->column});
  call->args.push_back(std::move(node));
  LAI_TRY_STATUS(parse_arguments(*call));
  return finish(std::move(call));
}

Status ExpressionParser::parse_arguments(Expr& call) {
  LAI_TRY_STATUS(tokens_.expect_op("("));
  bool first = true;
  while (!tokens_.is_op(")")) {
    if (!first) {
      LAI_TRY_STATUS(tokens_.expect_op(","));
      if (tokens_.is_op(")")) break;
    }
    first = false;
    LAI_TRY_STATUS(parse_argument(call));
  }
  return tokens_.expect_op(")");
}

Status ExpressionParser::parse_argument(Expr& call) {
  const Token token = tokens_.current();
  const auto misplaced = [&] {
    return TokenStream::fail_at(token, "arguments are out of order in this call");
  };
  if (tokens_.skip_op("*")) {
    if (call.star || call.star_star) return misplaced();
    LAI_TRY(call.star, parse_expression());
    return Ok{};
  }
  if (tokens_.skip_op("**")) {
    if (call.star_star) return misplaced();
    LAI_TRY(call.star_star, parse_expression());
    return Ok{};
  }
  const Token& after = tokens_.look();
  if (tokens_.is(TokenKind::kName) && after.kind == TokenKind::kOperator && after.text == "=") {
    if (call.star_star) return misplaced();
    std::string name = tokens_.next().text;
    tokens_.next();
    const bool repeated = std::any_of(call.named.begin(), call.named.end(),
                                      [&](const auto& other) { return other.first == name; });
    if (repeated) return TokenStream::fail_at(token, in_quotes(name) + " is given twice");
    LAI_TRY(ExprPtr value, parse_expression());
    call.named.emplace_back(std::move(name), std::move(value));
    return Ok{};
  }
  if (call.star || call.star_star || !call.named.empty()) return misplaced();
  LAI_TRY(ExprPtr value, parse_expression());
  call.args.push_back(std::move(value));
  return Ok{};
}

Result<std::string> ExpressionParser::parse_dotted_name() {
  LAI_TRY(std::string name, tokens_.expect_any_name());
  while (tokens_.skip_op(".")) {
    LAI_TRY(const std::string part, tokens_.expect_any_name());
    name += "." + part;
  }
  return name;
}

Result<ExprPtr> ExpressionParser::parse_filters(ExprPtr input, bool starts_with_name) {
  while (starts_with_name || tokens_.skip_op("|")) {
    starts_with_name = false;
    const Token token = tokens_.current();
    ExprPtr node = make(ExprKind::kFilter, token);
    LAI_TRY(node->text, parse_dotted_name());
    node->filter = find_filter(node->text);
    if (!node->filter)
      return unsupported(where(token.line, token.column) + ": the filter " + in_quotes(node->text) +
                         " is not supported");
    node->args.push_back(std::move(input));
    if (tokens_.is_op("(")) LAI_TRY_STATUS(parse_arguments(*node));
    LAI_TRY(input, finish(std::move(node)));
  }
  return input;
}

Result<ExprPtr> ExpressionParser::parse_test(ExprPtr input) {
  tokens_.next();  // is
  const bool negated = tokens_.skip_name("not");
  const Token token = tokens_.current();
  ExprPtr node = make(ExprKind::kTest, token);
  LAI_TRY(node->text, parse_dotted_name());
  node->test = find_test(node->text);
  if (!node->test)
    return unsupported(where(token.line, token.column) + ": the test " + in_quotes(node->text) +
                       " is not supported");
  if (node->text == "defined" && input->kind == ExprKind::kName)
    guarded.push_back(program_.names[input->name]);
  node->args.push_back(std::move(input));
  const bool value_follows = tokens_.is(TokenKind::kName) || tokens_.is(TokenKind::kString) ||
                             tokens_.is(TokenKind::kInteger) || tokens_.is(TokenKind::kFloat) ||
                             tokens_.is_op("[") || tokens_.is_op("{");
  if (tokens_.is_op("(")) {
    LAI_TRY_STATUS(parse_arguments(*node));
  } else if (value_follows && !tokens_.is_name("else") && !tokens_.is_name("or") &&
             !tokens_.is_name("and")) {
    if (tokens_.is_name("is")) return tokens_.fail("tests cannot be chained with 'is'");
    LAI_TRY(ExprPtr argument, parse_primary());
    LAI_TRY(argument, parse_postfix(std::move(argument)));
    node->args.push_back(std::move(argument));
  }
  LAI_TRY(node, finish(std::move(node)));
  if (!negated) return node;
  ExprPtr negation = make(ExprKind::kNot, token);
  negation->args.push_back(std::move(node));
  return finish(std::move(negation));
}

}  // namespace localai::text::jinja
