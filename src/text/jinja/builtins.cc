#include "text/jinja/builtins.h"

#include <algorithm>

#include "text/jinja/builtin_tables.h"

namespace localai::text::jinja {
namespace {

template <class Entry>
auto find_in(std::span<const Entry> table, std::string_view name) -> decltype(Entry::function) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Entry& e) { return e.name == name; });
  return found == table.end() ? nullptr : found->function;
}

template <size_t N>
bool holds(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// What Python's types have, beyond the methods that are here.
constexpr std::string_view kStringOthers[] = {"casefold",  "expandtabs",   "format_map",
                                              "isascii",   "isidentifier", "isprintable",
                                              "maketrans", "translate",    "encode"};
constexpr std::string_view kDictForbidden[] = {"clear", "pop", "popitem", "setdefault", "update"};
constexpr std::string_view kListForbidden[] = {"append", "clear",  "extend",  "insert",
                                               "pop",    "remove", "reverse", "sort"};
constexpr std::string_view kNumberOthers[] = {
    "as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator",
    "from_bytes",       "fromhex",   "hex",        "imag",      "is_integer",
    "numerator",        "real",      "to_bytes"};

Attribute classify_dict(std::string_view name) {
  if (holds(kDictForbidden, name)) return Attribute::kForbidden;
  return name == "fromkeys" ? Attribute::kUnsupported : Attribute::kNone;
}

}  // namespace

FilterFunction find_filter(std::string_view name) {
  for (const auto table :
       {text_filters(), sequence_filters(), selection_filters(), number_filters()})
    if (const FilterFunction found = find_in(table, name)) return found;
  return nullptr;
}

TestFunction find_test(std::string_view name) { return find_in(value_tests(), name); }
GlobalFunction find_global(std::string_view name) { return find_in(global_functions(), name); }

MethodFunction find_method(Kind self, std::string_view name) {
  switch (self) {
    case Kind::kString:
      if (const MethodFunction found = find_in(string_methods(), name)) return found;
      return find_in(string_search_methods(), name);
    case Kind::kDict:
      return find_in(dict_methods(), name);
    case Kind::kList:
      if (name == "copy") return find_in(list_methods(), name);
      [[fallthrough]];
    case Kind::kTuple:
    case Kind::kRange:
      return name == "copy" ? nullptr : find_in(list_methods(), name);
    default:
      return nullptr;
  }
}

Attribute classify_attribute(Kind self, std::string_view name) {
  if (find_method(self, name)) return Attribute::kMethod;
  switch (self) {
    case Kind::kString:
      if (holds(kStringOthers, name)) return Attribute::kUnsupported;
      break;
    case Kind::kDict: {
      const Attribute found = classify_dict(name);
      if (found != Attribute::kNone) return found;
      break;
    }
    case Kind::kList:
      if (holds(kListForbidden, name)) return Attribute::kForbidden;
      break;
    case Kind::kRange:
      if (name == "start" || name == "stop" || name == "step") return Attribute::kUnsupported;
      break;
    case Kind::kInt:
    case Kind::kBool:
    case Kind::kFloat:
      if (holds(kNumberOthers, name)) return Attribute::kUnsupported;
      break;
    case Kind::kMacro:
    case Kind::kView:
    case Kind::kIterator:
      return name.starts_with("_") ? Attribute::kForbidden : Attribute::kUnsupported;
    default:
      break;
  }
  static constexpr std::string_view kInternal[] = {
      "__class__",  "__doc__", "__init__",    "__dict__",         "__module__",
      "__new__",    "__len__", "__getitem__", "__iter__",         "__repr__",
      "__str__",    "__eq__",  "__hash__",    "__subclasshook__", "__init_subclass__",
      "__reduce__", "__dir__", "__sizeof__",  "__format__",       "__contains__",
      "__add__",    "__mul__"};
  return holds(kInternal, name) ? Attribute::kForbidden : Attribute::kNone;
}

}  // namespace localai::text::jinja
