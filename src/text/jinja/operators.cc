#include "text/jinja/operators.h"

#include <cmath>
#include <cstring>

#include "text/jinja/printing.h"

namespace localai::text::jinja {
namespace {

std::string_view symbol(Operator op) {
  switch (op) {
    case Operator::kAdd:
      return "+";
    case Operator::kSubtract:
      return "-";
    case Operator::kMultiply:
      return "*";
    case Operator::kDivide:
      return "/";
    case Operator::kFloorDivide:
      return "//";
    case Operator::kModulo:
      return "%";
    case Operator::kPower:
      return "**";
    default:
      return "?";
  }
}

Error bad_types(Operator op, const Value& left, const Value& right) {
  for (const Value* side : {&left, &right})
    if (side->is(Kind::kUndefined)) return invalid(std::string(side->undefined_message()));
  return invalid("the operator " + std::string(symbol(op)) + " does not take " +
                 std::string(type_name(left)) + " and " + std::string(type_name(right)));
}

Error too_large(Operator op) {
  return invalid("the result of " + std::string(symbol(op)) + " does not fit in 64 bits");
}

Result<Value> integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  if (base == 0 || base == 1) return Value::integer(exponent == 0 ? 1 : base);
  if (base == -1) return Value::integer(exponent % 2 == 0 ? 1 : -1);
  for (int64_t i = 0; i < exponent; ++i)  // |base| >= 2: overflows within 63 rounds
    if (__builtin_mul_overflow(result, base, &result)) return too_large(Operator::kPower);
  return Value::integer(result);
}

Result<Value> integers(Operator op, int64_t a, int64_t b) {
  int64_t out = 0;
  bool overflow = false;
  switch (op) {
    case Operator::kAdd:
      overflow = __builtin_add_overflow(a, b, &out);
      break;
    case Operator::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &out);
      break;
    case Operator::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &out);
      break;
    case Operator::kDivide:
      if (b == 0) return invalid("division by zero");
      return Value::real(static_cast<double>(a) / static_cast<double>(b));
    case Operator::kFloorDivide:
    case Operator::kModulo: {
      if (b == 0) return invalid("integer division or modulo by zero");
      if (b == -1) {  // INT64_MIN / -1 has no 64-bit result
        if (op == Operator::kModulo) return Value::integer(0);
        overflow = __builtin_sub_overflow(int64_t{0}, a, &out);
        break;
      }
      const bool adjust = a % b != 0 && (a < 0) != (b < 0);
      out = op == Operator::kModulo ? a % b + (adjust ? b : 0) : a / b - (adjust ? 1 : 0);
      break;
    }
    default:
      if (b < 0) {
        if (a == 0) return invalid("0 cannot be raised to a negative power");
        return Value::real(std::pow(static_cast<double>(a), static_cast<double>(b)));
      }
      return integer_power(a, b);
  }
  if (overflow) return too_large(op);
  return Value::integer(out);
}

