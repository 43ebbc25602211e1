// map, select, reject and their kind: filters that apply other filters and tests.
#include "text/jinja/attributes.h"
#include "text/jinja/builtin_tables.h"
#include "text/jinja/operators.h"

namespace localai::text::jinja {
namespace {

Result<Value> map_attribute(Runtime& runtime, const std::vector<Value>& items,
                            Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("map", arguments, {"attribute", "default"}, 1));
  std::vector<Value> out;
  for (const Value& item : items) {
    auto value = attribute_path(runtime, item, bound[0]);
    if (!value.ok()) return value;
    const bool replace = bound.given[1] && !bound[1].is(Kind::kNone) && value->is(Kind::kUndefined);
    out.push_back(replace ? bound[1] : *value);
  }
  return runtime.make_iterator(std::move(out));
}

Result<Value> filter_map(Runtime& runtime, const Value& input, Arguments& arguments) {
  if (!is_true(input)) return runtime.make_iterator({});
  LAI_TRY(const std::vector<Value> items, runtime.iterate(input));
  if (arguments.values.empty()) return map_attribute(runtime, items, arguments);
  const Value name = arguments.values[0];
  const FilterFunction filter = name.is(Kind::kString) ? find_filter(name.text()) : nullptr;
  if (!filter)
    return unsupported("map: the filter " +
                       (name.is(Kind::kString) ? in_quotes(name.text()) : "that is no string") +
                       " is not supported");
  arguments.values.erase(arguments.values.begin());
  std::vector<Value> out;
  for (const Value& item : items) {
    LAI_TRY_STATUS(runtime.step(arguments.values.size()));
    Arguments copy = arguments;
    LAI_TRY(Value value, filter(runtime, item, copy));
    out.push_back(std::move(value));
  }
  return runtime.make_iterator(std::move(out));
}

struct Selection {
  bool by_attribute;
  bool keep;  // what the test must say of an item that stays
};

Result<Value> select(Runtime& runtime, const Value& input, Arguments& arguments,
                     Selection selection) {
  if (!is_true(input)) return runtime.make_iterator({});
  LAI_TRY(const std::vector<Value> items, runtime.iterate(input));
  auto& values = arguments.values;
  Value attribute = Value::none();
  if (selection.by_attribute) {
    if (values.empty()) return invalid("selectattr and rejectattr need the name of an attribute");
    attribute = values[0];
    values.erase(values.begin());
  }
  TestFunction test = nullptr;
  if (!values.empty()) {
    const Value name = values[0];
    test = name.is(Kind::kString) ? find_test(name.text()) : nullptr;
    if (!test)
      return unsupported("select: the test " +
                         (name.is(Kind::kString) ? in_quotes(name.text()) : "that is no string") +
                         " is not supported");
    values.erase(values.begin());
  }
  std::vector<Value> out;
  for (const Value& item : items) {
    LAI_TRY(const Value tested, attribute_path(runtime, item, attribute));
    bool holds = is_true(tested);
    if (test) {
      LAI_TRY_STATUS(runtime.step(values.size()));
      Arguments copy = arguments;
      LAI_TRY(holds, test(runtime, tested, copy));
    }
    if (holds == selection.keep) out.push_back(item);
  }
  return runtime.make_iterator(std::move(out));
}

Result<Value> filter_select(Runtime& runtime, const Value& input, Arguments& arguments) {
  return select(runtime, input, arguments, {false, true});
}
Result<Value> filter_reject(Runtime& runtime, const Value& input, Arguments& arguments) {
  return select(runtime, input, arguments, {false, false});
}
Result<Value> filter_selectattr(Runtime& runtime, const Value& input, Arguments& arguments) {
  return select(runtime, input, arguments, {true, true});
}
Result<Value> filter_rejectattr(Runtime& runtime, const Value& input, Arguments& arguments) {
  return select(runtime, input, arguments, {true, false});
}

Result<Value> filter_attr(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("attr", arguments, {"name"}, 1));
  if (!bound[0].is(Kind::kString)) return invalid("attr: the name is to be a string");
  if (input.is(Kind::kDict) && classify_attribute(Kind::kDict, bound[0].text()) == Attribute::kNone)
    return runtime.make_undefined("'dict' object has no attribute " + in_quotes(bound[0].text()));
  return get_attribute(runtime, input, bound[0].text());
}

constexpr FilterEntry kFilters[] = {
    {"map", filter_map},
    {"select", filter_select},
    {"reject", filter_reject},
    {"selectattr", filter_selectattr},
    {"rejectattr", filter_rejectattr},
    {"attr", filter_attr},
};

}  // namespace

std::span<const FilterEntry> selection_filters() { return kFilters; }

}  // namespace localai::text::jinja
