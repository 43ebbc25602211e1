#pragma once
// What one render may use, and how values are made under it. One thread.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "text/chat_template.h"
#include "text/jinja/value.h"

namespace localai::text::jinja {

class Runtime {
 public:
  explicit Runtime(const TemplateLimits& limits);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  [[nodiscard]] const TemplateLimits& limits() const { return limits_; }

  // Errors of all below: kExhausted, naming the limit.
  Status step(uint64_t count = 1);
  // Work over `bytes` of text.
  Status scan(uint64_t bytes) { return step(1 + bytes / 64); }
  // Room for one value of `bytes` text or elements: ask before building it.
  [[nodiscard]] Status reserve(uint64_t bytes) const;

  Result<Value> make_string(std::string text, bool is_markup = false);
  Result<Value> make_list(std::vector<Value> items) { return make_items(Kind::kList, items); }
  Result<Value> make_tuple(std::vector<Value> items) { return make_items(Kind::kTuple, items); }
  Result<Value> make_iterator(std::vector<Value> items);
  Result<Value> make_view(std::string_view name, std::vector<Value> items);
  Result<Value> make_range(int64_t start, int64_t stop, int64_t step);
  // Later entries replace the value of an equal key. Errors also: kInvalidArgument (unhashable).
  Result<Value> make_dict(std::vector<std::pair<Value, Value>> entries);
  Result<Value> make_namespace(std::vector<std::pair<std::string, Value>> members);
  Status set_member(NamespaceObject& object, const std::string& name, Value value);
  Result<Value> make_method(Value self, std::string_view name);
  Result<Value> make_function(std::string_view name);
  Result<Value> make_undefined(std::string message);
  // Bytes that stay until the end of the render.
  Status hold(uint64_t bytes);
  // The error that is about to be returned is the template's own words: no line is added.
  void mark_raised() { raised_ = true; }
  [[nodiscard]] bool raised() const { return raised_; }
  // Takes the object into the budget, with the bytes it owns and the depth of what it holds.
  Status adopt(const std::shared_ptr<Object>& object, uint64_t bytes, uint32_t depth_below = 0);

  // Errors also: kInvalidArgument for integers beyond 64 bits.
  Result<Value> from_json(const Json& json) { return from_json(json, 0); }

  // The elements that iterating over `value` gives; an iterator is spent.
  // Errors also: kInvalidArgument when it is not iterable.
  Result<std::vector<Value>> iterate(const Value& value);

 private:
  Result<Value> from_json(const Json& json, uint32_t depth);
  Result<Value> make_items(Kind kind, std::vector<Value>& items);
  template <class T>
  Result<Value> finish(Kind kind, std::shared_ptr<T> object, uint64_t bytes, uint32_t below = 0);

  const TemplateLimits limits_;
  uint64_t steps_ = 0;
  bool raised_ = false;
  Budget budget_;
  // Namespaces can hold one another in a circle: they live until the end, then are emptied.
  std::vector<std::shared_ptr<NamespaceObject>> namespaces_;
};

// The arguments of one call by position or name, in the order of `names`; absent ones undefined
// and `given` false. Errors: kInvalidArgument (too many, unknown, twice, a required one missing).
struct Bound {
  std::vector<Value> values;
  std::vector<bool> given;
  [[nodiscard]] const Value& operator[](size_t i) const { return values[i]; }
};
Result<Bound> bind_arguments(std::string_view callee, Arguments& arguments,
                             std::initializer_list<std::string_view> names, size_t required);
// One argument as what a builtin needs, or the default when it was not given.
Result<int64_t> int_argument(const Bound& bound, size_t index, int64_t fallback);
bool flag_argument(const Bound& bound, size_t index, bool fallback = false);

}  // namespace localai::text::jinja
