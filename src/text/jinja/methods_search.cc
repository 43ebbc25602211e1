// Methods of strings that search and cut.
#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/builtin_tables.h"
#include "text/jinja/operators.h"
#include "text/jinja/strings.h"
#include "text/jinja/unicode.h"

namespace localai::text::jinja {
namespace {

// The last occurrence, in linear time: the first one of the text read backward.
size_t rfind_bytes(std::string_view text, std::string_view part) {
  const std::string back(text.rbegin(), text.rend());
  const std::string back_part(part.rbegin(), part.rend());
  const size_t found = find_bytes(back, back_part);
  return found == std::string_view::npos ? found : text.size() - found - part.size();
}

// The part of `text` that [start:stop] names, in code points; nothing when start is past the end.
struct Window {
  bool exists = true;
  size_t begin = 0, end = 0;  // bytes
};

Result<Window> window_of(Runtime& runtime, const Value& self, const Bound& bound, size_t first) {
  const auto& string = self.get<StringObject>();
  const auto length = static_cast<int64_t>(string.length);
  const auto part = [&](size_t index, int64_t fallback) -> Result<int64_t> {
    if (bound.given[index] && bound[index].is(Kind::kNone)) return fallback;
    LAI_TRY(const int64_t at, int_argument(bound, index, fallback));
    return at < 0 ? std::max<int64_t>(at + length, 0) : at;
  };
  LAI_TRY(const int64_t start, part(first, 0));
  LAI_TRY(const int64_t stop, part(first + 1, length));
  Window window;
  const int64_t end = std::min(stop, length);
  window.exists = start <= end && start <= length;
  if (!window.exists) return window;
  LAI_TRY_STATUS(runtime.scan(string.text.size()));
  window.begin = byte_offset(string.text, static_cast<size_t>(start));
  window.end = byte_offset(string.text, static_cast<size_t>(end));
  return window;
}

Result<Value> search(Runtime& runtime, const Value& self, Arguments& arguments, bool last,
                     bool required) {
  LAI_TRY(const Bound bound, bind_arguments("find", arguments, {"sub", "start", "end"}, 1));
  if (!bound[0].is(Kind::kString)) return invalid("find() takes a string");
  LAI_TRY(const Window window, window_of(runtime, self, bound, 1));
  size_t found = std::string_view::npos;
  const std::string_view text = self.text();
  if (window.exists) {
    const std::string_view part = text.substr(window.begin, window.end - window.begin);
    LAI_TRY_STATUS(runtime.scan(part.size()));
    found = last ? rfind_bytes(part, bound[0].text()) : find_bytes(part, bound[0].text());
  }
  if (found != std::string_view::npos)
    return Value::integer(
        static_cast<int64_t>(count_code_points(text.substr(0, window.begin + found))));
  if (required) return invalid("index(): the substring is not found");
  return Value::integer(-1);
}
Result<Value> method_find(Runtime& runtime, const Value& self, Arguments& arguments) {
  return search(runtime, self, arguments, false, false);
}
Result<Value> method_rfind(Runtime& runtime, const Value& self, Arguments& arguments) {
  return search(runtime, self, arguments, true, false);
}
Result<Value> method_index(Runtime& runtime, const Value& self, Arguments& arguments) {
  return search(runtime, self, arguments, false, true);
}
Result<Value> method_rindex(Runtime& runtime, const Value& self, Arguments& arguments) {
  return search(runtime, self, arguments, true, true);
}

Result<Value> method_count(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("count", arguments, {"sub", "start", "end"}, 1));
  if (!bound[0].is(Kind::kString)) return invalid("count() takes a string");
  LAI_TRY(const Window window, window_of(runtime, self, bound, 1));
  if (!window.exists) return Value::integer(0);
  const std::string_view text =
      std::string_view(self.text()).substr(window.begin, window.end - window.begin);
  const std::string& part = bound[0].text();
  if (part.empty()) return Value::integer(static_cast<int64_t>(count_code_points(text)) + 1);
  LAI_TRY_STATUS(runtime.scan(text.size()));
  int64_t count = 0;
  for (size_t at = find_bytes(text, part); at != std::string_view::npos;
       at = find_bytes(text, part, at + part.size())) {
    LAI_TRY_STATUS(runtime.step());
    ++count;
  }
  return Value::integer(count);
}

template <bool End>
Result<Value> method_affix(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("startswith", arguments, {"affix", "start", "end"}, 1));
  LAI_TRY(const Window window, window_of(runtime, self, bound, 1));
  const std::string_view text =
      std::string_view(self.text()).substr(window.begin, window.end - window.begin);
  const auto matches = [&](const Value& affix) -> Result<bool> {
    if (!affix.is(Kind::kString))
      return invalid("startswith() and endswith() take a string or a tuple of strings, not " +
                     std::string(type_name(affix)));
    return window.exists && (End ? text.ends_with(affix.text()) : text.starts_with(affix.text()));
  };
  if (bound[0].is(Kind::kTuple)) {
    for (const Value& affix : bound[0].items()) {
      LAI_TRY(const bool found, matches(affix));
      if (found) return Value::boolean(true);
    }
    return Value::boolean(false);
  }
  LAI_TRY(const bool found, matches(bound[0]));
  return Value::boolean(found);
}

