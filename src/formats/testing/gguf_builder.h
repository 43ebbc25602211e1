#pragma once
// For tests: makes the bytes of a GGUF v3 file.
//
//   GgufBuilder builder;
//   builder.add("general.architecture", "llama").add("llama.block_count", uint32_t{2});
//   builder.add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"});
//   builder.tensor("output.weight", DType::kQ8_0, {4, 32}, values);  // quantized from floats
//   auto file = GgufFile::parse(bytes = builder.bytes(), "test");    // `bytes` outlives `file`
#include <concepts>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/file.h"
#include "formats/gguf.h"
#include "tensor/blocks.h"

namespace localai::formats::testing {

// Little-endian fields, one after the other.
class ByteWriter {
 public:
  template <class T>
  requires std::is_arithmetic_v<T> ByteWriter& put(T value) {
    const auto* at = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), at, at + sizeof value);
    return *this;
  }
  ByteWriter& string(std::string_view text) { return put(uint64_t{text.size()}).raw(text); }
  ByteWriter& raw(std::string_view text) { return raw(std::as_bytes(std::span(text))); }
  ByteWriter& raw(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  ByteWriter& pad_to(size_t alignment) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

template <class T>
constexpr GgufType gguf_type_of() {
  if constexpr (std::same_as<T, bool>) return GgufType::kBool;
  if constexpr (std::same_as<T, float>) return GgufType::kF32;
  if constexpr (std::same_as<T, double>) return GgufType::kF64;
  if constexpr (std::same_as<T, uint8_t>) return GgufType::kU8;
  if constexpr (std::same_as<T, int8_t>) return GgufType::kI8;
  if constexpr (std::same_as<T, uint16_t>) return GgufType::kU16;
  if constexpr (std::same_as<T, int16_t>) return GgufType::kI16;
  if constexpr (std::same_as<T, uint32_t>) return GgufType::kU32;
  if constexpr (std::same_as<T, int32_t>) return GgufType::kI32;
  if constexpr (std::same_as<T, uint64_t>) return GgufType::kU64;
  if constexpr (std::same_as<T, int64_t>) return GgufType::kI64;
}

class GgufBuilder {
 public:
  explicit GgufBuilder(uint32_t alignment = 32) : alignment_(alignment) {
    if (alignment != 32) add("general.alignment", alignment);
  }

  // A number or bool; its C++ type chooses the GGUF type.
  template <class T>
  requires std::is_arithmetic_v<T> GgufBuilder& add(std::string_view key, T value) {
    begin(key, gguf_type_of<T>()).put(value);
    return *this;
  }
  GgufBuilder& add(std::string_view key, std::string_view value) {
    begin(key, GgufType::kString).string(value);
    return *this;
  }
  GgufBuilder& add(std::string_view key, const char* value) {
    return add(key, std::string_view(value));
  }
  GgufBuilder& add(std::string_view key, const std::vector<std::string>& values) {
    begin_array(key, GgufType::kString, values.size());
    for (const std::string& value : values) metadata_.string(value);
    return *this;
  }
  template <class T>
  requires std::is_arithmetic_v<T> GgufBuilder& add(std::string_view key,
                                                    const std::vector<T>& values) {
    begin_array(key, gguf_type_of<T>(), values.size());
    for (const T value : values) metadata_.put(value);
    return *this;
  }

  // `shape` is row-major (slowest first); `data` is the tensor's bytes as they are stored.
  GgufBuilder& tensor(std::string_view name, DType dtype, const std::vector<uint64_t>& shape,
                      std::span<const std::byte> data) {
    infos_.string(name).put(static_cast<uint32_t>(shape.size()));
    for (size_t i = shape.size(); i-- > 0;) infos_.put(shape[i]);
    infos_.put(dtype_info(dtype).ggml_id).put(uint64_t{data_.bytes().size()});
    data_.raw(data).pad_to(alignment_);
    ++tensor_count_;
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
    ByteWriter out;
    out.raw("GGUF").put(uint32_t{3}).put(tensor_count_).put(entry_count_);
    out.raw(metadata_.bytes()).raw(infos_.bytes());
    if (tensor_count_ > 0) out.pad_to(alignment_).raw(data_.bytes());
    return out.bytes();
  }
  [[nodiscard]] Status write(const std::filesystem::path& path) const {
    return write_file_atomically(path, bytes());
  }

 private:
  ByteWriter& begin(std::string_view key, GgufType type) {
    ++entry_count_;
    return metadata_.string(key).put(static_cast<uint32_t>(type));
  }
  void begin_array(std::string_view key, GgufType type, uint64_t size) {
    begin(key, GgufType::kArray).put(static_cast<uint32_t>(type)).put(size);
  }

  uint32_t alignment_;
  uint64_t tensor_count_ = 0;
  uint64_t entry_count_ = 0;
  ByteWriter metadata_, infos_, data_;
};

}  // namespace localai::formats::testing
