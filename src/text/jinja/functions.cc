// The functions that templates can call by name.
#include <ctime>

#include "text/jinja/builtin_tables.h"
#include "text/jinja/printing.h"

namespace localai::text::jinja {
namespace {

Result<Value> function_range(Runtime& runtime, Arguments& arguments) {
  if (!arguments.named.empty()) return invalid("range() takes no named arguments");
  const auto& values = arguments.values;
  if (values.empty() || values.size() > 3) return invalid("range() takes 1 to 3 arguments");
  for (const Value& value : values)
    if (!value.is_integral())
      return invalid("range() takes integers, not " + std::string(type_name(value)));
  if (values.size() == 1) return runtime.make_range(0, values[0].as_int(), 1);
  const int64_t step = values.size() == 3 ? values[2].as_int() : 1;
  if (step == 0) return invalid("the step of range() cannot be zero");
  return runtime.make_range(values[0].as_int(), values[1].as_int(), step);
}

// dict(x, **named), where x is a dict or pairs.
Result<std::vector<std::pair<Value, Value>>> dict_entries(Runtime& runtime, Arguments& arguments) {
  std::vector<std::pair<Value, Value>> entries;
  if (arguments.values.size() > 1) return invalid("dict() takes at most 1 positional argument");
  if (!arguments.values.empty()) {
    const Value& source = arguments.values[0];
    if (source.is(Kind::kDict)) {
      entries = source.get<DictObject>().entries;
      LAI_TRY_STATUS(runtime.step(entries.size()));
    } else {
      LAI_TRY(const std::vector<Value> pairs, runtime.iterate(source));
      for (const Value& pair : pairs) {
        LAI_TRY(const std::vector<Value> parts, runtime.iterate(pair));
        if (parts.size() != 2) return invalid("dict() needs pairs of key and value");
        entries.emplace_back(parts[0], parts[1]);
      }
    }
  }
  for (auto& [name, value] : arguments.named) {
    LAI_TRY(Value key, runtime.make_string(name));
    entries.emplace_back(std::move(key), std::move(value));
  }
  return entries;
}

Result<Value> function_dict(Runtime& runtime, Arguments& arguments) {
  LAI_TRY(auto entries, dict_entries(runtime, arguments));
  return runtime.make_dict(std::move(entries));
}

Result<Value> function_namespace(Runtime& runtime, Arguments& arguments) {
  LAI_TRY(auto entries, dict_entries(runtime, arguments));
  std::vector<std::pair<std::string, Value>> members;
  for (auto& [key, value] : entries) {
    if (!key.is(Kind::kString)) return invalid("namespace() needs names that are strings");
    if (key.text().starts_with('_'))
      return invalid("a namespace has no members that start with '_': " + in_quotes(key.text()));
    members.emplace_back(key.text(), std::move(value));
  }
  return runtime.make_namespace(std::move(members));
}

Result<Value> function_raise(Runtime& runtime, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("raise_exception", arguments, {"message"}, 1));
  LAI_TRY(std::string message, to_text(runtime, bound[0]));
  runtime.mark_raised();
  return invalid(std::move(message));
}

Result<Value> function_strftime_now(Runtime& runtime, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("strftime_now", arguments, {"format"}, 1));
  if (!bound[0].is(Kind::kString)) return invalid("strftime_now() takes a string");
  const std::string& format = bound[0].text();
  constexpr size_t kFormatBytesMax = 256;
  if (format.size() > kFormatBytesMax)
    return exhausted("strftime_now(): the format is longer than " +
                     std::to_string(kFormatBytesMax) + " bytes");
  if (format.empty()) return runtime.make_string("");
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  std::tm local{};
  localtime_r(&now.tv_sec, &local);
  // %f is Python's own: microseconds. A naive datetime prints nothing for %z and %Z.
  std::string own;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      own.push_back(format[i]);
      continue;
    }
    const char c = format[++i];
    if (c == 'f') {
      const std::string micros = std::to_string(now.tv_nsec / 1000);
      own += std::string(6 - micros.size(), '0') + micros;
    } else if (c != 'z' && c != 'Z') {
      own.push_back('%');
      own.push_back(c);
    }
  }
  char buffer[8192];
  const size_t bytes = std::strftime(buffer, sizeof(buffer), own.c_str(), &local);
  return runtime.make_string(std::string(buffer, bytes));
}

constexpr GlobalEntry kFunctions[] = {
    {"range", function_range},
    {"dict", function_dict},
    {"namespace", function_namespace},
    {"raise_exception", function_raise},
    {"strftime_now", function_strftime_now},
};

}  // namespace

std::span<const GlobalEntry> global_functions() { return kFunctions; }

}  // namespace localai::text::jinja
