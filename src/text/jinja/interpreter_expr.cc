// Expressions.
#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/printing.h"

namespace localai::text::jinja {

Result<Value> Interpreter::evaluate(const Expr& expr, Scope& scope) {
  LAI_TRY_STATUS(runtime_.step());
  if (depth_ >= kEvaluationDepthMax) return too_deep();
  ++depth_;
  auto value = evaluate_kind(expr, scope);
  --depth_;
  if (!value.ok() && !located_ && !runtime_.raised()) {
    located_ = true;
    return std::move(value.error()).at("line " + std::to_string(expr.line));
  }
  return value;
}

Result<Value> Interpreter::evaluate_kind(const Expr& expr, Scope& scope) {
  switch (expr.kind) {
    case ExprKind::kConst:
      return expr.constant;
    case ExprKind::kName:
      return lookup(expr.name, scope);
    case ExprKind::kList:
    case ExprKind::kTuple:
      return evaluate_items(expr, scope);
    case ExprKind::kDict:
      return evaluate_dict(expr, scope);
    case ExprKind::kAttribute:
      return evaluate_attribute(expr, scope);
    case ExprKind::kItem:
      return evaluate_item(expr, scope);
    case ExprKind::kSlice:
      return evaluate_slice(expr, scope);
    case ExprKind::kCall:
      return evaluate_call(expr, scope, {});
    case ExprKind::kFilter: {
      LAI_TRY(const Value input, evaluate(*expr.args[0], scope));
      return apply_filter(expr, input, scope);
    }
    case ExprKind::kTest:
      return evaluate_test(expr, scope);
    case ExprKind::kNot: {
      LAI_TRY(const Value value, evaluate(*expr.args[0], scope));
      return Value::boolean(!is_true(value));
    }
    case ExprKind::kNegative: {
      LAI_TRY(const Value value, evaluate(*expr.args[0], scope));
      return negative(value);
    }
    case ExprKind::kPositive: {
      LAI_TRY(const Value value, evaluate(*expr.args[0], scope));
      return positive(value);
    }
    case ExprKind::kArithmetic:
      return evaluate_arithmetic(expr, scope);
    case ExprKind::kConcat:
      return evaluate_concat(expr, scope);
    case ExprKind::kAnd:
    case ExprKind::kOr:
      return evaluate_logic(expr, scope);
    case ExprKind::kCompare:
      return evaluate_compare(expr, scope);
    case ExprKind::kConditional:
      return evaluate_conditional(expr, scope);
  }
  return Value();
}

Result<Value> Interpreter::lookup(uint32_t name, Scope& scope) {
  for (const Scope* s = &scope; s; s = s->parent)
    for (const auto& [known, value] : s->variables)
      if (known == name) return value;
  std::optional<Value>& global = globals_[name];
  if (global) return *global;
  const std::string& text = program_.names[name];
  if (const auto found = variables_.find(text); found != variables_.end()) {
    LAI_TRY(global, runtime_.from_json(*found));
  } else if (find_global(text)) {
    LAI_TRY(global, runtime_.make_function(text));
  } else {
    LAI_TRY(global, runtime_.make_undefined(in_quotes(text) + " is undefined"));
  }
  return *global;
}

Result<Value> Interpreter::evaluate_items(const Expr& expr, Scope& scope) {
  std::vector<Value> items;
  items.reserve(expr.args.size());
  for (const ExprPtr& arg : expr.args) {
    LAI_TRY(Value item, evaluate(*arg, scope));
    items.push_back(std::move(item));
  }
  return expr.kind == ExprKind::kList ? runtime_.make_list(std::move(items))
                                      : runtime_.make_tuple(std::move(items));
}

Result<Value> Interpreter::evaluate_dict(const Expr& expr, Scope& scope) {
  std::vector<std::pair<Value, Value>> entries;
  for (size_t i = 0; i < expr.args.size(); i += 2) {
    LAI_TRY(Value key, evaluate(*expr.args[i], scope));
    LAI_TRY(Value value, evaluate(*expr.args[i + 1], scope));
    entries.emplace_back(std::move(key), std::move(value));
  }
  return runtime_.make_dict(std::move(entries));
}

Result<Value> Interpreter::evaluate_attribute(const Expr& expr, Scope& scope) {
  LAI_TRY(const Value object, evaluate(*expr.args[0], scope));
  if (object.is(Kind::kLoop)) return loop_attribute(object, expr.text);
  return get_attribute(runtime_, object, expr.text);
}

Result<Value> Interpreter::evaluate_item(const Expr& expr, Scope& scope) {
  LAI_TRY(const Value object, evaluate(*expr.args[0], scope));
  LAI_TRY(const Value key, evaluate(*expr.args[1], scope));
  if (object.is(Kind::kLoop) && key.is(Kind::kString)) return loop_attribute(object, key.text());
  return get_item(runtime_, object, key);
}

Result<Value> Interpreter::evaluate_slice(const Expr& expr, Scope& scope) {
  LAI_TRY(const Value object, evaluate(*expr.args[0], scope));
  Value parts[3];
  for (size_t i = 0; i < 3; ++i) {
    parts[i] = Value::none();
    if (!expr.args[i + 1]) continue;
    LAI_TRY(parts[i], evaluate(*expr.args[i + 1], scope));
  }
  return get_slice(runtime_, object, parts[0], parts[1], parts[2]);
}

Result<Value> Interpreter::evaluate_arithmetic(const Expr& expr, Scope& scope) {
  LAI_TRY(Value left, evaluate(*expr.args[0], scope));
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    LAI_TRY(const Value right, evaluate(*expr.args[i + 1], scope));
    LAI_TRY(left, arithmetic(runtime_, expr.ops[i], left, right));
  }
  return left;
}

