// Methods of strings that map or test them, and those of dicts and lists.
#include <algorithm>

#include "text/jinja/attributes.h"
#include "text/jinja/builtin_tables.h"
#include "text/jinja/operators.h"
#include "text/jinja/strings.h"
#include "text/jinja/unicode.h"

namespace localai::text::jinja {
namespace {

Status no_arguments(std::string_view name, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments(name, arguments, {}, 0));
  (void)bound;
  return Ok{};
}

template <std::string (*Map)(std::string_view)>
Result<Value> mapped(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("a string method", arguments));
  LAI_TRY_STATUS(runtime.scan(8 * self.text().size()));
  return runtime.make_string(Map(self.text()));
}

std::string swap_case(std::string_view text) {
  std::string out;
  const std::vector<char32_t> points = to_code_points(text);
  for (size_t i = 0; i < points.size(); ++i) {
    const std::string one = from_code_points(points, i, i + 1);
    out += is_upper(points[i]) ? to_lower(one) : is_lower(points[i]) ? to_upper(one) : one;
  }
  return out;
}

// All characters satisfy it, and there is one.
template <bool (*Holds)(char32_t)>
Result<Value> every(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("a string method", arguments));
  LAI_TRY_STATUS(runtime.scan(8 * self.text().size()));
  const std::vector<char32_t> points = to_code_points(self.text());
  return Value::boolean(!points.empty() && std::all_of(points.begin(), points.end(), Holds));
}
bool is_alphanumeric(char32_t c) { return is_alphabetic(c) || is_numeric(c); }

template <bool (*Wanted)(char32_t), bool (*Other)(char32_t)>
Result<Value> cased(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("a string method", arguments));
  LAI_TRY_STATUS(runtime.scan(8 * self.text().size()));
  bool found = false;
  for (const char32_t c : to_code_points(self.text())) {
    if (Other(c) || is_title(c)) return Value::boolean(false);
    found = found || Wanted(c);
  }
  return Value::boolean(found);
}

Result<Value> method_istitle(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("istitle", arguments));
  LAI_TRY_STATUS(runtime.scan(8 * self.text().size()));
  bool found = false, after_cased = false;
  for (const char32_t c : to_code_points(self.text())) {
    const bool upper = is_upper(c) || is_title(c);
    if ((upper && after_cased) || (is_lower(c) && !after_cased)) return Value::boolean(false);
    after_cased = upper || is_lower(c);
    found = found || after_cased;
  }
  return Value::boolean(found);
}

template <bool Left, bool Right>
Result<Value> method_strip(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("strip", arguments, {"chars"}, 0));
  LAI_TRY_STATUS(runtime.scan(self.text().size()));
  if (!bound.given[0] || bound[0].is(Kind::kNone))
    return runtime.make_string(std::string(strip_space(self.text(), Left, Right)));
  if (!bound[0].is(Kind::kString)) return invalid("strip() takes a string");
  LAI_TRY_STATUS(runtime.scan(16 * self.text().size() + 32 * bound[0].text().size()));
  return runtime.make_string(std::string(strip_any(self.text(), bound[0].text(), Left, Right)));
}

Result<Value> method_replace(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("replace", arguments, {"old", "new", "count"}, 2));
  if (!bound[0].is(Kind::kString) || !bound[1].is(Kind::kString))
    return invalid("replace() takes strings");
  LAI_TRY(const int64_t count, int_argument(bound, 2, -1));
  LAI_TRY(std::string out,
          replace_all(runtime, self.text(), bound[0].text(), bound[1].text(), count));
  return runtime.make_string(std::move(out));
}

Result<Value> method_join(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("join", arguments, {"iterable"}, 1));
  LAI_TRY(const std::vector<Value> items, runtime.iterate(bound[0]));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is(Kind::kString))
      return invalid("join() takes strings: item " + std::to_string(i) + " is of type " +
                     std::string(type_name(items[i])));
    LAI_TRY_STATUS(runtime.reserve(out.size() + self.text().size() + items[i].text().size()));
    if (i > 0) out += self.text();
    out += items[i].text();
  }
  return runtime.make_string(std::move(out));
}

Result<Value> method_center(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("center", arguments, {"width", "fillchar"}, 1));
  LAI_TRY(const int64_t width, int_argument(bound, 0, 0));
  if (bound.given[1] && (!bound[1].is(Kind::kString) || bound[1].get<StringObject>().length != 1))
    return invalid("center() fills with one character");
  return center_text(runtime, self.text(), width, bound.given[1] ? bound[1].text() : " ");
}

// ljust and rjust.
template <bool Right>
Result<Value> method_justify(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("ljust", arguments, {"width", "fillchar"}, 1));
  LAI_TRY(const int64_t width, int_argument(bound, 0, 0));
  if (bound.given[1] && (!bound[1].is(Kind::kString) || bound[1].get<StringObject>().length != 1))
    return invalid("ljust() and rjust() fill with one character");
  const auto length = static_cast<int64_t>(self.get<StringObject>().length);
  if (width <= length) return self;
  LAI_TRY(const Value one, bound.given[1] ? Result<Value>(bound[1]) : runtime.make_string(" "));
  LAI_TRY(const Value fill,
          arithmetic(runtime, Operator::kMultiply, one, Value::integer(width - length)));
  return Right ? runtime.make_string(fill.text() + self.text())
               : runtime.make_string(self.text() + fill.text());
}

