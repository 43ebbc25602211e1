#pragma once
// GGUF v2/v3 files, read-only over a mapping. Every byte is untrusted: each length, offset and
// count is checked before use, and an error names the file, the field and the value.
// Source: the GGUF specification (ggml repository, docs/gguf.md); architectures' keys are not
// interpreted here.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "formats/named_tensor.h"

namespace localai::formats {

inline constexpr uint64_t kGgufKeyBytesMax = 65535;      // the GGUF specification's limit
inline constexpr uint64_t kGgufTensorNameBytesMax = 63;  // GGML_MAX_NAME less its terminator
inline constexpr uint32_t kGgufRankMax = 4;              // GGML_MAX_DIMS

enum class GgufType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

// "u8", "string": as messages say it.
std::string_view gguf_type_name(GgufType type);

// A number of any width, widened.
using GgufScalar = std::variant<uint64_t, int64_t, double, bool>;

// An array stays in the mapping; elements are decoded on access.
class GgufArray {
 public:
  [[nodiscard]] GgufType type() const { return type_; }
  [[nodiscard]] size_t size() const { return size_; }
  // The element; std::nullopt when it is a string or `index` is past the end.
  [[nodiscard]] std::optional<GgufScalar> scalar(size_t index) const;
  // The same as an integer (a bool is 0 or 1; no floats) or as a double (integers too);
  // std::nullopt when it is of another type or does not fit.
  [[nodiscard]] std::optional<int64_t> integer(size_t index) const;
  [[nodiscard]] std::optional<double> number(size_t index) const;
  // All strings, in order; empty when the element type is not string. Views into the mapping.
  [[nodiscard]] std::vector<std::string_view> strings() const;
  // The elements as they are packed in the file.
  [[nodiscard]] std::span<const std::byte> packed() const { return bytes_; }

 private:
  friend class GgufReader;
  GgufType type_ = GgufType::kU8;
  size_t size_ = 0;
  std::span<const std::byte> bytes_;  // the packed elements, validated when the file was read
};

// Integers widen to int64/uint64, floats to double.
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray>;

struct GgufEntry {
  std::string_view key;
  GgufType type;
  GgufValue value;
};

// Thread-compatible: const after open.
class GgufFile {
 public:
  // The file, or shard 1 of a split set ("name-00001-of-00003.gguf": the others are opened too;
  // metadata is that of shard 1). Errors: kNotFound; kCorrupt and kUnsupported name the file, the
  // field and the value.
  static Result<GgufFile> open(const std::filesystem::path& path);
  // One file's bytes, which outlive the object. `name` stands in messages. Other shards of a split
  // set are not looked for.
  static Result<GgufFile> parse(std::span<const std::byte> bytes, std::string name);

  [[nodiscard]] const std::vector<GgufEntry>& metadata() const { return metadata_; }
  [[nodiscard]] const GgufValue* find(std::string_view key) const;
  // Typed look-ups: absent -> nullopt; present with another type -> kCorrupt naming file and key.
  [[nodiscard]] Result<std::optional<std::string>> string(std::string_view key) const;
  [[nodiscard]] Result<std::optional<uint64_t>> unsigned_integer(std::string_view key) const;
  [[nodiscard]] Result<std::optional<double>> number(std::string_view key) const;
  [[nodiscard]] Result<std::optional<bool>> boolean(std::string_view key) const;
  [[nodiscard]] Result<std::optional<GgufArray>> array(std::string_view key) const;

  [[nodiscard]] const std::vector<NamedTensor>& tensors() const { return tensors_; }
  [[nodiscard]] const std::string& name() const { return name_; }  // path, for messages
  [[nodiscard]] uint32_t version() const { return version_; }
  [[nodiscard]] uint64_t mapped_bytes() const;  // of all shards
  [[nodiscard]] std::span<const Mapping> mappings() const { return mappings_; }

 private:
  friend class GgufReader;
  Status add_shards(const std::filesystem::path& first, uint64_t count);
  [[nodiscard]] Error wrong_type(std::string_view key, std::string_view wanted) const;

  std::string name_;
  uint32_t version_ = 0;
  std::vector<Mapping> mappings_;
  std::vector<GgufEntry> metadata_;
  std::unordered_map<std::string_view, size_t> index_;  // key -> position in metadata_
  std::vector<NamedTensor> tensors_;
};

}  // namespace localai::formats
