#include "text/jinja/attributes.h"

#include <algorithm>

#include "base/number.h"
#include "text/jinja/operators.h"
#include "text/jinja/unicode.h"

namespace localai::text::jinja {

Result<Value> attribute_path(Runtime& runtime, const Value& item, const Value& path) {
  if (path.is(Kind::kNone)) return item;
  if (!path.is(Kind::kString)) return get_item(runtime, item, path);
  Value value = item;
  const std::string& text = path.text();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const bool digits = !part.empty() && std::all_of(part.begin(), part.end(),
                                                     [](char c) { return c >= '0' && c <= '9'; });
    Value key;
    if (const auto index = parse_number<int64_t>(part); digits && index) {
      key = Value::integer(*index);
    } else {
      LAI_TRY(key, runtime.make_string(part));
    }
    LAI_TRY(value, get_item(runtime, value, key));
    begin = end + 1;
  }
  return value;
}

namespace {

Result<Value> one_key(Runtime& runtime, const Value& item, const Value& attribute,
                      bool case_sensitive) {
  LAI_TRY(Value key, attribute_path(runtime, item, attribute));
  if (case_sensitive || !key.is(Kind::kString)) return key;
  LAI_TRY_STATUS(runtime.scan(8 * key.text().size()));
  return runtime.make_string(to_lower(key.text()));
}

}  // namespace

Result<Value> sort_key(Runtime& runtime, const Value& item, const KeyRule& rule) {
  if (!rule.several || !rule.attribute.is(Kind::kString) ||
      rule.attribute.text().find(',') == std::string::npos)
    return one_key(runtime, item, rule.attribute, rule.case_sensitive);
  std::vector<Value> keys;
  const std::string& text = rule.attribute.text();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    LAI_TRY(const Value attribute, runtime.make_string(text.substr(begin, end - begin)));
    LAI_TRY(Value key, one_key(runtime, item, attribute, rule.case_sensitive));
    keys.push_back(std::move(key));
    begin = end + 1;
  }
  return runtime.make_tuple(std::move(keys));
}

Result<std::vector<Value>> sort_by(Runtime& runtime, const std::vector<Value>& items,
                                   const KeyRule& rule, bool reverse) {
  std::vector<std::pair<Value, Value>> keyed;
  keyed.reserve(items.size());
  for (const Value& item : items) {
    LAI_TRY(Value key, sort_key(runtime, item, rule));
    keyed.emplace_back(std::move(key), item);
  }
  // Bottom-up merge sort: it stops at the first failed comparison, and no comparison, however
  // inconsistent, can lead it astray.
  std::vector<std::pair<Value, Value>> merged(keyed.size());
  for (size_t width = 1; width < keyed.size(); width *= 2) {
    for (size_t begin = 0; begin < keyed.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, keyed.size());
      const size_t end = std::min(begin + 2 * width, keyed.size());
      size_t left = begin, right = middle;
      for (size_t out = begin; out < end; ++out) {
        bool take_right = left == middle;
        if (!take_right && right < end) {
          const Value& a = keyed[left].first;
          const Value& b = keyed[right].first;
          LAI_TRY(take_right, reverse ? is_less(runtime, a, b) : is_less(runtime, b, a));
        }
        merged[out] = std::move(keyed[take_right ? right++ : left++]);
      }
    }
    keyed.swap(merged);
  }
  std::vector<Value> out;
  out.reserve(keyed.size());
  for (auto& [key, item] : keyed) out.push_back(std::move(item));
  return out;
}

Result<std::vector<Value>> dict_pairs(Runtime& runtime, const DictObject& dict) {
  std::vector<Value> pairs;
  pairs.reserve(dict.entries.size());
  for (const auto& [key, value] : dict.entries) {
    LAI_TRY(Value pair, runtime.make_tuple({key, value}));
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

}  // namespace localai::text::jinja
