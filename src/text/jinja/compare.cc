// Equality, order and membership.
#include <cmath>

#include "text/jinja/operators.h"

namespace localai::text::jinja {
namespace {

// -1, 0, 1, or 2 when a NaN has no order. Exact: no integer is rounded to a float.
int order_numbers(const Value& left, const Value& right) {
  if (left.is_integral() && right.is_integral()) {
    const int64_t a = left.as_int(), b = right.as_int();
    return a < b ? -1 : a > b ? 1 : 0;
  }
  if (right.is_integral()) {
    const int flipped = order_numbers(right, left);
    return flipped == 2 ? 2 : -flipped;
  }
  const double b = right.as_real();
  if (std::isnan(b) || std::isnan(left.as_real())) return 2;
  if (left.is_integral()) {
    constexpr double kTwoTo63 = 9223372036854775808.0;
    if (b >= kTwoTo63) return -1;
    if (b < -kTwoTo63) return 1;
    const double whole = std::trunc(b);
    const auto as_integer = static_cast<int64_t>(whole);
    if (left.as_int() != as_integer) return left.as_int() < as_integer ? -1 : 1;
    return b > whole ? -1 : b < whole ? 1 : 0;
  }
  const double a = left.as_real();
  return a < b ? -1 : a > b ? 1 : 0;
}

Result<bool> equal_items(Runtime& runtime, const std::vector<Value>& a,
                         const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    LAI_TRY(const bool same, is_equal(runtime, a[i], b[i]));
    if (!same) return false;
  }
  return true;
}

Result<bool> equal_dicts(Runtime& runtime, const DictObject& a, const DictObject& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, place] : a.index) {
    LAI_TRY_STATUS(runtime.scan(key.size()));
    const auto other = b.index.find(key);
    if (other == b.index.end()) return false;
    LAI_TRY(const bool same,
            is_equal(runtime, a.entries[place].second, b.entries[other->second].second));
    if (!same) return false;
  }
  return true;
}

bool equal_ranges(const RangeObject& a, const RangeObject& b) {
  if (a.count != b.count) return false;
  return a.count == 0 || (a.start == b.start && (a.count == 1 || a.step == b.step));
}

}  // namespace

Result<bool> is_equal(Runtime& runtime, const Value& left, const Value& right) {
  LAI_TRY_STATUS(runtime.step());
  if (left.is_number() && right.is_number()) return order_numbers(left, right) == 0;
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      LAI_TRY_STATUS(runtime.scan(std::min(left.text().size(), right.text().size())));
      return left.text() == right.text();
    case Kind::kList:
    case Kind::kTuple:
      if (left.identity() == right.identity()) return true;
      return equal_items(runtime, left.items(), right.items());
    case Kind::kDict:
      if (left.identity() == right.identity()) return true;
      return equal_dicts(runtime, left.get<DictObject>(), right.get<DictObject>());
    case Kind::kRange:
      return equal_ranges(left.get<RangeObject>(), right.get<RangeObject>());
    default:
      return left.identity() == right.identity();
  }
}

Result<bool> is_less(Runtime& runtime, const Value& left, const Value& right) {
  LAI_TRY_STATUS(runtime.step());
  if (left.is_number() && right.is_number()) return order_numbers(left, right) == -1;
  if (left.is(Kind::kString) && right.is(Kind::kString)) {
    LAI_TRY_STATUS(runtime.scan(std::min(left.text().size(), right.text().size())));
    return left.text() < right.text();  // bytes of UTF-8 order as code points do
  }
  if ((left.is(Kind::kList) || left.is(Kind::kTuple)) && left.kind() == right.kind()) {
    const auto& a = left.items();
    const auto& b = right.items();
    for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
      LAI_TRY(const bool same, is_equal(runtime, a[i], b[i]));
      if (!same) return is_less(runtime, a[i], b[i]);
    }
    return a.size() < b.size();
  }
  for (const Value* side : {&left, &right})
    if (side->is(Kind::kUndefined)) return invalid(std::string(side->undefined_message()));
  return invalid("values of type " + std::string(type_name(left)) + " and " +
                 std::string(type_name(right)) + " have no order");
}

Result<bool> compare(Runtime& runtime, Operator op, const Value& left, const Value& right) {
  const bool numbers = left.is_number() && right.is_number();
  switch (op) {
    case Operator::kEqual:
      return is_equal(runtime, left, right);
    case Operator::kNotEqual: {
      LAI_TRY(const bool same, is_equal(runtime, left, right));
      return !same;
    }
    case Operator::kLess:
      return is_less(runtime, left, right);
    case Operator::kGreater:
      return is_less(runtime, right, left);
    case Operator::kLessEqual:
    case Operator::kGreaterEqual: {
      if (numbers && order_numbers(left, right) == 2) return false;
      LAI_TRY(const bool beyond, op == Operator::kLessEqual ? is_less(runtime, right, left)
                                                            : is_less(runtime, left, right));
      return !beyond;
    }
    case Operator::kIn:
      return contains(runtime, right, left);
    default: {
      LAI_TRY(const bool inside, contains(runtime, right, left));
      return !inside;
    }
  }
}

Result<bool> contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.is(Kind::kString)) {
    if (!item.is(Kind::kString))
      return invalid("'in' a string needs a string on the left, not " +
                     std::string(type_name(item)));
    LAI_TRY_STATUS(runtime.scan(container.text().size()));
    return find_bytes(container.text(), item.text()) != std::string_view::npos;
  }
  if (container.is(Kind::kDict)) {
    LAI_TRY(const std::string key, hash_key(item));
    LAI_TRY_STATUS(runtime.scan(key.size()));
    return container.get<DictObject>().index.contains(key);
  }
  LAI_TRY(const std::vector<Value> items, runtime.iterate(container));
  for (const Value& candidate : items) {
    LAI_TRY(const bool same, is_equal(runtime, candidate, item));
    if (same) return true;
  }
  return false;
}

}  // namespace localai::text::jinja
