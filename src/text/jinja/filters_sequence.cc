// Filters over lists, dicts and other sequences.
#include <algorithm>

#include "text/jinja/attributes.h"
#include "text/jinja/builtin_tables.h"
#include "text/jinja/operators.h"
#include "text/jinja/printing.h"
#include "text/jinja/unicode.h"

namespace localai::text::jinja {
namespace {

Status none(std::string_view name, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments(name, arguments, {}, 0));
  (void)bound;
  return Ok{};
}

Result<Value> filter_length(Runtime&, const Value& input, Arguments& arguments) {
  LAI_TRY_STATUS(none("length", arguments));
  LAI_TRY(const int64_t length, length_of(input));
  return Value::integer(length);
}

Result<Value> filter_default(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("default", arguments, {"default_value", "boolean"}, 0));
  const bool replace = input.is(Kind::kUndefined) || (flag_argument(bound, 1) && !is_true(input));
  if (!replace) return input;
  if (bound.given[0]) return bound[0];
  return runtime.make_string("");
}

Result<Value> filter_list(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY_STATUS(none("list", arguments));
  LAI_TRY(std::vector<Value> items, runtime.iterate(input));
  return runtime.make_list(std::move(items));
}

Result<Value> filter_join(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("join", arguments, {"d", "attribute"}, 0));
  LAI_TRY(const std::vector<Value> items, runtime.iterate(input));
  std::string separator;
  if (bound.given[0]) {
    LAI_TRY(separator, to_text(runtime, bound[0]));
  }
  const bool by_attribute = bound.given[1] && !bound[1].is(Kind::kNone);
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    Value item = items[i];
    if (by_attribute) {
      LAI_TRY(item, attribute_path(runtime, item, bound[1]));
    }
    LAI_TRY(const std::string text, to_text(runtime, item));
    LAI_TRY_STATUS(runtime.reserve(out.size() + separator.size() + text.size()));
    if (i > 0) out += separator;
    out += text;
  }
  return runtime.make_string(std::move(out));
}

Result<Value> filter_first(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY_STATUS(none("first", arguments));
  if (input.is(Kind::kString) && !input.text().empty())
    return get_item(runtime, input, Value::integer(0));
  if (input.is(Kind::kIterator)) {
    auto& iterator = input.get<IteratorObject>();
    if (iterator.next < iterator.items.size()) return iterator.items[iterator.next++];
    return runtime.make_undefined("there is no first item: the sequence is empty");
  }
  LAI_TRY(const std::vector<Value> items, runtime.iterate(input));
  if (!items.empty()) return items.front();
  return runtime.make_undefined("there is no first item: the sequence is empty");
}

Result<Value> filter_last(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY_STATUS(none("last", arguments));
  if (input.is(Kind::kIterator)) return invalid("last: a generator cannot be reversed");
  if (input.is(Kind::kString) && !input.text().empty())
    return get_item(runtime, input, Value::integer(-1));
  LAI_TRY(const std::vector<Value> items, runtime.iterate(input));
  if (!items.empty()) return items.back();
  return runtime.make_undefined("there is no last item: the sequence is empty");
}

Result<Value> filter_items(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY_STATUS(none("items", arguments));
  if (input.is(Kind::kUndefined)) return runtime.make_iterator({});
  if (!input.is(Kind::kDict)) return invalid("items: the input is to be a mapping");
  LAI_TRY(std::vector<Value> pairs, dict_pairs(runtime, input.get<DictObject>()));
  return runtime.make_iterator(std::move(pairs));
}

Result<Value> filter_reverse(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY_STATUS(none("reverse", arguments));
  if (input.is(Kind::kString))
    return get_slice(runtime, input, Value::none(), Value::none(), Value::integer(-1));
  LAI_TRY(std::vector<Value> items, runtime.iterate(input));
  std::reverse(items.begin(), items.end());
  if (input.is(Kind::kIterator)) return runtime.make_list(std::move(items));
  return runtime.make_iterator(std::move(items));
}

