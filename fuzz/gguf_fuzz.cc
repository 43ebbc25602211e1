// GGUF bytes: whatever they are, parsing ends in a file whose every view can be read, or an error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "base/check.h"
#include "formats/gguf.h"
#include "tensor/blocks.h"

namespace {

using localai::formats::GgufArray;
using localai::formats::GgufFile;

// Reads every element by every accessor.
size_t walk(const GgufArray& array) {
  size_t sum = 0;
  for (size_t i = 0; i < array.size(); ++i) {
    sum += array.integer(i).has_value() ? 1u : 0u;
    sum += array.number(i).has_value() ? 1u : 0u;
  }
  for (const std::string_view text : array.strings())
    for (const char c : text) sum += static_cast<uint8_t>(c);
  return sum;
}

size_t walk(const GgufFile& file) {
  size_t sum = 0;
  for (const auto& entry : file.metadata()) {
    LAI_CHECK(file.find(entry.key) == &entry.value);
    if (const auto* array = std::get_if<GgufArray>(&entry.value)) sum += walk(*array);
    const auto text = file.string(entry.key);
    sum += text.ok() ? (*text)->size() : text.error().message.size();
    sum += file.unsigned_integer(entry.key).ok() ? 1u : 0u;
    sum += file.number(entry.key).ok() ? 1u : 0u;
    sum += file.boolean(entry.key).ok() ? 1u : 0u;
  }
  for (const auto& [name, view] : file.tensors()) {
    LAI_CHECK(localai::dtype_bytes(view.dtype, view.shape.elements()) == view.bytes);
    LAI_CHECK(view.rows() * view.row_bytes() == view.bytes);
    for (uint64_t i = 0; i < view.bytes; ++i) sum += std::to_integer<size_t>(view.data[i]);
    const size_t block = localai::dtype_info(view.dtype).block_elements;
    std::vector<float> values(block);
    const bool integers = view.dtype >= localai::DType::kI8 && view.dtype <= localai::DType::kBool;
    if (!integers) localai::dequantize(view.dtype, view.data, values.data(), block);
  }
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A copy of the exact size, so that one byte too far is seen.
  const std::vector<uint8_t> copy(data, data + size);
  const auto file = GgufFile::parse(std::as_bytes(std::span(copy)), "fuzz");
  if (!file.ok()) {
    LAI_CHECK(file.error().message.starts_with("fuzz: "));
    return 0;
  }
  return walk(*file) == SIZE_MAX ? 1 : 0;
}
