// Attributes, items and slices.
#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/unicode.h"

namespace localai::text::jinja {
namespace {

Result<Value> missing(Runtime& runtime, const Value& object, std::string_view name) {
  return runtime.make_undefined(in_quotes(type_name(object)) + " object has no attribute " +
                                in_quotes(name));
}

// The attribute that Python's type itself has; `found` says whether there is one.
Result<Value> type_attribute(Runtime& runtime, const Value& object, std::string_view name,
                             bool& found) {
  found = true;
  switch (classify_attribute(object.kind(), name)) {
    case Attribute::kMethod:
      return runtime.make_method(object, name);
    case Attribute::kForbidden:
      return runtime.make_undefined("access to the attribute " + in_quotes(name) + " of a " +
                                    std::string(type_name(object)) + " is not allowed");
    case Attribute::kUnsupported:
      return unsupported("the attribute " + in_quotes(name) + " of a " +
                         std::string(type_name(object)) + " is not supported");
    case Attribute::kNone:
      break;
  }
  found = false;
  return Value();
}

bool is_sequence(const Value& v) {
  return v.is(Kind::kString) || v.is(Kind::kList) || v.is(Kind::kTuple) || v.is(Kind::kRange);
}

Result<Value> element(Runtime& runtime, const Value& object, int64_t index) {
  switch (object.kind()) {
    case Kind::kRange:
      return Value::integer(object.get<RangeObject>().at(index));
    case Kind::kString: {
      const auto& string = object.get<StringObject>();
      const auto at = static_cast<size_t>(index);
      if (string.length == string.text.size())
        return runtime.make_string(string.text.substr(at, 1));
      LAI_TRY_STATUS(runtime.scan(string.text.size()));
      const size_t begin = byte_offset(string.text, at);
      const std::string_view rest = std::string_view(string.text).substr(begin);
      return runtime.make_string(std::string(rest.substr(0, byte_offset(rest, 1))));
    }
    default:
      return object.items()[static_cast<size_t>(index)];
  }
}

Result<Value> item_at(Runtime& runtime, const Value& object, int64_t index) {
  LAI_TRY(const int64_t length, length_of(object));
  const int64_t at = index < 0 ? index + length : index;
  if (at < 0 || at >= length)
    return runtime.make_undefined(std::string(type_name(object)) + " object has no element " +
                                  std::to_string(index));
  return element(runtime, object, at);
}

struct SliceBounds {
  int64_t start = 0, count = 0, step = 1;
};

Result<int64_t> slice_part(const Value& part, int64_t fallback) {
  if (part.is(Kind::kNone)) return fallback;
  if (part.is_integral()) return part.as_int();
  if (part.is(Kind::kUndefined)) return invalid(std::string(part.undefined_message()));
  return invalid("a slice takes integers, not " + std::string(type_name(part)));
}

// Source: Python's slice.indices.
Result<SliceBounds> slice_bounds(int64_t length, const Value& start, const Value& stop,
                                 const Value& step) {
  SliceBounds bounds;
  LAI_TRY(bounds.step, slice_part(step, 1));
  if (bounds.step == 0) return invalid("the step of a slice cannot be zero");
  const bool backward = bounds.step < 0;
  const int64_t low = backward ? -1 : 0, high = backward ? length - 1 : length;
  const auto clamp = [&](int64_t at) {
    return at < 0 ? std::max(at + length, low) : std::min(at, high);
  };
  LAI_TRY(const int64_t from, slice_part(start, backward ? INT64_MAX : 0));
  LAI_TRY(const int64_t to, slice_part(stop, backward ? INT64_MIN : INT64_MAX));
  bounds.start = clamp(from);
  const int64_t end = to == INT64_MIN ? low : clamp(to);
  const uint64_t stride = backward ? uint64_t{0} - static_cast<uint64_t>(bounds.step)
                                   : static_cast<uint64_t>(bounds.step);
  const int64_t distance = backward ? bounds.start - end : end - bounds.start;
  if (distance > 0)
    bounds.count = static_cast<int64_t>((static_cast<uint64_t>(distance) - 1) / stride + 1);
  return bounds;
}

Result<Value> slice_string(Runtime& runtime, const StringObject& string, const SliceBounds& b) {
  LAI_TRY_STATUS(runtime.scan(string.text.size()));
  if (b.step == 1) {
    const size_t begin = byte_offset(string.text, static_cast<size_t>(b.start));
    const std::string_view rest = std::string_view(string.text).substr(begin);
    const size_t bytes = byte_offset(rest, static_cast<size_t>(b.count));
    return runtime.make_string(std::string(rest.substr(0, bytes)), string.is_markup);
  }
  LAI_TRY_STATUS(runtime.reserve(string.text.size() * sizeof(char32_t)));
  const std::vector<char32_t> points = to_code_points(string.text);
  std::vector<char32_t> out;
  out.reserve(static_cast<size_t>(b.count));
  for (int64_t i = 0; i < b.count; ++i)
    out.push_back(points[static_cast<size_t>(b.start + i * b.step)]);
  return runtime.make_string(from_code_points(out, 0, out.size()), string.is_markup);
}

Result<Value> member(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is(Kind::kDict)) {
    LAI_TRY_STATUS(runtime.scan(name.size()));
    if (const Value* found = object.get<DictObject>().find(name)) return *found;
  }
  return missing(runtime, object, name);
}

}  // namespace

