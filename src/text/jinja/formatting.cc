// "..." % values and "...".format(values).
#include <algorithm>
#include <cstdio>

#include "base/number.h"
#include "text/jinja/operators.h"
#include "text/jinja/printing.h"
#include "text/jinja/strings.h"

namespace localai::text::jinja {
namespace {

// The digits after "%.": at most 3 of them.
struct Conversion {
  char kind = 's';
  int precision = -1;
  size_t end = 0;  // after the conversion
};

Result<Conversion> parse_conversion(const std::string& format, size_t at) {
  Conversion out;
  if (at < format.size() && format[at] == '.') {
    size_t end = at + 1;
    while (end < format.size() && end < at + 4 && format[end] >= '0' && format[end] <= '9') ++end;
    out.precision =
        parse_number<int>(std::string_view(format).substr(at + 1, end - at - 1)).value_or(0);
    at = end;
  }
  if (at >= format.size()) return invalid("a format ends after '%'");
  out.kind = format[at];
  out.end = at + 1;
  const bool plain = out.precision < 0;
  const bool known = out.kind == 'f' ||
                     (plain && std::string_view("sdir").find(out.kind) != std::string_view::npos);
  if (!known)
    return unsupported("the conversion " + in_quotes(format.substr(at - 1, 2)) +
                       " of a format is not supported: %s %r %d %i %f %.Nf and %% are");
  return out;
}

Result<std::string> convert(Runtime& runtime, const Conversion& conversion, const Value& value) {
  switch (conversion.kind) {
    case 's':
      return to_text(runtime, value);
    case 'r':
      return to_repr(runtime, value);
    default:
      break;
  }
  if (!value.is_number())
    return invalid(std::string("%") + conversion.kind + " takes a number, not " +
                   std::string(type_name(value)));
  if (conversion.kind == 'f') {
    char buffer[1400];
    const int precision = conversion.precision < 0 ? 6 : conversion.precision;
    std::snprintf(buffer, sizeof(buffer), "%.*f", precision, value.as_real());
    return std::string(buffer);
  }
  if (value.is_integral()) return std::to_string(value.as_int());
  if (!(std::abs(value.as_real()) < 9e18)) return invalid("%d: the number does not fit in 64 bits");
  return std::to_string(static_cast<int64_t>(value.as_real()));
}

}  // namespace

Result<Value> format_percent(Runtime& runtime, const std::string& format, const Value& values) {
  if (values.is(Kind::kDict) && format.find("%(") != std::string::npos)
    return unsupported("formats with %(name) are not supported");
  std::vector<Value> list = values.is(Kind::kTuple) ? values.items() : std::vector<Value>{values};
  std::string out;
  size_t used = 0;
  for (size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      out.push_back(format[at++]);
      continue;
    }
    if (at + 1 < format.size() && format[at + 1] == '%') {
      out.push_back('%');
      at += 2;
      continue;
    }
    LAI_TRY(const Conversion conversion, parse_conversion(format, at + 1));
    if (used == list.size()) return invalid("a format has more conversions than values");
    LAI_TRY(const std::string text, convert(runtime, conversion, list[used++]));
    LAI_TRY_STATUS(runtime.reserve(out.size() + text.size()));
    out += text;
    at = conversion.end;
  }
  // Python lets values that can be subscripted by name go unused; a list counts as one.
  const bool may_be_unused =
      values.is(Kind::kDict) || values.is(Kind::kList) || values.is(Kind::kUndefined);
  if (used < list.size() && !may_be_unused)
    return invalid("a format has fewer conversions than values");
  return runtime.make_string(std::move(out));
}

namespace {

// One {...} of str.format: its text without the braces.
class Field {
 public:
  Field(Runtime& runtime, Arguments& arguments) : runtime_(runtime), arguments_(arguments) {}

  Result<std::string> convert(std::string_view text) {
    if (text.find(':') != std::string_view::npos || text.find('{') != std::string_view::npos)
      return unsupported("format(): format specifications are not supported: " + in_quotes(text));
    char conversion = 's';
    if (const size_t mark = text.find('!'); mark != std::string_view::npos) {
      if (mark + 2 != text.size() || (text[mark + 1] != 'r' && text[mark + 1] != 's'))
        return unsupported("format(): the conversion of " + in_quotes(text) + " is not supported");
      conversion = text[mark + 1];
      text = text.substr(0, mark);
    }
    if (text.find('.') != std::string_view::npos || text.find('[') != std::string_view::npos)
      return unsupported("format(): members of values are not supported: " + in_quotes(text));
    LAI_TRY(const Value value, find(text));
    return conversion == 'r' ? to_repr(runtime_, value) : to_text(runtime_, value);
  }

 private:
  Result<Value> find(std::string_view name) {
    size_t index = 0;
    if (name.empty()) {
      if (numbered_) return invalid("format(): numbered and unnumbered fields are mixed");
      index = next_++;
    } else if (const auto number = parse_number<uint32_t>(name)) {
      if (next_ > 0) return invalid("format(): numbered and unnumbered fields are mixed");
      numbered_ = true;
      index = *number;
    } else {
      for (const auto& [known, value] : arguments_.named)
        if (known == name) return value;
      return invalid("format(): there is no argument " + in_quotes(name));
    }
    if (index < arguments_.values.size()) return arguments_.values[index];
    return invalid("format(): there is no argument " + std::to_string(index));
  }

  Runtime& runtime_;
  Arguments& arguments_;
  size_t next_ = 0;
  bool numbered_ = false;
};

}  // namespace

Result<Value> format_braces(Runtime& runtime, const std::string& format, Arguments& arguments) {
  Field field(runtime, arguments);
  std::string out;
  for (size_t at = 0; at < format.size();) {
    const char c = format[at];
    if (c != '{' && c != '}') {
      out.push_back(c);
      ++at;
      continue;
    }
    if (at + 1 < format.size() && format[at + 1] == c) {
      out.push_back(c);
      at += 2;
      continue;
    }
    const size_t end = format.find('}', at);
    if (c == '}' || end == std::string::npos)
      return invalid("format(): a brace stands alone in the format");
    LAI_TRY(const std::string text,
            field.convert(std::string_view(format).substr(at + 1, end - at - 1)));
    LAI_TRY_STATUS(runtime.reserve(out.size() + text.size()));
    out += text;
    at = end + 1;
  }
  return runtime.make_string(std::move(out));
}

}  // namespace localai::text::jinja
