#include "text/jinja/value.h"

#include <bit>
#include <cmath>

namespace localai::text::jinja {

const std::string& Value::text() const {
  LAI_DCHECK(is(Kind::kString));
  return get<StringObject>().text;
}

const std::vector<Value>& Value::items() const {
  LAI_DCHECK(is(Kind::kList) || is(Kind::kTuple) || is(Kind::kView) || is(Kind::kIterator));
  return get<ListObject>().items;
}

std::string_view Value::undefined_message() const {
  return object_ ? std::string_view(get<UndefinedObject>().message) : "a value is undefined";
}

const Value* DictObject::find(std::string_view text_key) const {
  std::string key = "s";
  key += text_key;
  const auto found = index.find(key);
  return found == index.end() ? nullptr : &entries[found->second].second;
}

namespace {

std::string real_key(double d) {
  // An integral float is the same key as the integer.
  if (std::floor(d) == d && std::fabs(d) < 9.2e18)
    return "i" + std::to_string(static_cast<int64_t>(d));
  return "f" + std::to_string(std::bit_cast<uint64_t>(d));
}

}  // namespace

Result<std::string> hash_key(const Value& value) {
  switch (value.kind()) {
    case Kind::kNone:
      return std::string("n");
    case Kind::kUndefined:
      return std::string("u");
    case Kind::kBool:
    case Kind::kInt:
      return "i" + std::to_string(value.as_int());
    case Kind::kFloat:
      return real_key(value.as_real());
    case Kind::kString:
      return "s" + value.text();
    case Kind::kTuple: {
      std::string key = "t";
      for (const Value& item : value.items()) {
        LAI_TRY(const std::string part, hash_key(item));
        key += std::to_string(part.size()) + ":" + part;
      }
      return key;
    }
    case Kind::kList:
    case Kind::kDict:
      return invalid("a " + std::string(type_name(value)) + " cannot be a key: it is not hashable");
    default:
      return "o" + std::to_string(reinterpret_cast<uintptr_t>(value.identity()));
  }
}

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_real() != 0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return !value.items().empty();
    case Kind::kDict:
      return !value.get<DictObject>().entries.empty();
    case Kind::kRange:
      return value.get<RangeObject>().count != 0;
    default:
      return true;
  }
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kRange:
      return "range";
    case Kind::kView:
      return value.get<ViewObject>().name;
    case Kind::kIterator:
      return "generator";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kMacro:
      return "Macro";
    case Kind::kFunction:
      return "function";
    case Kind::kMethod:
      return "method";
    case Kind::kLoop:
      return "LoopContext";
  }
  return "object";
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kBytesMax = 80;
  if (text.size() <= kBytesMax) return "'" + std::string(text) + "'";
  size_t end = kBytesMax;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  return "'" + std::string(text.substr(0, end)) + "...'";
}

}  // namespace localai::text::jinja
