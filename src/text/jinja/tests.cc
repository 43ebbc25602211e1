// The tests of `value is test`.
#include "text/jinja/builtin_tables.h"
#include "text/jinja/operators.h"
#include "text/jinja/printing.h"
#include "text/jinja/unicode.h"

namespace localai::text::jinja {
namespace {

Status no_arguments(std::string_view name, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments(name, arguments, {}, 0));
  (void)bound;
  return Ok{};
}

template <bool (*Holds)(const Value&)>
Result<bool> simple(Runtime&, const Value& value, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("a test", arguments));
  return Holds(value);
}

bool is_defined(const Value& v) { return !v.is(Kind::kUndefined); }
bool is_undefined(const Value& v) { return v.is(Kind::kUndefined); }
bool is_none(const Value& v) { return v.is(Kind::kNone); }
bool is_string(const Value& v) { return v.is(Kind::kString); }
bool is_mapping(const Value& v) { return v.is(Kind::kDict); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_integer(const Value& v) { return v.is(Kind::kInt); }
bool is_float(const Value& v) { return v.is(Kind::kFloat); }
bool is_boolean(const Value& v) { return v.is(Kind::kBool); }
bool is_true_constant(const Value& v) { return v.is(Kind::kBool) && v.as_int() != 0; }
bool is_false_constant(const Value& v) { return v.is(Kind::kBool) && v.as_int() == 0; }
bool is_escaped(const Value& v) { return v.is(Kind::kString) && v.get<StringObject>().is_markup; }

bool is_iterable(const Value& v) {
  switch (v.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
    case Kind::kView:
    case Kind::kIterator:
    case Kind::kLoop:
      return true;
    default:
      return false;
  }
}

bool is_sequence(const Value& v) {
  return is_iterable(v) && !v.is(Kind::kView) && !v.is(Kind::kIterator) && !v.is(Kind::kLoop);
}

bool is_callable(const Value& v) {
  return v.is(Kind::kUndefined) || v.is(Kind::kMacro) || v.is(Kind::kFunction) ||
         v.is(Kind::kMethod) || v.is(Kind::kLoop);
}

// str.isupper and str.islower: at least one cased letter, and none of the other case.
Result<bool> is_cased_as(Runtime& runtime, const Value& value, bool upper) {
  LAI_TRY(const std::string text, to_text(runtime, value));
  bool cased = false;
  for (const char32_t c : to_code_points(text)) {
    if (is_title(c) || (upper ? is_lower(c) : is_upper(c))) return false;
    cased = cased || is_upper(c) || is_lower(c);
  }
  return cased;
}

Result<bool> test_lower(Runtime& runtime, const Value& value, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("lower", arguments));
  return is_cased_as(runtime, value, false);
}
Result<bool> test_upper(Runtime& runtime, const Value& value, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("upper", arguments));
  return is_cased_as(runtime, value, true);
}

Result<bool> remainder_is(Runtime& runtime, const Value& value, int64_t divisor,
                          int64_t remainder) {
  LAI_TRY(const Value rest, arithmetic(runtime, Operator::kModulo, value, Value::integer(divisor)));
  return is_equal(runtime, rest, Value::integer(remainder));
}
Result<bool> test_odd(Runtime& runtime, const Value& value, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("odd", arguments));
  return remainder_is(runtime, value, 2, 1);
}
Result<bool> test_even(Runtime& runtime, const Value& value, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("even", arguments));
  return remainder_is(runtime, value, 2, 0);
}
Result<bool> test_divisible(Runtime& runtime, const Value& value, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("divisibleby", arguments, {"num"}, 1));
  LAI_TRY(const Value rest, arithmetic(runtime, Operator::kModulo, value, bound[0]));
  return is_equal(runtime, rest, Value::integer(0));
}

template <Operator Op>
Result<bool> comparison(Runtime& runtime, const Value& value, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("a comparison", arguments, {"other"}, 1));
  return compare(runtime, Op, value, bound[0]);
}
Result<bool> test_in(Runtime& runtime, const Value& value, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("in", arguments, {"seq"}, 1));
  return contains(runtime, bound[0], value);
}

// `is` of Python: the same object. Small values are one object each.
Result<bool> test_same(Runtime&, const Value& value, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("sameas", arguments, {"other"}, 1));
  const Value& other = bound[0];
  if (value.kind() != other.kind()) return false;
  if (value.is(Kind::kNone)) return true;
  if (value.is_integral()) return value.as_int() == other.as_int();
  if (value.is(Kind::kFloat)) return value.as_real() == other.as_real();
  if (value.is(Kind::kString)) return value.text() == other.text();
  return value.identity() == other.identity();
}

Result<bool> test_filter(Runtime&, const Value& value, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("filter", arguments));
  return value.is(Kind::kString) && find_filter(value.text()) != nullptr;
}
Result<bool> test_test(Runtime&, const Value& value, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("test", arguments));
  return value.is(Kind::kString) && find_test(value.text()) != nullptr;
}

constexpr TestEntry kTests[] = {
    {"defined", simple<is_defined>},
    {"undefined", simple<is_undefined>},
    {"none", simple<is_none>},
    {"string", simple<is_string>},
    {"mapping", simple<is_mapping>},
    {"number", simple<is_number>},
    {"integer", simple<is_integer>},
    {"float", simple<is_float>},
    {"boolean", simple<is_boolean>},
    {"true", simple<is_true_constant>},
    {"false", simple<is_false_constant>},
    {"iterable", simple<is_iterable>},
    {"sequence", simple<is_sequence>},
    {"callable", simple<is_callable>},
    {"escaped", simple<is_escaped>},
    {"lower", test_lower},
    {"upper", test_upper},
    {"odd", test_odd},
    {"even", test_even},
    {"divisibleby", test_divisible},
    {"in", test_in},
    {"sameas", test_same},
    {"filter", test_filter},
    {"test", test_test},
    {"eq", comparison<Operator::kEqual>},
    {"equalto", comparison<Operator::kEqual>},
    {"==", comparison<Operator::kEqual>},
    {"ne", comparison<Operator::kNotEqual>},
    {"!=", comparison<Operator::kNotEqual>},
    {"lt", comparison<Operator::kLess>},
    {"lessthan", comparison<Operator::kLess>},
    {"<", comparison<Operator::kLess>},
    {"le", comparison<Operator::kLessEqual>},
    {"<=", comparison<Operator::kLessEqual>},
    {"gt", comparison<Operator::kGreater>},
    {"greaterthan", comparison<Operator::kGreater>},
    {">", comparison<Operator::kGreater>},
    {"ge", comparison<Operator::kGreaterEqual>},
    {">=", comparison<Operator::kGreaterEqual>},
};

}  // namespace

std::span<const TestEntry> value_tests() { return kTests; }

}  // namespace localai::text::jinja
