// Filters that give numbers.
#include <cmath>
#include <cstdlib>

#include "base/number.h"
#include "text/jinja/attributes.h"
#include "text/jinja/builtin_tables.h"
#include "text/jinja/operators.h"
#include "text/jinja/unicode.h"

namespace localai::text::jinja {
namespace {

// The digits of a Python number: spaces around and single underscores between digits are allowed.
std::optional<std::string> plain_digits(std::string_view text) {
  text = strip_space(text);
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out.push_back(text[i]);
      continue;
    }
    const auto alphanumeric = [](char c) { return std::isalnum(static_cast<unsigned char>(c)); };
    if (i == 0 || i + 1 == text.size() || !alphanumeric(text[i - 1]) || !alphanumeric(text[i + 1]))
      return std::nullopt;
  }
  return out;
}

struct ParsedInteger {
  bool valid = false, fits = false;
  int64_t value = 0;
};

ParsedInteger parse_integer(std::string_view text, int base) {
  std::optional<std::string> digits = plain_digits(text);
  if (!digits) return {};
  std::string_view rest = *digits;
  const bool minus = rest.starts_with('-');
  if (minus || rest.starts_with('+')) rest.remove_prefix(1);
  const auto prefix = [&](char mark, int of) {
    if (rest.size() < 2 || rest[0] != '0' || (rest[1] | 0x20) != mark) return;
    if (base != of && base != 0) return;
    rest.remove_prefix(2);
    base = of;
  };
  if (base == 0 || base == 16) prefix('x', 16);
  if (base == 0 || base == 8) prefix('o', 8);
  if (base == 0 || base == 2) prefix('b', 2);
  if (base == 0) base = 10;
  if (rest.empty() || rest[0] == '-' || rest[0] == '+') return {};
  ParsedInteger out;
  const std::string signed_text = (minus ? "-" : "") + std::string(rest);
  const char* end = signed_text.data() + signed_text.size();
  const auto [stop, error] = std::from_chars(signed_text.data(), end, out.value, base);
  out.valid = stop == end && error != std::errc::invalid_argument;
  out.fits = error == std::errc();
  return out;
}

std::optional<double> parse_real(std::string_view text) {
  std::optional<std::string> digits = plain_digits(text);
  if (!digits || digits->empty()) return std::nullopt;
  std::string_view rest = *digits;
  const bool minus = rest[0] == '-';
  if (minus || rest[0] == '+') rest.remove_prefix(1);
  if (rest.empty() || rest[0] == '-' || rest[0] == '+') return std::nullopt;
  std::string lower;
  for (const char c : rest.substr(0, 9))
    lower.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c);
  double value = 0;
  if (lower == "inf" || lower == "infinity") {
    value = HUGE_VAL;
  } else if (lower == "nan") {
    value = std::nan("");
  } else {
    const char first = rest[0];
    if (first != '.' && (first < '0' || first > '9')) return std::nullopt;
    const auto [stop, error] =
        std::from_chars(rest.data(), rest.data() + rest.size(), value, std::chars_format::general);
    if (stop != rest.data() + rest.size() || error == std::errc::invalid_argument)
      return std::nullopt;
    // Out of range is infinity or zero in Python; strtod says which.
    if (error != std::errc()) value = std::strtod(std::string(rest).c_str(), nullptr);
  }
  return minus ? -value : value;
}

Result<Value> integer_of(double value, const Value& fallback) {
  if (!std::isfinite(value)) return fallback;
  if (std::fabs(value) >= 9223372036854775808.0)
    return invalid("int: the number does not fit in 64 bits");
  return Value::integer(static_cast<int64_t>(value));
}

Result<Value> filter_int(Runtime&, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("int", arguments, {"default", "base"}, 0));
  const Value fallback = bound.given[0] ? bound[0] : Value::integer(0);
  LAI_TRY(const int64_t base, int_argument(bound, 1, 10));
  if (base != 0 && (base < 2 || base > 36)) return fallback;
  if (input.is_integral()) return Value::integer(input.as_int());
  if (input.is(Kind::kFloat)) return integer_of(input.as_real(), fallback);
  if (input.is(Kind::kUndefined)) return invalid(std::string(input.undefined_message()));
  if (!input.is(Kind::kString)) return fallback;
  const ParsedInteger parsed = parse_integer(input.text(), static_cast<int>(base));
  if (parsed.valid && !parsed.fits) return invalid("int: the number does not fit in 64 bits");
  if (parsed.valid) return Value::integer(parsed.value);
  if (const std::optional<double> real = parse_real(input.text()))
    return integer_of(*real, fallback);
  return fallback;
}

