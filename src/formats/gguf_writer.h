#pragma once
// Writes GGUF v3 files as a stream: first what the header says, then the tensors' bytes in the
// order they were declared. Memory holds the header and what the caller hands over.
//
//   GgufHeader header;
//   header.add("general.architecture", "llama").add("llama.block_count", uint32_t{2});
//   header.tensor("output.weight", DType::kQ8_0, make_shape({4, 32}));
//   LAI_TRY(GgufWriter writer, GgufWriter::create(path, header));
//   LAI_TRY_STATUS(writer.append(bytes));  // any pieces, none across the end of a tensor
//   LAI_TRY_STATUS(writer.finish());
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
#include "tensor/tensor_view.h"

namespace localai::formats {

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

// Metadata and declared tensors: all that comes before the data. What is wrong with it is said by
// check(), which GgufWriter::create() calls.
class GgufHeader {
 public:
  // `alignment` is a power of two; the key is written when it is not the default.
  explicit GgufHeader(uint32_t alignment = 32);

  // A number or bool; its C++ type chooses the GGUF type.
  template <class T>
  requires std::is_arithmetic_v<T> GgufHeader& add(std::string_view key, T value) {
    begin(key, gguf_type_of<T>()).put(value);
    return *this;
  }
  GgufHeader& add(std::string_view key, std::string_view value) {
    begin(key, GgufType::kString).string(value);
    return *this;
  }
  GgufHeader& add(std::string_view key, const char* value) {
    return add(key, std::string_view(value));
  }
  GgufHeader& add(std::string_view key, const std::vector<std::string>& values);
  template <class T>
  requires std::is_arithmetic_v<T> GgufHeader& add(std::string_view key,
                                                   const std::vector<T>& values) {
    begin_array(key, gguf_type_of<T>(), values.size());
    for (const T value : values) metadata_.put(value);
    return *this;
  }
  // An entry of another file, unchanged.
  GgufHeader& add(const GgufEntry& entry);

  // Declares the next tensor. `shape` is row-major (slowest first), as everywhere above the format.
  GgufHeader& tensor(std::string_view name, DType dtype, const Shape& shape);

  // Errors: kInvalidArgument: a key or tensor name that is empty, too long, holds a NUL byte or
  // stands twice; a type GGUF does not have; rows that are not whole blocks; too many dimensions.
  [[nodiscard]] Status check() const;
  // The bytes of the file up to the tensor data, padding included.
  [[nodiscard]] std::vector<std::byte> bytes() const;
  [[nodiscard]] uint32_t alignment() const { return alignment_; }
  // Bytes of each tensor, in order, without padding. Valid after check().
  [[nodiscard]] std::vector<uint64_t> tensor_bytes() const;

 private:
  struct Declared {
    std::string name;
    DType dtype;
    Shape shape;
  };
  ByteWriter& begin(std::string_view key, GgufType type);
  void begin_array(std::string_view key, GgufType type, uint64_t size);

  uint32_t alignment_;
  std::vector<std::string> keys_;
  ByteWriter metadata_;
  std::vector<Declared> tensors_;
};

// Move-only; not thread-safe.
class GgufWriter {
 public:
  // Errors: what GgufHeader::check() finds; kExhausted when the disk cannot hold the whole file;
  // kNotFound, kInternal. All name the path. Nothing is to be seen at `path` before finish().
  static Result<GgufWriter> create(const std::filesystem::path& path, const GgufHeader& header);

  // The next bytes of the tensor data, in pieces of any size; none may cross the end of a tensor.
  // Padding is added between tensors. Errors: kExhausted, kInternal.
  Status append(std::span<const std::byte> bytes);
  // Syncs and puts the file into its place. Errors: kInternal when bytes are missing.
  Status finish();
  [[nodiscard]] uint64_t file_bytes() const { return file_bytes_; }  // of the finished file

 private:
  GgufWriter(std::filesystem::path path, NewFile file)
      : path_(std::move(path)), file_(std::move(file)) {}
  void open_next_tensor();

  std::filesystem::path path_;
  NewFile file_;
  uint32_t alignment_ = 32;
  std::vector<uint64_t> tensor_bytes_;
  uint64_t file_bytes_ = 0;
  size_t current_ = 0;    // the tensor being written
  uint64_t written_ = 0;  // bytes of it
};

}  // namespace localai::formats
