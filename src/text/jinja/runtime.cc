#include "text/jinja/runtime.h"

#include <algorithm>

#include "base/number.h"
#include "base/utf8.h"
#include "text/jinja/unicode.h"

namespace localai::text::jinja {

Runtime::Runtime(const TemplateLimits& limits) : limits_(limits) {
  budget_.bytes_max = limits.memory_bytes_max;
}

Runtime::~Runtime() {
  for (const auto& object : namespaces_) object->values.clear();
}

Status Runtime::step(uint64_t count) {
  steps_ += count;
  if (steps_ <= limits_.steps_max) return Ok{};
  return exhausted("the template takes more than " + std::to_string(limits_.steps_max) + " steps");
}

Status Runtime::reserve(uint64_t bytes) const {
  if (bytes > limits_.output_bytes_max)
    return exhausted("a value of the template would have " + std::to_string(bytes) +
                     " bytes, the limit is " + std::to_string(limits_.output_bytes_max));
  if (const auto total = checked_add(budget_.bytes, bytes); !total || *total > budget_.bytes_max)
    return exhausted("the template's values need more than " + std::to_string(budget_.bytes_max) +
                     " bytes");
  return Ok{};
}

Status Runtime::hold(uint64_t bytes) {
  LAI_TRY_STATUS(reserve(bytes));
  budget_.bytes += bytes;
  return Ok{};
}

Status Runtime::adopt(const std::shared_ptr<Object>& object, uint64_t bytes, uint32_t depth_below) {
  object->depth = depth_below + 1;
  if (object->depth > limits_.depth_max)
    return exhausted("values are nested deeper than " + std::to_string(limits_.depth_max) +
                     " levels");
  budget_.bytes += bytes;
  object->budget = &budget_;
  object->bytes = bytes;
  if (budget_.bytes <= budget_.bytes_max) return Ok{};
  return exhausted("the template's values need more than " + std::to_string(budget_.bytes_max) +
                   " bytes");
}

template <class T>
Result<Value> Runtime::finish(Kind kind, std::shared_ptr<T> object, uint64_t bytes,
                              uint32_t below) {
  constexpr uint64_t kHeaderBytes = 32;  // reference counts, the allocator's own
  LAI_TRY_STATUS(adopt(object, bytes + sizeof(T) + kHeaderBytes, below));
  return Value::object(kind, std::move(object));
}

Result<Value> Runtime::make_string(std::string text, bool is_markup) {
  LAI_TRY_STATUS(scan(text.size()));
  LAI_TRY_STATUS(reserve(text.size()));
  auto object = std::make_shared<StringObject>();
  object->length = count_code_points(text);
  object->is_markup = is_markup;
  object->text = std::move(text);
  const uint64_t bytes = object->text.capacity();
  return finish(Kind::kString, std::move(object), bytes);
}

namespace {

uint32_t deepest(const std::vector<Value>& items) {
  uint32_t depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return depth;
}

}  // namespace

Result<Value> Runtime::make_items(Kind kind, std::vector<Value>& items) {
  LAI_TRY_STATUS(step(1 + items.size()));
  auto object = std::make_shared<ListObject>();
  object->items = std::move(items);
  const uint64_t bytes = object->items.capacity() * sizeof(Value);
  const uint32_t below = deepest(object->items);
  return finish(kind, std::move(object), bytes, below);
}

Result<Value> Runtime::make_iterator(std::vector<Value> items) {
  LAI_TRY_STATUS(step(1 + items.size()));
  auto object = std::make_shared<IteratorObject>();
  object->items = std::move(items);
  const uint64_t bytes = object->items.capacity() * sizeof(Value);
  const uint32_t below = deepest(object->items);
  return finish(Kind::kIterator, std::move(object), bytes, below);
}

Result<Value> Runtime::make_view(std::string_view name, std::vector<Value> items) {
  LAI_TRY_STATUS(step(1 + items.size()));
  auto object = std::make_shared<ViewObject>();
  object->items = std::move(items);
  object->name = name;
  const uint64_t bytes = object->items.capacity() * sizeof(Value);
  const uint32_t below = deepest(object->items);
  return finish(Kind::kView, std::move(object), bytes, below);
}

Result<Value> Runtime::make_range(int64_t start, int64_t stop, int64_t step) {
  LAI_DCHECK(step != 0);
  auto object = std::make_shared<RangeObject>();
  object->start = start;
  object->stop = stop;
  object->step = step;
  if (step > 0 ? start < stop : start > stop) {
    // Unsigned arithmetic holds the full distance of two 64-bit integers.
    const uint64_t low = static_cast<uint64_t>(step > 0 ? start : stop);
    const uint64_t high = static_cast<uint64_t>(step > 0 ? stop : start);
    const uint64_t stride =
        step > 0 ? static_cast<uint64_t>(step) : uint64_t{0} - static_cast<uint64_t>(step);
    const uint64_t count = (high - low - 1) / stride + 1;
    constexpr uint64_t kCountMax = 100'000;  // jinja2's sandbox.MAX_RANGE
    if (count > kCountMax)
      return exhausted("a range of " + std::to_string(count) + " elements: the limit is " +
                       std::to_string(kCountMax));
    object->count = static_cast<int64_t>(count);
  }
  return finish(Kind::kRange, std::move(object), 0);
}

Result<Value> Runtime::make_dict(std::vector<std::pair<Value, Value>> entries) {
  LAI_TRY_STATUS(step(1 + entries.size()));
  auto object = std::make_shared<DictObject>();
  uint64_t bytes = 0;
  uint32_t below = 0;
  object->entries.reserve(entries.size());
  for (auto& [key, value] : entries) {
    LAI_TRY(std::string hashed, hash_key(key));
    below = std::max({below, key.depth(), value.depth()});
    bytes += hashed.capacity() + 128;  // a node of the index and an entry
    LAI_TRY_STATUS(scan(hashed.size()));
    const auto [place, added] = object->index.emplace(std::move(hashed), object->entries.size());
    if (added) {
      object->entries.emplace_back(std::move(key), std::move(value));
    } else {
      object->entries[place->second].second = std::move(value);
    }
  }
  return finish(Kind::kDict, std::move(object), bytes, below);
}

Result<Value> Runtime::make_namespace(std::vector<std::pair<std::string, Value>> members) {
  auto object = std::make_shared<NamespaceObject>();
  LAI_TRY(Value value, finish(Kind::kNamespace, object, sizeof(std::shared_ptr<void>)));
  namespaces_.push_back(object);
  for (auto& [name, member] : members) LAI_TRY_STATUS(set_member(*object, name, std::move(member)));
  return value;
}

Status Runtime::set_member(NamespaceObject& object, const std::string& name, Value value) {
  LAI_TRY_STATUS(step());
  if (const auto found = object.values.find(name); found != object.values.end()) {
    found->second = std::move(value);
    return Ok{};
  }
  const uint64_t bytes = 2 * name.size() + 160;
  LAI_TRY_STATUS(hold(bytes));
  object.bytes += bytes;
  object.order.push_back(name);
  object.values.emplace(name, std::move(value));
  return Ok{};
}

Result<Value> Runtime::make_method(Value self, std::string_view name) {
  auto object = std::make_shared<MethodObject>();
  const uint32_t below = self.depth() > 0 ? self.depth() - 1 : 0;
  object->self = std::move(self);
  object->name = name;
  return finish(Kind::kMethod, std::move(object), 0, below);
}

Result<Value> Runtime::make_function(std::string_view name) {
  auto object = std::make_shared<FunctionObject>();
  object->name = name;
  return finish(Kind::kFunction, std::move(object), 0);
}

Result<Value> Runtime::make_undefined(std::string message) {
  auto object = std::make_shared<UndefinedObject>();
  object->message = std::move(message);
  const uint64_t bytes = object->message.capacity();
  return finish(Kind::kUndefined, std::move(object), bytes);
}

Result<Value> Runtime::from_json(const Json& json, uint32_t depth) {
  LAI_TRY_STATUS(step());
  if (depth > limits_.depth_max)
    return exhausted("the variables are nested deeper than " + std::to_string(limits_.depth_max) +
                     " levels");
  switch (json.type()) {
    case Json::value_t::null:
      return Value::none();
    case Json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case Json::value_t::number_integer:
      return Value::integer(json.get<int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      if (number > static_cast<uint64_t>(INT64_MAX))
        return invalid("the integer " + std::to_string(number) +
                       " in the variables does not fit in 64 bits");
      return Value::integer(static_cast<int64_t>(number));
    }
    case Json::value_t::number_float:
      return Value::real(json.get<double>());
    case Json::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      return make_string(is_valid_utf8(text) ? text : sanitize_utf8(text));
    }
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) {
        LAI_TRY(Value value, from_json(item, depth + 1));
        items.push_back(std::move(value));
      }
      return make_list(std::move(items));
    }
    case Json::value_t::object: {
      std::vector<std::pair<Value, Value>> entries;
      entries.reserve(json.size());
      for (const auto& [name, item] : json.items()) {
        LAI_TRY(Value key, make_string(is_valid_utf8(name) ? name : sanitize_utf8(name)));
        LAI_TRY(Value value, from_json(item, depth + 1));
        entries.emplace_back(std::move(key), std::move(value));
      }
      return make_dict(std::move(entries));
    }
    case Json::value_t::binary:
    case Json::value_t::discarded:
      break;
  }
  return invalid("a variable of the template is not JSON");
}