// Python's float floor division: exact, unlike floor(a / b).
double floor_divide(double a, double b) {
  double mod = std::fmod(a, b);
  double div = (a - mod) / b;
  if (mod != 0 && (b < 0) != (mod < 0)) div -= 1.0;
  if (div == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(div);
  return div - floored > 0.5 ? floored + 1.0 : floored;
}

double modulo(double a, double b) {
  const double mod = std::fmod(a, b);
  if (mod == 0) return std::copysign(0.0, b);
  return (b < 0) != (mod < 0) ? mod + b : mod;
}

Result<Value> reals(Operator op, double a, double b) {
  switch (op) {
    case Operator::kAdd:
      return Value::real(a + b);
    case Operator::kSubtract:
      return Value::real(a - b);
    case Operator::kMultiply:
      return Value::real(a * b);
    case Operator::kDivide:
      if (b == 0) return invalid("float division by zero");
      return Value::real(a / b);
    case Operator::kFloorDivide:
      if (b == 0) return invalid("float floor division by zero");
      return Value::real(floor_divide(a, b));
    case Operator::kModulo:
      if (b == 0) return invalid("float modulo by zero");
      return Value::real(modulo(a, b));
    default: {
      if (a == 0 && b < 0) return invalid("0.0 cannot be raised to a negative power");
      if (a < 0 && std::isfinite(a) && std::isfinite(b) && std::floor(b) != b)
        return unsupported("a negative number to a fractional power is complex");
      const double out = std::pow(a, b);
      if (std::isinf(out) && std::isfinite(a) && std::isfinite(b))
        return invalid("the result of ** is out of range");
      return Value::real(out);
    }
  }
}

Result<Value> add_strings(Runtime& runtime, const Value& left, const Value& right) {
  const bool markup = left.get<StringObject>().is_markup || right.get<StringObject>().is_markup;
  const auto part = [&](const Value& side) {
    return markup && !side.get<StringObject>().is_markup ? escape_html(side.text()) : side.text();
  };
  LAI_TRY_STATUS(runtime.reserve(left.text().size() + right.text().size()));
  return runtime.make_string(part(left) + part(right), markup);
}

Result<Value> add_lists(Runtime& runtime, const Value& left, const Value& right) {
  const auto& a = left.items();
  const auto& b = right.items();
  LAI_TRY_STATUS(runtime.reserve((a.size() + b.size()) * sizeof(Value)));
  std::vector<Value> out;
  out.reserve(a.size() + b.size());
  out.insert(out.end(), a.begin(), a.end());
  out.insert(out.end(), b.begin(), b.end());
  return left.is(Kind::kList) ? runtime.make_list(std::move(out))
                              : runtime.make_tuple(std::move(out));
}

Result<Value> repeat(Runtime& runtime, const Value& value, int64_t count) {
  const uint64_t times = count > 0 ? static_cast<uint64_t>(count) : 0;
  const uint64_t size =
      value.is(Kind::kString) ? value.text().size() : value.items().size() * sizeof(Value);
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(size, times, &bytes)) bytes = UINT64_MAX;
  LAI_TRY_STATUS(runtime.reserve(bytes));
  if (value.is(Kind::kString)) {
    std::string out;
    out.reserve(bytes);
    for (uint64_t i = 0; i < times && size > 0; ++i) out += value.text();
    return runtime.make_string(std::move(out), value.get<StringObject>().is_markup);
  }
  std::vector<Value> out;
  out.reserve(bytes / sizeof(Value));
  for (uint64_t i = 0; i < times && size > 0; ++i)
    out.insert(out.end(), value.items().begin(), value.items().end());
  return value.is(Kind::kList) ? runtime.make_list(std::move(out))
                               : runtime.make_tuple(std::move(out));
}

bool is_repeatable(const Value& v) {
  return v.is(Kind::kString) || v.is(Kind::kList) || v.is(Kind::kTuple);
}

}  // namespace

Result<Value> arithmetic(Runtime& runtime, Operator op, const Value& left, const Value& right) {
  if (left.is_integral() && right.is_integral()) return integers(op, left.as_int(), right.as_int());
  if (left.is_number() && right.is_number()) return reals(op, left.as_real(), right.as_real());
  if (left.is(Kind::kUndefined)) return bad_types(op, left, right);
  if (op == Operator::kModulo && left.is(Kind::kString))
    return format_percent(runtime, left.text(), right);
  if (op == Operator::kAdd && left.kind() == right.kind()) {
    if (left.is(Kind::kString)) return add_strings(runtime, left, right);
    if (left.is(Kind::kList) || left.is(Kind::kTuple)) return add_lists(runtime, left, right);
  }
  if (op == Operator::kMultiply) {
    if (is_repeatable(left) && right.is_integral()) return repeat(runtime, left, right.as_int());
    if (is_repeatable(right) && left.is_integral()) return repeat(runtime, right, left.as_int());
  }
  return bad_types(op, left, right);
}

Result<Value> negative(const Value& value) {
  if (value.is(Kind::kFloat)) return Value::real(-value.as_real());
  if (value.is_integral()) {
    int64_t out = 0;
    if (__builtin_sub_overflow(int64_t{0}, value.as_int(), &out))
      return too_large(Operator::kSubtract);
    return Value::integer(out);
  }
  return bad_types(Operator::kSubtract, Value::integer(0), value);
}

Result<Value> positive(const Value& value) {
  if (value.is(Kind::kFloat)) return value;
  if (value.is_integral()) return Value::integer(value.as_int());
  return bad_types(Operator::kAdd, Value::integer(0), value);
}

size_t find_bytes(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (part.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  if (!found) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

}  // namespace localai::text::jinja
