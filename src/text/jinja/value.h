#pragma once
// Values of the template language: Python's, as far as templates see them. Immutable and shared;
// only a namespace, an iterator and a loop have state. Every object counts its bytes against the
// budget of the render that made it and gives them back when it goes.
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace localai::text::jinja {

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kView,      // dict.items(), keys(), values()
  kIterator,  // what map, select, ... give: true, without a length, spent by one pass
  kNamespace,
  kMacro,
  kFunction,
  kMethod,
  kLoop,
};

// Bytes alive in one render. One thread.
struct Budget {
  uint64_t bytes = 0;
  uint64_t bytes_max = 0;
};

struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() {
    if (budget) budget->bytes -= bytes;
  }
  Budget* budget = nullptr;  // none: a constant of the compiled template
  uint64_t bytes = 0;
  uint32_t depth = 1;  // containers inside one another, this one included
};

class Value {
 public:
  Value() = default;  // undefined, without a name
  static Value none() { return Value(Kind::kNone); }
  static Value boolean(bool b) {
    Value v(Kind::kBool);
    v.int_ = b ? 1 : 0;
    return v;
  }
  static Value integer(int64_t i) {
    Value v(Kind::kInt);
    v.int_ = i;
    return v;
  }
  static Value real(double d) {
    Value v(Kind::kFloat);
    v.real_ = d;
    return v;
  }
  static Value object(Kind kind, std::shared_ptr<Object> object) {
    Value v(kind);
    v.object_ = std::move(object);
    return v;
  }

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] bool is(Kind kind) const { return kind_ == kind; }
  [[nodiscard]] bool is_integral() const { return is(Kind::kInt) || is(Kind::kBool); }
  [[nodiscard]] bool is_number() const { return is_integral() || is(Kind::kFloat); }
  [[nodiscard]] int64_t as_int() const { return int_; }  // kInt, kBool
  [[nodiscard]] double as_real() const {                 // any number
    return is(Kind::kFloat) ? real_ : static_cast<double>(int_);
  }
  [[nodiscard]] uint32_t depth() const { return object_ ? object_->depth : 0; }
  [[nodiscard]] const Object* identity() const { return object_.get(); }
  template <class T>
  [[nodiscard]] T& get() const {
    return static_cast<T&>(*object_);
  }
  [[nodiscard]] const std::string& text() const;             // kString
  [[nodiscard]] const std::vector<Value>& items() const;     // kList, kTuple, kView, kIterator
  [[nodiscard]] std::string_view undefined_message() const;  // kUndefined

 private:
  explicit Value(Kind kind) : kind_(kind) {}
  Kind kind_ = Kind::kUndefined;
  union {
    int64_t int_ = 0;
    double real_;
  };
  std::shared_ptr<Object> object_;
};

struct StringObject : Object {
  std::string text;        // valid UTF-8
  uint64_t length = 0;     // in code points
  bool is_markup = false;  // what |safe and |escape give
};
struct ListObject : Object {
  std::vector<Value> items;
};
struct ViewObject : ListObject {
  std::string_view name;  // "dict_items"
};
struct IteratorObject : ListObject {
  size_t next = 0;
};
struct RangeObject : Object {
  int64_t start = 0, stop = 0, step = 1, count = 0;
  [[nodiscard]] int64_t at(int64_t index) const { return start + index * step; }
};
// Keeps the order of insertion. Keys are hashable values; equal numbers are one key, as in Python.
struct DictObject : Object {
  std::vector<std::pair<Value, Value>> entries;
  std::map<std::string, size_t, std::less<>> index;  // by hash_key
  [[nodiscard]] const Value* find(std::string_view text_key) const;
};
struct NamespaceObject : Object {
  std::map<std::string, Value, std::less<>> values;
  std::vector<std::string> order;
};
struct UndefinedObject : Object {
  std::string message;
};
struct MethodObject : Object {
  Value self;
  std::string_view name;
};
struct FunctionObject : Object {
  std::string_view name;
};

// Arguments of a call: positional, then by name.
struct Arguments {
  std::vector<Value> values;
  std::vector<std::pair<std::string, Value>> named;
};

// A text that two keys share exactly when Python finds them equal with equal hashes.
// Errors: kInvalidArgument for lists, dicts and other unhashable values.
Result<std::string> hash_key(const Value& value);

bool is_true(const Value& value);
std::string_view type_name(const Value& value);  // as Python's type(value).__name__
std::string in_quotes(std::string_view text);    // for messages: 'text', cut when long

inline Value undefined_value() { return {}; }

}  // namespace localai::text::jinja
