#pragma once
// Operators on values, with Python's meaning.
#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace localai::text::jinja {

// + - * / // % **. Errors: kInvalidArgument (types, division by zero, integers beyond 64 bits).
Result<Value> arithmetic(Runtime& runtime, Operator op, const Value& left, const Value& right);
Result<Value> negative(const Value& value);
Result<Value> positive(const Value& value);

Result<bool> is_equal(Runtime& runtime, const Value& left, const Value& right);
// left < right. Errors: kInvalidArgument for types that have no order.
Result<bool> is_less(Runtime& runtime, const Value& left, const Value& right);
Result<bool> compare(Runtime& runtime, Operator op, const Value& left, const Value& right);
// item in container
Result<bool> contains(Runtime& runtime, const Value& container, const Value& item);

// "..." % values. Errors: kUnsupported for conversions that are not there.
Result<Value> format_percent(Runtime& runtime, const std::string& format, const Value& values);

// object.name, object[key], object[start:stop:step] as jinja2's sandbox resolves them: what is not
// there is undefined. Errors: kInvalidArgument on undefined objects.
Result<Value> get_attribute(Runtime& runtime, const Value& object, std::string_view name);
Result<Value> get_item(Runtime& runtime, const Value& object, const Value& key);
Result<Value> get_slice(Runtime& runtime, const Value& object, const Value& start,
                        const Value& stop, const Value& step);
// len(value). Errors: kInvalidArgument when it has none.
Result<int64_t> length_of(const Value& value);

// The first occurrence of `part` at or after `from`, in linear time; npos: none.
size_t find_bytes(std::string_view text, std::string_view part, size_t from = 0);

}  // namespace localai::text::jinja
