#pragma once
// The builtins by group; builtins.cc joins them.
#include <span>

#include "text/jinja/builtins.h"

namespace localai::text::jinja {

struct FilterEntry {
  std::string_view name;
  FilterFunction function;
};
struct TestEntry {
  std::string_view name;
  TestFunction function;
};
struct MethodEntry {
  std::string_view name;
  MethodFunction function;
};
struct GlobalEntry {
  std::string_view name;
  GlobalFunction function;
};

std::span<const FilterEntry> text_filters();
std::span<const FilterEntry> sequence_filters();
std::span<const FilterEntry> selection_filters();
std::span<const FilterEntry> number_filters();
std::span<const TestEntry> value_tests();
std::span<const MethodEntry> string_methods();
std::span<const MethodEntry> string_search_methods();
std::span<const MethodEntry> dict_methods();
std::span<const MethodEntry> list_methods();
std::span<const GlobalEntry> global_functions();

}  // namespace localai::text::jinja
