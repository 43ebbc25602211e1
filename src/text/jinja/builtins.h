#pragma once
// Tables of the filters, tests, functions and methods that templates can name.
#include <string_view>

#include "text/jinja/value.h"

namespace localai::text::jinja {

class Runtime;

using FilterFunction = Result<Value> (*)(Runtime&, const Value& input, Arguments& arguments);
using TestFunction = Result<bool> (*)(Runtime&, const Value& input, Arguments& arguments);
using GlobalFunction = Result<Value> (*)(Runtime&, Arguments& arguments);
using MethodFunction = Result<Value> (*)(Runtime&, const Value& self, Arguments& arguments);

// nullptr: there is none of this name.
FilterFunction find_filter(std::string_view name);
TestFunction find_test(std::string_view name);
GlobalFunction find_global(std::string_view name);
MethodFunction find_method(Kind self, std::string_view name);

// What an attribute of a value of this kind is, before its members are looked at.
enum class Attribute : uint8_t {
  kNone,         // Python's type has no such attribute
  kMethod,       // find_method knows it
  kForbidden,    // the sandbox hides it: it changes the value, or is internal
  kUnsupported,  // Python has it, this interpreter does not
};
Attribute classify_attribute(Kind self, std::string_view name);

}  // namespace localai::text::jinja