Result<Value> filter_sort(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound,
          bind_arguments("sort", arguments, {"reverse", "case_sensitive", "attribute"}, 0));
  LAI_TRY(std::vector<Value> items, runtime.iterate(input));
  const KeyRule rule{bound.given[2] ? bound[2] : Value::none(), flag_argument(bound, 1), true};
  LAI_TRY(std::vector<Value> sorted, sort_by(runtime, items, rule, flag_argument(bound, 0)));
  return runtime.make_list(std::move(sorted));
}

Result<Value> filter_dictsort(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound,
          bind_arguments("dictsort", arguments, {"case_sensitive", "by", "reverse"}, 0));
  if (!input.is(Kind::kDict)) return invalid("dictsort: the input is to be a dict");
  std::string by = "key";
  if (bound.given[1]) {
    LAI_TRY(by, to_text(runtime, bound[1]));
  }
  if (by != "key" && by != "value")
    return invalid("dictsort: by is to be 'key' or 'value', not " + in_quotes(by));
  LAI_TRY(const std::vector<Value> pairs, dict_pairs(runtime, input.get<DictObject>()));
  const KeyRule rule{Value::integer(by == "key" ? 0 : 1), flag_argument(bound, 0), false};
  LAI_TRY(std::vector<Value> sorted, sort_by(runtime, pairs, rule, flag_argument(bound, 2)));
  return runtime.make_list(std::move(sorted));
}

Result<Value> filter_unique(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound,
          bind_arguments("unique", arguments, {"case_sensitive", "attribute"}, 0));
  LAI_TRY(const std::vector<Value> items, runtime.iterate(input));
  const KeyRule rule{bound.given[1] ? bound[1] : Value::none(), flag_argument(bound, 0), false};
  std::vector<Value> out;
  std::map<std::string, bool> seen;
  for (const Value& item : items) {
    LAI_TRY(const Value key, sort_key(runtime, item, rule));
    LAI_TRY(std::string hashed, hash_key(key));
    LAI_TRY_STATUS(runtime.scan(hashed.size()));
    if (seen.emplace(std::move(hashed), true).second) out.push_back(item);
  }
  return runtime.make_iterator(std::move(out));
}

Result<Value> extreme(Runtime& runtime, const Value& input, Arguments& arguments, bool largest) {
  LAI_TRY(const Bound bound,
          bind_arguments(largest ? "max" : "min", arguments, {"case_sensitive", "attribute"}, 0));
  LAI_TRY(const std::vector<Value> items, runtime.iterate(input));
  if (items.empty()) return runtime.make_undefined("the sequence is empty: there is no item");
  const KeyRule rule{bound.given[1] ? bound[1] : Value::none(), flag_argument(bound, 0), false};
  size_t best = 0;
  LAI_TRY(Value best_key, sort_key(runtime, items[0], rule));
  for (size_t i = 1; i < items.size(); ++i) {
    LAI_TRY(Value key, sort_key(runtime, items[i], rule));
    LAI_TRY(const bool better,
            largest ? is_less(runtime, best_key, key) : is_less(runtime, key, best_key));
    if (!better) continue;
    best = i;
    best_key = std::move(key);
  }
  return items[best];
}
Result<Value> filter_min(Runtime& runtime, const Value& input, Arguments& arguments) {
  return extreme(runtime, input, arguments, false);
}
Result<Value> filter_max(Runtime& runtime, const Value& input, Arguments& arguments) {
  return extreme(runtime, input, arguments, true);
}

