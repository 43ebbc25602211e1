#pragma once
// Numbers out of text and sizes out of products, checked. No locale, no exceptions.
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace localai {

// The whole of `text` as a number, or nothing (empty, trailing characters, out of range).
template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// a * b and a + b in 64 bits, or nothing when they do not fit.
inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t out = 0;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}
inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t out = 0;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

}  // namespace localai