template <bool End>
Result<Value> method_remove_affix(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("removeprefix", arguments, {"affix"}, 1));
  if (!bound[0].is(Kind::kString)) return invalid("removeprefix() takes a string");
  const std::string& text = self.text();
  const std::string& affix = bound[0].text();
  if (End && text.ends_with(affix))
    return runtime.make_string(text.substr(0, text.size() - affix.size()));
  if (!End && text.starts_with(affix)) return runtime.make_string(text.substr(affix.size()));
  return self;
}

// Pieces between runs of whitespace; from the right when `backward`, then in reverse order.
std::vector<std::string_view> split_space(std::string_view text, uint64_t splits, bool backward) {
  std::vector<std::string_view> pieces;
  text = strip_space(text);
  while (!text.empty()) {
    size_t cut = std::string_view::npos, cut_end = 0;
    if (pieces.size() < splits) {
      if (backward) {
        size_t at = text.size();
        while (at > 0) {
          size_t begin = at - 1;
          while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
          if (is_python_space(decode_utf8(text, begin).code_point)) {
            cut = begin;
            cut_end = at;
            break;
          }
          at = begin;
        }
      } else {
        for (size_t at = 0; at < text.size();) {
          const Utf8Char c = decode_utf8(text, at);
          if (is_python_space(c.code_point)) {
            cut = at;
            cut_end = at + c.bytes;
            break;
          }
          at += c.bytes;
        }
      }
    }
    if (cut == std::string_view::npos) {
      pieces.push_back(text);
      break;
    }
    pieces.push_back(backward ? text.substr(cut_end) : text.substr(0, cut));
    text = backward ? strip_space(text.substr(0, cut), false, true)
                    : strip_space(text.substr(cut_end), true, false);
  }
  return pieces;
}

std::vector<std::string_view> split_separator(std::string_view text, std::string_view separator,
                                              uint64_t splits, bool backward) {
  std::vector<size_t> places;  // of separators that do not overlap
  std::string back, back_separator;
  if (backward) {
    back.assign(text.rbegin(), text.rend());
    back_separator.assign(separator.rbegin(), separator.rend());
  }
  const std::string_view source = backward ? std::string_view(back) : text;
  const std::string_view part = backward ? std::string_view(back_separator) : separator;
  for (size_t at = find_bytes(source, part); at != std::string_view::npos;
       at = find_bytes(source, part, at + part.size())) {
    if (places.size() >= splits) break;
    places.push_back(backward ? text.size() - at - part.size() : at);
  }
  std::vector<std::string_view> pieces;
  size_t end = text.size(), begin = 0;
  for (const size_t place : places) {
    if (backward) {
      pieces.push_back(text.substr(place + separator.size(), end - place - separator.size()));
      end = place;
    } else {
      pieces.push_back(text.substr(begin, place - begin));
      begin = place + separator.size();
    }
  }
  pieces.push_back(text.substr(begin, end - begin));
  return pieces;
}