Result<int64_t> length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(value.get<StringObject>().length);
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.get<DictObject>().entries.size());
    case Kind::kRange:
      return value.get<RangeObject>().count;
    default:
      return invalid("a value of type " + std::string(type_name(value)) + " has no length");
  }
}

Result<Value> get_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is(Kind::kUndefined)) return invalid(std::string(object.undefined_message()));
  if (object.is(Kind::kNamespace)) {
    const auto& values = object.get<NamespaceObject>().values;
    if (const auto found = values.find(name); found != values.end()) return found->second;
    return missing(runtime, object, name);
  }
  bool found = false;
  LAI_TRY(Value attribute, type_attribute(runtime, object, name, found));
  if (found) return attribute;
  return member(runtime, object, name);
}

Result<Value> get_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is(Kind::kUndefined)) return invalid(std::string(object.undefined_message()));
  if (is_sequence(object) && key.is_integral()) return item_at(runtime, object, key.as_int());
  if (object.is(Kind::kDict)) {
    const auto hashed = hash_key(key);
    if (hashed.ok()) {
      LAI_TRY_STATUS(runtime.scan(hashed->size()));
      const auto& dict = object.get<DictObject>();
      const auto place = dict.index.find(*hashed);
      if (place != dict.index.end()) return dict.entries[place->second].second;
    }
  }
  if (key.is(Kind::kString)) {
    bool found = false;
    if (object.is(Kind::kNamespace)) return get_attribute(runtime, object, key.text());
    LAI_TRY(Value attribute, type_attribute(runtime, object, key.text(), found));
    if (found) return attribute;
    return missing(runtime, object, key.text());
  }
  return runtime.make_undefined(std::string(type_name(object)) + " object has no such element");
}

Result<Value> get_slice(Runtime& runtime, const Value& object, const Value& start,
                        const Value& stop, const Value& step) {
  if (object.is(Kind::kUndefined)) return invalid(std::string(object.undefined_message()));
  if (!is_sequence(object))
    return invalid("a value of type " + std::string(type_name(object)) + " cannot be sliced");
  LAI_TRY(const int64_t length, length_of(object));
  LAI_TRY(const SliceBounds bounds, slice_bounds(length, start, stop, step));
  if (object.is(Kind::kString)) return slice_string(runtime, object.get<StringObject>(), bounds);
  if (object.is(Kind::kRange)) {
    const auto& range = object.get<RangeObject>();
    if (bounds.count == 0) return runtime.make_range(0, 0, 1);
    const int64_t step_each = bounds.count == 1 ? 1 : range.step * bounds.step;
    const int64_t first = range.at(bounds.start);
    return runtime.make_range(first, first + step_each * bounds.count, step_each);
  }
  std::vector<Value> out;
  out.reserve(static_cast<size_t>(bounds.count));
  for (int64_t i = 0; i < bounds.count; ++i)
    out.push_back(object.items()[static_cast<size_t>(bounds.start + i * bounds.step)]);
  return object.is(Kind::kList) ? runtime.make_list(std::move(out))
                                : runtime.make_tuple(std::move(out));
}

}  // namespace localai::text::jinja
