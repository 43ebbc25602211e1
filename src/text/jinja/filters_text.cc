// Filters that give text.
#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/builtin_tables.h"
#include "text/jinja/operators.h"
#include "text/jinja/printing.h"
#include "text/jinja/strings.h"
#include "text/jinja/unicode.h"

namespace localai::text::jinja {
namespace {

template <std::string (*Map)(std::string_view)>
Result<Value> map_text(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound none, bind_arguments("a text filter", arguments, {}, 0));
  (void)none;
  LAI_TRY(const std::string text, to_text(runtime, input));
  LAI_TRY_STATUS(runtime.scan(8 * text.size()));
  return runtime.make_string(Map(text));
}

// The title filter: unlike str.title it starts a word only after these.
std::string title_words(std::string_view text) {
  std::string out;
  const std::vector<char32_t> points = to_code_points(text);
  const auto separates = [](char32_t c) {
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || is_python_space(c);
  };
  for (size_t begin = 0; begin < points.size();) {
    size_t end = begin + 1;
    while (end < points.size() && separates(points[end]) == separates(points[begin])) ++end;
    out += to_upper(from_code_points(points, begin, begin + 1));
    out += to_lower(from_code_points(points, begin + 1, end));
    begin = end;
  }
  return out;
}

Result<Value> filter_string(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound none, bind_arguments("string", arguments, {}, 0));
  (void)none;
  if (input.is(Kind::kString)) return input;
  LAI_TRY(std::string text, to_text(runtime, input));
  return runtime.make_string(std::move(text));
}

Result<Value> filter_safe(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound none, bind_arguments("safe", arguments, {}, 0));
  (void)none;
  LAI_TRY(std::string text, to_text(runtime, input));
  return runtime.make_string(std::move(text), true);
}

Result<Value> escape(Runtime& runtime, const Value& input, Arguments& arguments, bool always) {
  LAI_TRY(const Bound none, bind_arguments("escape", arguments, {}, 0));
  (void)none;
  if (!always && input.is(Kind::kString) && input.get<StringObject>().is_markup) return input;
  LAI_TRY(const std::string text, to_text(runtime, input));
  return runtime.make_string(escape_html(text), true);
}
Result<Value> filter_escape(Runtime& runtime, const Value& input, Arguments& arguments) {
  return escape(runtime, input, arguments, false);
}
Result<Value> filter_force_escape(Runtime& runtime, const Value& input, Arguments& arguments) {
  return escape(runtime, input, arguments, true);
}

Result<Value> filter_trim(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("trim", arguments, {"chars"}, 0));
  LAI_TRY(const std::string text, to_text(runtime, input));
  if (!bound.given[0] || bound[0].is(Kind::kNone))
    return runtime.make_string(std::string(strip_space(text)));
  if (!bound[0].is(Kind::kString)) return invalid("trim: chars is to be a string");
  LAI_TRY_STATUS(runtime.scan(16 * text.size() + 32 * bound[0].text().size()));
  return runtime.make_string(std::string(strip_any(text, bound[0].text(), true, true)));
}

Result<Value> filter_replace(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("replace", arguments, {"old", "new", "count"}, 2));
  LAI_TRY(const std::string text, to_text(runtime, input));
  LAI_TRY(const std::string from, to_text(runtime, bound[0]));
  LAI_TRY(const std::string to, to_text(runtime, bound[1]));
  int64_t count = -1;
  if (!bound[2].is(Kind::kNone)) {
    LAI_TRY(count, int_argument(bound, 2, -1));
  }
  LAI_TRY(std::string out, replace_all(runtime, text, from, to, count));
  return runtime.make_string(std::move(out));
}

Result<Value> filter_indent(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("indent", arguments, {"width", "first", "blank"}, 0));
  if (!input.is(Kind::kString))
    return invalid("indent: the input is to be a string, not " + std::string(type_name(input)));
  std::string indention(4, ' ');
  if (bound.given[0] && bound[0].is(Kind::kString)) {
    indention = bound[0].text();
  } else {
    LAI_TRY(const int64_t width, int_argument(bound, 0, 4));
    LAI_TRY_STATUS(runtime.reserve(static_cast<uint64_t>(std::max<int64_t>(width, 0))));
    indention.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool blank = flag_argument(bound, 2);
  const std::string text = input.text() + "\n";
  std::string out = flag_argument(bound, 1) ? indention : "";
  bool is_first = true;
  for (const std::string_view line : split_lines(text, false)) {
    const bool indented = !is_first && (blank || !line.empty());
    LAI_TRY_STATUS(runtime.reserve(out.size() + line.size() + indention.size()));
    if (!is_first) out.push_back('\n');
    if (indented) out += indention;
    out += line;
    is_first = false;
  }
  return runtime.make_string(std::move(out));
}

Result<Value> filter_center(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("center", arguments, {"width"}, 0));
  LAI_TRY(const std::string text, to_text(runtime, input));
  LAI_TRY(const int64_t width, int_argument(bound, 0, 80));
  return center_text(runtime, text, width, " ");
}

