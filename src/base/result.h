#pragma once
// Result<T>: a value or an Error. Status: success or an Error. Dropping either is a warning.
// The used surface is a subset of std::expected, so a move to C++23 is mechanical.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace localai {

// What a caller can act on; the one table to HTTP, exit code and log level is base/codes.h.
enum class Code : uint8_t {
  kInvalidArgument,
  kNotFound,
  kCorrupt,
  kUnsupported,
  kExhausted,
  kUnavailable,
  kCancelled,
  kInternal,
  kContextLength,  // a prompt that does not fit the model's context
};

struct Error {
  Code code;
  std::string message;  // outermost context first: "model.safetensors: tensor 'x': offset past end"
  [[nodiscard]] Error at(std::string_view where) && {
    return {code, std::string(where) + ": " + std::move(message)};
  }
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : v_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : v_(std::in_place_index<1>, std::move(error)) {}
  [[nodiscard]] bool ok() const { return v_.index() == 0; }
  T& operator*() {
    LAI_CHECK(ok());
    return *std::get_if<0>(&v_);
  }
  const T& operator*() const {
    LAI_CHECK(ok());
    return *std::get_if<0>(&v_);
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }
  Error& error() {
    LAI_CHECK(!ok());
    return *std::get_if<1>(&v_);
  }
  const Error& error() const {
    LAI_CHECK(!ok());
    return *std::get_if<1>(&v_);
  }

 private:
  std::variant<T, Error> v_;
};

struct Ok {};
using Status = Result<Ok>;

// Shorthands: `return invalid("port: 70000 is not within 0..65535");`
inline Error invalid(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }
inline Error not_found(std::string message) { return {Code::kNotFound, std::move(message)}; }
inline Error corrupt(std::string message) { return {Code::kCorrupt, std::move(message)}; }
inline Error unsupported(std::string message) { return {Code::kUnsupported, std::move(message)}; }
inline Error exhausted(std::string message) { return {Code::kExhausted, std::move(message)}; }
inline Error unavailable(std::string message) { return {Code::kUnavailable, std::move(message)}; }
inline Error context_length(std::string message) {
  return {Code::kContextLength, std::move(message)};
}
inline Error cancelled(std::string message) { return {Code::kCancelled, std::move(message)}; }

}  // namespace localai

#define LAI_CAT_(a, b) a##b
#define LAI_CAT(a, b) LAI_CAT_(a, b)
// LAI_TRY(auto x, expr) or LAI_TRY(auto x, expr, "context"): unwraps, or returns the error.
#define LAI_TRY(lhs, expr, ...)                                                   \
  auto LAI_CAT(r_, __LINE__) = (expr);                                            \
  if (!LAI_CAT(r_, __LINE__).ok())                                                \
    return std::move(LAI_CAT(r_, __LINE__).error()) __VA_OPT__(.at(__VA_ARGS__)); \
  lhs = std::move(*LAI_CAT(r_, __LINE__))
// LAI_TRY_STATUS(expr) or LAI_TRY_STATUS(expr, "context"): returns the error of a Status, if any.
#define LAI_TRY_STATUS(expr, ...)                                                            \
  do {                                                                                       \
    auto lai_status = (expr);                                                                \
    if (!lai_status.ok()) return std::move(lai_status.error()) __VA_OPT__(.at(__VA_ARGS__)); \
  } while (false)