Result<Value> Interpreter::evaluate_concat(const Expr& expr, Scope& scope) {
  std::string text;
  for (const ExprPtr& arg : expr.args) {
    LAI_TRY(const Value value, evaluate(*arg, scope));
    LAI_TRY(const std::string part, to_text(runtime_, value));
    LAI_TRY_STATUS(runtime_.reserve(text.size() + part.size()));
    text += part;
  }
  return runtime_.make_string(std::move(text));
}

Result<Value> Interpreter::evaluate_logic(const Expr& expr, Scope& scope) {
  const bool stops_at = expr.kind == ExprKind::kOr;
  Value value;
  for (const ExprPtr& arg : expr.args) {
    LAI_TRY(value, evaluate(*arg, scope));
    if (is_true(value) == stops_at) break;
  }
  return value;
}

Result<Value> Interpreter::evaluate_compare(const Expr& expr, Scope& scope) {
  LAI_TRY(Value left, evaluate(*expr.args[0], scope));
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    LAI_TRY(Value right, evaluate(*expr.args[i + 1], scope));
    LAI_TRY(const bool holds, compare(runtime_, expr.ops[i], left, right));
    if (!holds) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Result<Value> Interpreter::evaluate_conditional(const Expr& expr, Scope& scope) {
  LAI_TRY(const Value condition, evaluate(*expr.args[0], scope));
  if (is_true(condition)) return evaluate(*expr.args[1], scope);
  if (expr.args[2]) return evaluate(*expr.args[2], scope);
  return runtime_.make_undefined("the condition of an inline if is false and it has no else");
}

Result<Arguments> Interpreter::evaluate_arguments(const Expr& expr, Scope& scope) {
  Arguments arguments;
  for (size_t i = 1; i < expr.args.size(); ++i) {
    LAI_TRY(Value value, evaluate(*expr.args[i], scope));
    arguments.values.push_back(std::move(value));
  }
  for (const auto& [name, arg] : expr.named) {
    LAI_TRY(Value value, evaluate(*arg, scope));
    arguments.named.emplace_back(name, std::move(value));
  }
  if (expr.star || expr.star_star) LAI_TRY_STATUS(evaluate_starred(expr, scope, arguments));
  return arguments;
}

Status Interpreter::evaluate_starred(const Expr& expr, Scope& scope, Arguments& arguments) {
  if (expr.star) {
    LAI_TRY(const Value more, evaluate(*expr.star, scope));
    LAI_TRY(const std::vector<Value> values, runtime_.iterate(more));
    arguments.values.insert(arguments.values.end(), values.begin(), values.end());
  }
  if (!expr.star_star) return Ok{};
  LAI_TRY(const Value more, evaluate(*expr.star_star, scope));
  if (!more.is(Kind::kDict)) return invalid("** in a call needs a dict");
  for (const auto& [key, value] : more.get<DictObject>().entries) {
    if (!key.is(Kind::kString)) return invalid("** in a call needs keys that are strings");
    arguments.named.emplace_back(key.text(), value);
  }
  return runtime_.step(arguments.named.size());
}

Result<Value> Interpreter::evaluate_call(const Expr& expr, Scope& scope, Arguments extra) {
  LAI_TRY(const Value callee, evaluate(*expr.args[0], scope));
  LAI_TRY(Arguments arguments, evaluate_arguments(expr, scope));
  for (auto& named : extra.named) arguments.named.push_back(std::move(named));
  return call(callee, arguments);
}

Result<Value> Interpreter::apply_filter(const Expr& expr, const Value& input, Scope& scope) {
  LAI_TRY(Arguments arguments, evaluate_arguments(expr, scope));
  return expr.filter(runtime_, input, arguments);
}

// The filters of a block: a chain whose innermost input is the block's text.
Result<Value> Interpreter::apply_filters(const Expr& expr, Value text, Scope& scope) {
  LAI_TRY_STATUS(runtime_.step());
  if (expr.args[0]) {
    LAI_TRY(text, apply_filters(*expr.args[0], std::move(text), scope));
  }
  return apply_filter(expr, text, scope);
}

Result<Value> Interpreter::evaluate_test(const Expr& expr, Scope& scope) {
  LAI_TRY(const Value input, evaluate(*expr.args[0], scope));
  LAI_TRY(Arguments arguments, evaluate_arguments(expr, scope));
  LAI_TRY(const bool holds, expr.test(runtime_, input, arguments));
  return Value::boolean(holds);
}

}  // namespace localai::text::jinja
