// json.dumps, as the tojson filter of transformers calls it.
#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "text/jinja/printing.h"

namespace localai::text::jinja {
namespace {

void append_unicode_escape(std::string& out, char32_t unit) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out += "\\u";
  for (int i = 3; i >= 0; --i) out.push_back(kDigits[unit >> (4 * i) & 15]);
}

void append_json_char(std::string& out, char32_t c, bool ensure_ascii) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\b':
      out += "\\b";
      return;
    default:
      break;
  }
  if (c < 0x20 || (ensure_ascii && c >= 0x7F && c < 0x10000 && c != 0x7F)) {
    append_unicode_escape(out, c);
  } else if (ensure_ascii && c >= 0x10000) {
    append_unicode_escape(out, 0xD800 + ((c - 0x10000) >> 10));
    append_unicode_escape(out, 0xDC00 + ((c - 0x10000) & 0x3FF));
  } else {
    append_utf8(out, c);
  }
}

class JsonPrinter {
 public:
  JsonPrinter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  Status print(const Value& value) {
    LAI_TRY_STATUS(runtime_.step());
    switch (value.kind()) {
      case Kind::kNone:
        out += "null";
        break;
      case Kind::kBool:
        out += value.as_int() != 0 ? "true" : "false";
        break;
      case Kind::kInt:
        out += std::to_string(value.as_int());
        break;
      case Kind::kFloat:
        out += number(value.as_real());
        break;
      case Kind::kString:
        LAI_TRY_STATUS(print_text(value.text()));
        break;
      case Kind::kList:
      case Kind::kTuple:
        LAI_TRY_STATUS(print_items(value.items()));
        break;
      case Kind::kDict:
        LAI_TRY_STATUS(print_dict(value.get<DictObject>()));
        break;
      default:
        return invalid("tojson: a value of type " + std::string(type_name(value)) +
                       " has no JSON form");
    }
    return runtime_.reserve(out.size());
  }

  std::string out;

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return repr_of_real(value);
  }

  Status print_text(const std::string& text) {
    LAI_TRY_STATUS(runtime_.scan(text.size()));
    out.push_back('"');
    for (size_t at = 0; at < text.size();) {
      const Utf8Char c = decode_utf8(text, at);
      append_json_char(out, c.code_point, style_.ensure_ascii);
      at += c.bytes;
    }
    out.push_back('"');
    return Ok{};
  }

  Status break_line() {
    if (!style_.indent) return Ok{};
    LAI_TRY_STATUS(runtime_.reserve(out.size() + level_ * style_.indent->size()));
    out.push_back('\n');
    for (uint32_t i = 0; i < level_; ++i) out += *style_.indent;
    return Ok{};
  }

  Status print_items(const std::vector<Value>& items) {
    if (items.empty()) {
      out += "[]";
      return Ok{};
    }
    out.push_back('[');
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      LAI_TRY_STATUS(break_line());
      LAI_TRY_STATUS(print(items[i]));
    }
    --level_;
    LAI_TRY_STATUS(break_line());
    out.push_back(']');
    return Ok{};
  }

  // Keys that are not strings become strings, as json.dumps makes them.
  Status print_key(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        return print_text(key.text());
      case Kind::kNone:
        return print_text("null");
      case Kind::kBool:
        return print_text(key.as_int() != 0 ? "true" : "false");
      case Kind::kInt:
        return print_text(std::to_string(key.as_int()));
      case Kind::kFloat:
        return print_text(number(key.as_real()));
      default:
        return invalid("tojson: a key of type " + std::string(type_name(key)) +
                       " has no JSON form");
    }
  }

  Status print_dict(const DictObject& dict) {
    if (dict.entries.empty()) {
      out += "{}";
      return Ok{};
    }
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      for (const auto* entry : entries)
        if (!entry->first.is(Kind::kString))
          return unsupported("tojson: sort_keys needs keys that are strings");
      std::sort(entries.begin(), entries.end(),
                [](const auto* a, const auto* b) { return a->first.text() < b->first.text(); });
    }
    out.push_back('{');
    ++level_;
    bool first = true;
    for (const auto* entry : entries) {
      if (!first) out += style_.item_separator;
      first = false;
      LAI_TRY_STATUS(break_line());
      LAI_TRY_STATUS(print_key(entry->first));
      out += style_.key_separator;
      LAI_TRY_STATUS(print(entry->second));
    }
    --level_;
    LAI_TRY_STATUS(break_line());
    out.push_back('}');
    return Ok{};
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  uint32_t level_ = 0;
};

}  // namespace

Result<std::string> to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonPrinter printer(runtime, style);
  LAI_TRY_STATUS(printer.print(value));
  return std::move(printer.out);
}

}  // namespace localai::text::jinja