Result<Value> filter_batch(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("batch", arguments, {"linecount", "fill_with"}, 1));
  LAI_TRY(const std::vector<Value> items, runtime.iterate(input));
  LAI_TRY(const int64_t count, int_argument(bound, 0, 1));
  if (count < 1) return unsupported("batch: linecount is to be positive");
  const auto size = static_cast<uint64_t>(count);
  std::vector<Value> out;
  for (size_t at = 0; at < items.size();) {
    const size_t end = items.size() - at > size ? at + static_cast<size_t>(size) : items.size();
    std::vector<Value> row(items.begin() + static_cast<std::ptrdiff_t>(at),
                           items.begin() + static_cast<std::ptrdiff_t>(end));
    at = end;
    if (bound.given[1] && !bound[1].is(Kind::kNone) && row.size() < size) {
      LAI_TRY_STATUS(runtime.reserve(size));
      LAI_TRY_STATUS(runtime.reserve(size * sizeof(Value)));
      row.resize(static_cast<size_t>(size), bound[1]);
    }
    LAI_TRY(Value list, runtime.make_list(std::move(row)));
    out.push_back(std::move(list));
  }
  return runtime.make_iterator(std::move(out));
}

Result<Value> filter_slice(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("slice", arguments, {"slices", "fill_with"}, 1));
  LAI_TRY(const std::vector<Value> items, runtime.iterate(input));
  LAI_TRY(const int64_t slices, int_argument(bound, 0, 1));
  if (slices < 1) return unsupported("slice: the number of slices is to be positive");
  LAI_TRY_STATUS(runtime.step(static_cast<uint64_t>(slices)));
  const auto count = static_cast<size_t>(slices);
  const size_t each = items.size() / count, longer = items.size() % count;
  std::vector<Value> out;
  size_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t end = at + each + (i < longer ? 1 : 0);
    std::vector<Value> part(items.begin() + static_cast<std::ptrdiff_t>(at),
                            items.begin() + static_cast<std::ptrdiff_t>(end));
    at = end;
    if (bound.given[1] && !bound[1].is(Kind::kNone) && i >= longer) part.push_back(bound[1]);
    LAI_TRY(Value list, runtime.make_list(std::move(part)));
    out.push_back(std::move(list));
  }
  return runtime.make_iterator(std::move(out));
}

Result<Value> filter_groupby(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound,
          bind_arguments("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1));
  if (bound.given[1]) return unsupported("groupby: default is not supported");
  LAI_TRY(const std::vector<Value> items, runtime.iterate(input));
  const KeyRule rule{bound[0], flag_argument(bound, 2), false};
  LAI_TRY(const std::vector<Value> sorted, sort_by(runtime, items, rule, false));
  std::vector<Value> out;
  for (size_t begin = 0; begin < sorted.size();) {
    LAI_TRY(const Value key, sort_key(runtime, sorted[begin], rule));
    size_t end = begin + 1;
    for (; end < sorted.size(); ++end) {
      LAI_TRY(const Value other, sort_key(runtime, sorted[end], rule));
      LAI_TRY(const bool same, is_equal(runtime, key, other));
      if (!same) break;
    }
    LAI_TRY(Value name, attribute_path(runtime, sorted[begin], bound[0]));
    LAI_TRY(Value list, runtime.make_list({sorted.begin() + static_cast<std::ptrdiff_t>(begin),
                                           sorted.begin() + static_cast<std::ptrdiff_t>(end)}));
    LAI_TRY(Value group, runtime.make_tuple({std::move(name), std::move(list)}));
    out.push_back(std::move(group));
    begin = end;
  }
  return runtime.make_list(std::move(out));
}

constexpr FilterEntry kFilters[] = {
    {"length", filter_length},   {"count", filter_length}, {"default", filter_default},
    {"d", filter_default},       {"list", filter_list},    {"join", filter_join},
    {"first", filter_first},     {"last", filter_last},    {"items", filter_items},
    {"reverse", filter_reverse}, {"sort", filter_sort},    {"dictsort", filter_dictsort},
    {"unique", filter_unique},   {"min", filter_min},      {"max", filter_max},
    {"batch", filter_batch},     {"slice", filter_slice},  {"groupby", filter_groupby},
};

}  // namespace

std::span<const FilterEntry> sequence_filters() { return kFilters; }

}  // namespace localai::text::jinja
