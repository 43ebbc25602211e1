#pragma once
// For tests: makes the bytes of a GGUF v3 file.
//
//   GgufBuilder builder;
//   builder.add("general.architecture", "llama").add("llama.block_count", uint32_t{2});
//   builder.add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"});
//   builder.tensor("output.weight", DType::kQ8_0, {4, 32}, values);  // quantized from floats
//   auto file = GgufFile::parse(bytes = builder.bytes(), "test");    // `bytes` outlives `file`
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "formats/gguf_writer.h"
#include "tensor/blocks.h"

namespace localai::formats::testing {

using formats::ByteWriter;

class GgufBuilder {
 public:
  explicit GgufBuilder(uint32_t alignment = 32) : header_(alignment) {}

  // As GgufHeader::add(); nothing is checked, so that wrong files can be made too.
  template <class T>
  GgufBuilder& add(std::string_view key, const T& value) {
    header_.add(key, value);
    return *this;
  }

  // `shape` is row-major (slowest first); `data` is the tensor's bytes as they are stored.
  GgufBuilder& tensor(std::string_view name, DType dtype, const std::vector<uint64_t>& shape,
                      std::span<const std::byte> data) {
    Shape dims;
    for (const uint64_t dim : shape) dims.dims[dims.rank++] = dim;
    header_.tensor(name, dtype, dims);
    data_.raw(data).pad_to(header_.alignment());
    return *this;
  }
  // The same, converted from floats. `values` has as many elements as the shape.
  GgufBuilder& tensor(std::string_view name, DType dtype, const std::vector<uint64_t>& shape,
                      const std::vector<float>& values) {
    std::vector<std::byte> data(dtype_bytes(dtype, values.size()).value());
    quantize(dtype, values.data(), data.data(), values.size());
    return tensor(name, dtype, shape, std::span<const std::byte>(data));
  }

  [[nodiscard]] std::vector<std::byte> bytes() const {
    return ByteWriter().raw(header_.bytes()).raw(data_.bytes()).bytes();
  }
  [[nodiscard]] Status write(const std::filesystem::path& path) const {
    return write_file_atomically(path, bytes());
  }

 private:
  GgufHeader header_;
  ByteWriter data_;
};

}  // namespace localai::formats::testing
