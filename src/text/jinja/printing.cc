#include "text/jinja/printing.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/utf8.h"

namespace localai::text::jinja {
namespace {

std::string hex(char32_t c, int digits) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (int i = digits - 1; i >= 0; --i) out.push_back(kDigits[c >> (4 * i) & 15]);
  return out;
}

// str.isprintable: what repr shows as it is.
bool is_printable(char32_t c) {
  if (c < 0x80) return c >= 0x20 && c < 0x7F;
  switch (utf8proc_category(static_cast<int32_t>(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

void append_repr_char(std::string& out, char32_t c, char quote) {
  if (c == static_cast<char32_t>(quote) || c == '\\') {
    out.push_back('\\');
    out.push_back(static_cast<char>(c));
  } else if (c == '\n') {
    out += "\\n";
  } else if (c == '\r') {
    out += "\\r";
  } else if (c == '\t') {
    out += "\\t";
  } else if (is_printable(c)) {
    append_utf8(out, c);
  } else if (c < 0x100) {
    out += "\\x" + hex(c, 2);
  } else if (c < 0x10000) {
    out += "\\u" + hex(c, 4);
  } else {
    out += "\\U" + hex(c, 8);
  }
}

std::string repr_of_text(const std::string& text) {
  const bool single = text.find('\'') != std::string::npos;
  const char quote = single && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    append_repr_char(out, c.code_point, quote);
    at += c.bytes;
  }
  out.push_back(quote);
  return out;
}

class ReprPrinter {
 public:
  explicit ReprPrinter(Runtime& runtime) : runtime_(runtime) {}

  Status print(const Value& value) {
    LAI_TRY_STATUS(runtime_.step());
    if (++depth_ > 2 * runtime_.limits().depth_max)
      return exhausted("a value is nested too deep to be printed");
    LAI_TRY_STATUS(print_kind(value));
    --depth_;
    return runtime_.reserve(out.size());
  }

  std::string out;

 private:
  Status print_kind(const Value& value) {
    switch (value.kind()) {
      case Kind::kString:
        LAI_TRY_STATUS(runtime_.scan(value.text().size()));
        out += value.get<StringObject>().is_markup ? "Markup(" + repr_of_text(value.text()) + ")"
                                                   : repr_of_text(value.text());
        return Ok{};
      case Kind::kList:
        return print_items(value.items(), "[", "]");
      case Kind::kTuple:
        return print_items(value.items(), "(", value.items().size() == 1 ? ",)" : ")");
      case Kind::kView:
        return print_items(value.items(), std::string(type_name(value)) + "([", "])");
      case Kind::kDict:
        return print_dict(value.get<DictObject>());
      case Kind::kNamespace:
        return print_namespace(value.get<NamespaceObject>());
      case Kind::kRange:
        return print_range(value.get<RangeObject>());
      case Kind::kUndefined:
        out += "Undefined";
        return Ok{};
      case Kind::kNone:
        out += "None";
        return Ok{};
      case Kind::kBool:
        out += value.as_int() != 0 ? "True" : "False";
        return Ok{};
      case Kind::kInt:
        out += std::to_string(value.as_int());
        return Ok{};
      case Kind::kFloat:
        out += repr_of_real(value.as_real());
        return Ok{};
      default:
        return invalid("a value of type " + std::string(type_name(value)) + " cannot be printed");
    }
  }

  Status print_items(const std::vector<Value>& items, std::string_view open,
                     std::string_view close) {
    out += open;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += ", ";
      LAI_TRY_STATUS(print(items[i]));
    }
    out += close;
    return Ok{};
  }

  Status print_dict(const DictObject& dict) {
    out += "{";
    for (size_t i = 0; i < dict.entries.size(); ++i) {
      if (i > 0) out += ", ";
      LAI_TRY_STATUS(print(dict.entries[i].first));
      out += ": ";
      LAI_TRY_STATUS(print(dict.entries[i].second));
    }
    out += "}";
    return Ok{};
  }

  Status print_namespace(const NamespaceObject& object) {
    out += "<Namespace {";
    for (size_t i = 0; i < object.order.size(); ++i) {
      if (i > 0) out += ", ";
      out += repr_of_text(object.order[i]) + ": ";
      const auto found = object.values.find(object.order[i]);
      LAI_TRY_STATUS(print(found->second));
    }
    out += "}>";
    return Ok{};
  }

  Status print_range(const RangeObject& range) {
    out += "range(" + std::to_string(range.start) + ", " + std::to_string(range.stop);
    if (range.step != 1) out += ", " + std::to_string(range.step);
    out += ")";
    return Ok{};
  }

  Runtime& runtime_;
  uint32_t depth_ = 0;
};

}  // namespace

// Source: Python's float.__repr__: the shortest digits that read back equal, with an exponent
// outside 1e-4 <= |x| < 1e16.
std::string repr_of_real(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto printed =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  std::string_view text(buffer, static_cast<size_t>(printed.ptr - buffer));
  std::string sign;
  if (text.front() == '-') {
    sign = "-";
    text.remove_prefix(1);
  }
  const size_t e = text.find('e');
  std::string digits(text.substr(0, 1));
  if (e > 2) digits += text.substr(2, e - 2);
  int exponent = 0;
  const size_t exponent_at = e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(text.data() + exponent_at, text.data() + text.size(), exponent);
  const auto count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    std::string out = sign + digits.substr(0, 1);
    if (count > 1) out += "." + digits.substr(1);
    const std::string power = std::to_string(std::abs(exponent));
    return out + "e" + (exponent < 0 ? "-" : "+") + (power.size() < 2 ? "0" : "") + power;
  }
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1)
    return sign + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  const auto point = static_cast<size_t>(exponent + 1);
  return sign + digits.substr(0, point) + "." + digits.substr(point);
}

Result<std::string> to_repr(Runtime& runtime, const Value& value) {
  ReprPrinter printer(runtime);
  LAI_TRY_STATUS(printer.print(value));
  return std::move(printer.out);
}

Result<std::string> to_text(Runtime& runtime, const Value& value) {
  if (value.is(Kind::kString)) {
    LAI_TRY_STATUS(runtime.scan(value.text().size()));
    return value.text();
  }
  if (value.is(Kind::kUndefined)) return std::string();
  return to_repr(runtime, value);
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

}  // namespace localai::text::jinja