namespace {

Result<std::vector<Value>> characters_of(Runtime& runtime, const std::string& text) {
  std::vector<Value> out;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = decode_utf8(text, at).bytes;
    LAI_TRY(Value character, runtime.make_string(text.substr(at, bytes)));
    out.push_back(std::move(character));
    at += bytes;
  }
  return out;
}

}  // namespace

Result<std::vector<Value>> Runtime::iterate(const Value& value) {
  LAI_TRY_STATUS(step());
  std::vector<Value> out;
  switch (value.kind()) {
    case Kind::kUndefined:
      return out;
    case Kind::kString:
      return characters_of(*this, value.text());
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      LAI_TRY_STATUS(step(value.items().size()));
      return value.items();
    case Kind::kDict:
      LAI_TRY_STATUS(step(value.get<DictObject>().entries.size()));
      for (const auto& [key, item] : value.get<DictObject>().entries) out.push_back(key);
      return out;
    case Kind::kRange: {
      const auto& range = value.get<RangeObject>();
      LAI_TRY_STATUS(step(static_cast<uint64_t>(range.count)));
      for (int64_t i = 0; i < range.count; ++i) out.push_back(Value::integer(range.at(i)));
      return out;
    }
    case Kind::kIterator: {
      auto& iterator = value.get<IteratorObject>();
      LAI_TRY_STATUS(step(iterator.items.size() - iterator.next));
      out.assign(iterator.items.begin() + static_cast<std::ptrdiff_t>(iterator.next),
                 iterator.items.end());
      iterator.next = iterator.items.size();
      return out;
    }
    default:
      return invalid("a value of type " + std::string(type_name(value)) + " is not iterable");
  }
}

