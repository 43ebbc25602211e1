#pragma once
// "a.b.0" of an item, and sorting by it: what the attribute= of filters means.
#include <vector>

#include "text/jinja/runtime.h"

namespace localai::text::jinja {

// The item's member by a path of names and indices, or by one integer; none: the item itself.
Result<Value> attribute_path(Runtime& runtime, const Value& item, const Value& path);

struct KeyRule {
  Value attribute;              // none: the item
  bool case_sensitive = false;  // else strings count as lower case
  bool several = false;         // "a,b" is two attributes
};
Result<Value> sort_key(Runtime& runtime, const Value& item, const KeyRule& rule);
// Stable, also when reversed. Errors: kInvalidArgument for keys without an order.
Result<std::vector<Value>> sort_by(Runtime& runtime, const std::vector<Value>& items,
                                   const KeyRule& rule, bool reverse);

// (key, value) tuples.
Result<std::vector<Value>> dict_pairs(Runtime& runtime, const DictObject& dict);

}  // namespace localai::text::jinja