Result<Value> filter_float(Runtime&, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("float", arguments, {"default"}, 0));
  const Value fallback = bound.given[0] ? bound[0] : Value::real(0);
  if (input.is_number()) return Value::real(input.as_real());
  if (input.is(Kind::kUndefined)) return invalid(std::string(input.undefined_message()));
  if (input.is(Kind::kString))
    if (const std::optional<double> real = parse_real(input.text())) return Value::real(*real);
  return fallback;
}

Result<Value> filter_abs(Runtime&, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound none, bind_arguments("abs", arguments, {}, 0));
  (void)none;
  if (input.is(Kind::kFloat)) return Value::real(std::fabs(input.as_real()));
  if (input.is_integral() && input.as_int() >= 0) return Value::integer(input.as_int());
  return negative(input);
}

// Python's round: to even on exact halves of the decimal value. Correct rounding of the decimal
// expansion is what printf does.
Result<Value> round_half_even(double value, int64_t precision) {
  if (!std::isfinite(value) || precision > 330) return Value::real(value);
  if (precision < -330) return Value::real(std::copysign(0.0, value));
  if (precision < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-precision));
    return Value::real(std::nearbyint(value / scale) * scale);
  }
  char buffer[700];
  std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(precision), value);
  return Value::real(std::strtod(buffer, nullptr));
}

Result<Value> round_integer(int64_t value, int64_t precision) {
  if (precision >= 0) return Value::integer(value);
  if (precision < -18) return Value::integer(0);
  int64_t scale = 1;
  for (int64_t i = 0; i < -precision; ++i) scale *= 10;
  const int64_t rest = ((value % scale) + scale) % scale;
  int64_t out = 0;
  if (__builtin_sub_overflow(value, rest, &out))
    return invalid("round: the number does not fit in 64 bits");
  const int64_t half = scale / 2;
  if (rest > half || (rest == half && out / scale % 2 != 0))
    if (__builtin_add_overflow(out, scale, &out))
      return invalid("round: the number does not fit in 64 bits");
  return Value::integer(out);
}

Result<Value> filter_round(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("round", arguments, {"precision", "method"}, 0));
  LAI_TRY(const int64_t precision, int_argument(bound, 0, 0));
  const bool given = bound.given[1] && bound[1].is(Kind::kString);
  const std::string method = given ? bound[1].text() : "common";
  if ((bound.given[1] && !given) || (method != "common" && method != "ceil" && method != "floor"))
    return invalid("round: the method is to be common, ceil or floor");
  if (!input.is_number())
    return invalid("round: the input is to be a number, not " + std::string(type_name(input)));
  if (method == "common")
    return input.is(Kind::kFloat) ? round_half_even(input.as_real(), precision)
                                  : round_integer(input.as_int(), precision);
  LAI_TRY(const Value scale,
          arithmetic(runtime, Operator::kPower, Value::integer(10), Value::integer(precision)));
  LAI_TRY(const Value scaled, arithmetic(runtime, Operator::kMultiply, input, scale));
  Value whole = scaled;
  if (scaled.is(Kind::kFloat)) {
    const double real = scaled.as_real();
    if (!std::isfinite(real)) return invalid("round: the number is not finite");
    LAI_TRY(whole, integer_of(method == "ceil" ? std::ceil(real) : std::floor(real), scaled));
  }
  return arithmetic(runtime, Operator::kDivide, whole, scale);
}

Result<Value> filter_sum(Runtime& runtime, const Value& input, Arguments& arguments) {
  LAI_TRY(const Bound bound, bind_arguments("sum", arguments, {"attribute", "start"}, 0));
  LAI_TRY(const std::vector<Value> items, runtime.iterate(input));
  Value total = bound.given[1] ? bound[1] : Value::integer(0);
  if (total.is(Kind::kString)) return invalid("sum: strings cannot be summed: use join");
  const Value attribute = bound.given[0] ? bound[0] : Value::none();
  for (const Value& item : items) {
    LAI_TRY(const Value value, attribute_path(runtime, item, attribute));
    LAI_TRY(total, arithmetic(runtime, Operator::kAdd, total, value));
  }
  return total;
}

constexpr FilterEntry kFilters[] = {
    {"int", filter_int},     {"float", filter_float}, {"abs", filter_abs},
    {"round", filter_round}, {"sum", filter_sum},
};

}  // namespace

std::span<const FilterEntry> number_filters() { return kFilters; }

}  // namespace localai::text::jinja
