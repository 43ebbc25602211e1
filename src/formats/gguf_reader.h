#pragma once
// Inside formats/: one pass over the bytes of one GGUF file.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf.h"

namespace localai::formats {

// Reads little-endian fields front to back and never past the end.
class ByteCursor {
 public:
  explicit ByteCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}
  [[nodiscard]] uint64_t position() const { return at_; }
  [[nodiscard]] uint64_t remaining() const { return bytes_.size() - at_; }

  // The next sizeof(T) bytes. Errors: kCorrupt naming `what`, when the file ends before.
  template <class T>
  Result<T> number(std::string_view what);
  // `count` bytes as they lie. Errors: as above.
  Result<std::span<const std::byte>> take(uint64_t count, std::string_view what);
  // A u64 length and as many bytes.
  Result<std::string_view> string(std::string_view what);
  // Past strings like that, `count` at most, as many as there are whole. Returns how many: a
  // vocabulary has a quarter of a million.
  uint64_t skip_strings(uint64_t count);

 private:
  std::span<const std::byte> bytes_;
  uint64_t at_ = 0;
};

class GgufReader {
 public:
  explicit GgufReader(std::span<const std::byte> bytes) : bytes_(bytes), cursor_(bytes) {}
  Result<GgufFile> read(std::string name);

 private:
  struct TensorPlace {
    uint64_t offset = 0;  // from the start of the data section
    uint64_t bytes = 0;
    size_t index = 0;
  };

  Status read_header();
  Status read_metadata();
  Result<GgufValue> read_value(GgufType type);
  Result<GgufValue> read_array();
  Result<std::span<const std::byte>> take_array(GgufType type, uint64_t count);
  Status read_alignment();
  Status read_tensor_infos();
  Result<NamedTensor> read_tensor_info(TensorPlace& place);
  Result<Shape> read_shape();
  Status place_tensors();
  Status check_overlaps();

  std::span<const std::byte> bytes_;
  ByteCursor cursor_;
  uint64_t tensor_count_ = 0;
  uint64_t entry_count_ = 0;
  uint64_t alignment_ = 32;
  std::vector<TensorPlace> places_;
  GgufFile file_;
};

}  // namespace localai::formats