Result<Value> method_zfill(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("zfill", arguments, {"width"}, 1));
  LAI_TRY(const int64_t width, int_argument(bound, 0, 0));
  const auto length = static_cast<int64_t>(self.get<StringObject>().length);
  if (width <= length) return self;
  const auto fill = static_cast<uint64_t>(width - length);
  LAI_TRY_STATUS(runtime.reserve(fill));
  const std::string& text = self.text();
  const size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  return runtime.make_string(text.substr(0, sign) + std::string(static_cast<size_t>(fill), '0') +
                             text.substr(sign));
}

Result<Value> method_format(Runtime& runtime, const Value& self, Arguments& arguments) {
  return format_braces(runtime, self.text(), arguments);
}

Result<Value> method_items(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("items", arguments));
  LAI_TRY(std::vector<Value> pairs, dict_pairs(runtime, self.get<DictObject>()));
  return runtime.make_view("dict_items", std::move(pairs));
}
Result<Value> method_keys(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("keys", arguments));
  LAI_TRY(std::vector<Value> keys, runtime.iterate(self));
  return runtime.make_view("dict_keys", std::move(keys));
}
Result<Value> method_values(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("values", arguments));
  std::vector<Value> values;
  for (const auto& [key, value] : self.get<DictObject>().entries) values.push_back(value);
  return runtime.make_view("dict_values", std::move(values));
}

Result<Value> method_get(Runtime& runtime, const Value& self, Arguments& arguments) {
  if (!arguments.named.empty()) return invalid("get() takes no named arguments");
  LAI_TRY(const Bound bound, bind_arguments("get", arguments, {"key", "default"}, 1));
  LAI_TRY(const std::string key, hash_key(bound[0]));
  LAI_TRY_STATUS(runtime.scan(key.size()));
  const auto& dict = self.get<DictObject>();
  if (const auto found = dict.index.find(key); found != dict.index.end())
    return dict.entries[found->second].second;
  return bound.given[1] ? bound[1] : Value::none();
}

Result<Value> method_copy(Runtime&, const Value& self, Arguments& arguments) {
  LAI_TRY_STATUS(no_arguments("copy", arguments));
  return self;  // nothing can change either of them
}

Result<Value> method_index(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("index", arguments, {"value"}, 1));
  LAI_TRY(const std::vector<Value> items, runtime.iterate(self));
  for (size_t i = 0; i < items.size(); ++i) {
    LAI_TRY(const bool same, is_equal(runtime, items[i], bound[0]));
    if (same) return Value::integer(static_cast<int64_t>(i));
  }
  return invalid("index(): the value is not in the " + std::string(type_name(self)));
}

Result<Value> method_count(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("count", arguments, {"value"}, 1));
  LAI_TRY(const std::vector<Value> items, runtime.iterate(self));
  int64_t count = 0;
  for (const Value& item : items) {
    LAI_TRY(const bool same, is_equal(runtime, item, bound[0]));
    count += same ? 1 : 0;
  }
  return Value::integer(count);
}

constexpr MethodEntry kStringMethods[] = {
    {"upper", mapped<to_upper>},
    {"lower", mapped<to_lower>},
    {"title", mapped<to_title>},
    {"capitalize", mapped<to_capitalized>},
    {"swapcase", mapped<swap_case>},
    {"strip", method_strip<true, true>},
    {"lstrip", method_strip<true, false>},
    {"rstrip", method_strip<false, true>},
    {"isdigit", every<is_digit>},
    {"isdecimal", every<is_decimal>},
    {"isnumeric", every<is_numeric>},
    {"isalpha", every<is_alphabetic>},
    {"isalnum", every<is_alphanumeric>},
    {"isspace", every<is_python_space>},
    {"isupper", cased<is_upper, is_lower>},
    {"islower", cased<is_lower, is_upper>},
    {"istitle", method_istitle},
    {"replace", method_replace},
    {"join", method_join},
    {"center", method_center},
    {"ljust", method_justify<false>},
    {"rjust", method_justify<true>},
    {"zfill", method_zfill},
    {"format", method_format},
};

constexpr MethodEntry kDictMethods[] = {
    {"get", method_get},       {"items", method_items}, {"keys", method_keys},
    {"values", method_values}, {"copy", method_copy},
};

constexpr MethodEntry kListMethods[] = {
    {"index", method_index},
    {"count", method_count},
    {"copy", method_copy},
};

}  // namespace

std::span<const MethodEntry> string_methods() { return kStringMethods; }
std::span<const MethodEntry> dict_methods() { return kDictMethods; }
std::span<const MethodEntry> list_methods() { return kListMethods; }

}  // namespace localai::text::jinja
