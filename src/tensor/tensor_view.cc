#include "tensor/tensor_view.h"

#include <algorithm>

#include "base/check.h"

namespace localai {

uint64_t Shape::elements() const {
  uint64_t product = 1;
  for (uint32_t i = 0; i < rank; ++i) product *= dims[i];
  return product;
}

std::string Shape::text() const {
  std::string out = "[";
  for (uint32_t i = 0; i < rank; ++i) {
    if (i > 0) out += ", ";
    out += std::to_string(dims[i]);
  }
  return out + "]";
}

bool Shape::operator==(const Shape& other) const {
  return rank == other.rank && std::equal(dims.begin(), dims.begin() + rank, other.dims.begin());
}

Shape make_shape(std::initializer_list<uint64_t> dims) {
  LAI_CHECK(dims.size() <= kRankMax);
  Shape shape;
  for (const uint64_t dim : dims) shape.dims[shape.rank++] = dim;
  return shape;
}

}  // namespace localai
