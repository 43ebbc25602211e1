// safetensors bytes: parsing ends in tensors that tile the data exactly, or an error.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<uint8_t> copy(data, data + size);
  const auto header = localai::formats::read_safetensors(std::as_bytes(std::span(copy)), "fuzz");
  if (!header.ok()) {
    LAI_CHECK(header.error().message.starts_with("fuzz: "));
    return 0;
  }
  size_t sum = 0;
  uint64_t tensor_bytes = 0;
  for (const auto& [name, view] : header->tensors) {
    LAI_CHECK(localai::dtype_bytes(view.dtype, view.shape.elements()) == view.bytes);
    for (uint64_t i = 0; i < view.bytes; ++i) sum += std::to_integer<size_t>(view.data[i]);
    tensor_bytes += view.bytes;
    sum += name.size() + view.rows();
  }
  LAI_CHECK(tensor_bytes <= size);
  return sum == SIZE_MAX ? 1 : 0;
}