Result<Bound> bind_arguments(std::string_view callee, Arguments& arguments,
                             std::initializer_list<std::string_view> names, size_t required) {
  const std::string who = std::string(callee) + "()";
  if (arguments.values.size() > names.size())
    return invalid(who + " takes at most " + std::to_string(names.size()) + " arguments, not " +
                   std::to_string(arguments.values.size()));
  Bound bound;
  bound.values.resize(names.size());
  bound.given.resize(names.size(), false);
  for (size_t i = 0; i < arguments.values.size(); ++i) {
    bound.values[i] = std::move(arguments.values[i]);
    bound.given[i] = true;
  }
  for (auto& [name, value] : arguments.named) {
    const auto* const found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) return invalid(who + " has no argument " + in_quotes(name));
    const auto index = static_cast<size_t>(found - names.begin());
    if (bound.given[index]) return invalid(who + " got the argument " + in_quotes(name) + " twice");
    bound.values[index] = std::move(value);
    bound.given[index] = true;
  }
  for (size_t i = 0; i < required; ++i)
    if (!bound.given[i])
      return invalid(who + " needs the argument " + in_quotes(*(names.begin() + i)));
  return bound;
}

Result<int64_t> int_argument(const Bound& bound, size_t index, int64_t fallback) {
  if (!bound.given[index]) return fallback;
  if (bound[index].is_integral()) return bound[index].as_int();
  return invalid("argument " + std::to_string(index + 1) + " is to be an integer, not " +
                 std::string(type_name(bound[index])));
}

bool flag_argument(const Bound& bound, size_t index, bool fallback) {
  return bound.given[index] ? is_true(bound[index]) : fallback;
}

}  // namespace localai::text::jinja
