#pragma once
// A typed, shaped view over bytes that someone else owns (a mapping or an arena).
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "tensor/dtype.h"

namespace localai {

inline constexpr size_t kRankMax = 8;

// Dimensions in the order of memory, slowest first: a Linear weight is [out, in]. (GGUF lists them
// the other way round; its reader reverses them.)
struct Shape {
  std::array<uint64_t, kRankMax> dims{};
  uint32_t rank = 0;

  [[nodiscard]] uint64_t operator[](size_t i) const { return dims[i]; }
  [[nodiscard]] uint64_t elements() const;  // checked when the shape was read
  [[nodiscard]] std::string text() const;   // "[2, 3]"
  bool operator==(const Shape& other) const;
};
Shape make_shape(std::initializer_list<uint64_t> dims);

struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  const std::byte* data = nullptr;  // any alignment
  uint64_t bytes = 0;

  // As a matrix [rows, cols]: cols is the last dimension, rows the product of the others.
  [[nodiscard]] uint64_t cols() const { return shape.rank == 0 ? 1 : shape[shape.rank - 1]; }
  [[nodiscard]] uint64_t rows() const { return cols() == 0 ? 0 : shape.elements() / cols(); }
  [[nodiscard]] uint64_t row_bytes() const {
    const uint64_t count = rows();
    return count == 0 ? 0 : bytes / count;
  }
};

}  // namespace localai