Result<Value> list_of(Runtime& runtime, const std::vector<std::string_view>& pieces) {
  LAI_TRY_STATUS(runtime.step(pieces.size()));
  std::vector<Value> items;
  items.reserve(pieces.size());
  for (const std::string_view piece : pieces) {
    LAI_TRY(Value item, runtime.make_string(std::string(piece)));
    items.push_back(std::move(item));
  }
  return runtime.make_list(std::move(items));
}

template <bool Backward>
Result<Value> method_split(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("split", arguments, {"sep", "maxsplit"}, 0));
  LAI_TRY(const int64_t count, int_argument(bound, 1, -1));
  const uint64_t splits = count < 0 ? UINT64_MAX : static_cast<uint64_t>(count);
  LAI_TRY_STATUS(runtime.scan(8 * self.text().size()));
  std::vector<std::string_view> pieces;
  if (!bound.given[0] || bound[0].is(Kind::kNone)) {
    pieces = split_space(self.text(), splits, Backward);
    if (splits == 0 && !pieces.empty() && Backward)
      pieces[0] = strip_space(self.text(), false, true);
    if (splits != UINT64_MAX && !Backward && pieces.size() == splits + 1) {
      // The rest after the last split keeps the whitespace at its end.
      const char* begin = pieces.back().data();
      pieces.back() = {begin, static_cast<size_t>(self.text().data() + self.text().size() - begin)};
    }
    if (splits != UINT64_MAX && Backward && pieces.size() == splits + 1) {
      const char* end = pieces.back().data() + pieces.back().size();
      pieces.back() = {self.text().data(), static_cast<size_t>(end - self.text().data())};
    }
  } else {
    if (!bound[0].is(Kind::kString)) return invalid("split() takes a string");
    if (bound[0].text().empty()) return invalid("split() takes a separator that is not empty");
    pieces = split_separator(self.text(), bound[0].text(), splits, Backward);
  }
  if (Backward) std::reverse(pieces.begin(), pieces.end());
  return list_of(runtime, pieces);
}

Result<Value> method_splitlines(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("splitlines", arguments, {"keepends"}, 0));
  return list_of(runtime, split_lines(self.text(), flag_argument(bound, 0)));
}

template <bool Last>
Result<Value> method_partition(Runtime& runtime, const Value& self, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("partition", arguments, {"sep"}, 1));
  if (!bound[0].is(Kind::kString) || bound[0].text().empty())
    return invalid("partition() takes a separator that is not empty");
  const std::string_view text = self.text();
  const std::string& part = bound[0].text();
  LAI_TRY_STATUS(runtime.scan(text.size()));
  const size_t at = Last ? rfind_bytes(text, part) : find_bytes(text, part);
  std::vector<std::string_view> pieces = {text, "", ""};
  if (at != std::string_view::npos) {
    pieces = {text.substr(0, at), part, text.substr(at + part.size())};
  } else if (Last) {
    pieces = {"", "", text};
  }
  LAI_TRY(const Value list, list_of(runtime, pieces));
  return runtime.make_tuple(list.items());
}

constexpr MethodEntry kMethods[] = {
    {"find", method_find},
    {"rfind", method_rfind},
    {"index", method_index},
    {"rindex", method_rindex},
    {"count", method_count},
    {"startswith", method_affix<false>},
    {"endswith", method_affix<true>},
    {"removeprefix", method_remove_affix<false>},
    {"removesuffix", method_remove_affix<true>},
    {"split", method_split<false>},
    {"rsplit", method_split<true>},
    {"splitlines", method_splitlines},
    {"partition", method_partition<false>},
    {"rpartition", method_partition<true>},
};

}  // namespace

std::span<const MethodEntry> string_search_methods() { return kMethods; }

}  // namespace localai::text::jinja