Result<Value> filter_truncate(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound,
          bind_arguments("truncate", arguments, {"length", "killwords", "end", "leeway"}, 0));
  LAI_TRY(const int64_t input_length, length_of(input));
  LAI_TRY(const int64_t length, int_argument(bound, 0, 255));
  LAI_TRY(const int64_t leeway, int_argument(bound, 3, 5));
  if (bound.given[2] && !bound[2].is(Kind::kString))
    return invalid("truncate: end is to be a string");
  const std::string end = bound.given[2] ? bound[2].text() : "...";
  const auto end_length = static_cast<int64_t>(count_code_points(end));
  if (length < end_length || leeway < 0)
    return invalid("truncate: length is less than the end's, or leeway is negative");
  if (input_length <= leeway || input_length - leeway <= length) return input;
  if (!input.is(Kind::kString)) return invalid("truncate: the input is to be a string");
  const auto& string = input.get<StringObject>();
  LAI_TRY_STATUS(runtime.scan(string.text.size()));
  std::string out =
      string.text.substr(0, byte_offset(string.text, static_cast<size_t>(length - end_length)));
  if (!flag_argument(bound, 1))
    if (const size_t space = out.rfind(' '); space != std::string::npos) out.resize(space);
  return runtime.make_string(out + end);
}

Result<Value> filter_wordcount(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound none, bind_arguments("wordcount", arguments, {}, 0));
  (void)none;
  LAI_TRY(const std::string text, to_text(runtime, input));
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    const bool word =
        c.code_point == '_' || is_alphabetic(c.code_point) || is_numeric(c.code_point);
    words += word && !inside ? 1 : 0;
    inside = word;
    at += c.bytes;
  }
  return Value::integer(words);
}

Result<Value> filter_urlencode(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound none, bind_arguments("urlencode", arguments, {}, 0));
  (void)none;
  if (!input.is(Kind::kString) && !input.is_number())
    return unsupported("urlencode: only strings and numbers are supported");
  LAI_TRY(const std::string text, to_text(runtime, input));
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x80 &&
        (std::isalnum(byte) != 0 || std::string_view("_.-~/").find(c) != std::string_view::npos)) {
      out.push_back(c);
    } else {
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return runtime.make_string(std::move(out));
}

Result<Value> filter_format(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const std::string text, to_text(runtime, input));
  if (!arguments.named.empty()) return unsupported("format: named arguments are not supported");
  LAI_TRY(const Value values, runtime.make_tuple(std::move(arguments.values)));
  return format_percent(runtime, text, values);
}

// What one level of json.dumps(indent=...) adds.
Result<std::string> json_indent(const Value& value) {
  if (value.is(Kind::kString)) return value.text();
  if (!value.is_integral()) return invalid("tojson: indent is to be an integer or a string");
  constexpr int64_t kIndentMax = 16;
  if (value.as_int() > kIndentMax)
    return exhausted("tojson: an indent of " + std::to_string(value.as_int()) + ", the limit is " +
                     std::to_string(kIndentMax));
  return std::string(static_cast<size_t>(std::max<int64_t>(value.as_int(), 0)), ' ');
}

Result<Value> filter_tojson(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound,
          bind_arguments("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"},
                         0));
  JsonStyle style;
  style.ensure_ascii = flag_argument(bound, 0);
  style.sort_keys = flag_argument(bound, 3);
  if (bound.given[1] && !bound[1].is(Kind::kNone)) {
    LAI_TRY(style.indent, json_indent(bound[1]));
    style.item_separator = ",";
  }
  if (bound.given[2] && !bound[2].is(Kind::kNone)) {
    LAI_TRY(const std::vector<Value> parts, runtime.iterate(bound[2]));
    if (parts.size() != 2 || !parts[0].is(Kind::kString) || !parts[1].is(Kind::kString))
      return invalid("tojson: separators is to be two strings");
    style.item_separator = parts[0].text();
    style.key_separator = parts[1].text();
  }
  LAI_TRY(std::string text, to_json(runtime, input, style));
  return runtime.make_string(std::move(text));
}

constexpr FilterEntry kFilters[] = {
    {"upper", map_text<to_upper>},
    {"lower", map_text<to_lower>},
    {"title", map_text<title_words>},
    {"capitalize", map_text<to_capitalized>},
    {"string", filter_string},
    {"safe", filter_safe},
    {"escape", filter_escape},
    {"e", filter_escape},
    {"forceescape", filter_force_escape},
    {"trim", filter_trim},
    {"replace", filter_replace},
    {"indent", filter_indent},
    {"center", filter_center},
    {"truncate", filter_truncate},
    {"wordcount", filter_wordcount},
    {"urlencode", filter_urlencode},
    {"format", filter_format},
    {"tojson", filter_tojson},
};

}  // namespace

std::span<const FilterEntry> text_filters() { return kFilters; }

}  // namespace localai::text::jinja
