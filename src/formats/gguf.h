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
#include <variant>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "formats/named_tensor.h"

namespace localai::formats {

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

// An array stays in the mapping; elements are decoded on access.
class GgufArray {
 public:
  [[nodiscard]] GgufType type() const;
  [[nodiscard]] size_t size() const;
  // Numbers of any width widen; std::nullopt when the type does not fit (a string asked as a
  // number).
  [[nodiscard]] std::optional<int64_t> integer(size_t index) const;
  [[nodiscard]] std::optional<double> number(size_t index) const;
  // All strings, in order; empty when the element type is not string. Views into the mapping.
  [[nodiscard]] std::vector<std::string_view> strings() const;

 private:
  friend class GgufReader;
  GgufType type_ = GgufType::kU8;
  uint64_t size_ = 0;
  std::span<const std::byte> bytes_;
};

// Integers widen to int64/uint64, floats to double.
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray>;

struct GgufEntry {
  std::string_view key;
  GgufType type;
  GgufValue value;
};

class GgufFile {
 public:
  // The file, or shard 1 of a split set ("name-00001-of-00003.gguf": the others are opened too).
  static Result<GgufFile> open(const std::filesystem::path& path);
  // For fuzzing and tests: parses bytes that outlive the object. `name` stands in messages.
  static Result<GgufFile> parse(std::span<const std::byte> bytes, std::string name);

  [[nodiscard]] const std::vector<GgufEntry>& metadata() const;
  [[nodiscard]] const GgufValue* find(std::string_view key) const;
  // Typed look-ups: absent -> nullopt; present with another type -> kCorrupt naming file and key.
  [[nodiscard]] Result<std::optional<std::string>> string(std::string_view key) const;
  [[nodiscard]] Result<std::optional<uint64_t>> unsigned_integer(std::string_view key) const;
  [[nodiscard]] Result<std::optional<double>> number(std::string_view key) const;
  [[nodiscard]] Result<std::optional<bool>> boolean(std::string_view key) const;
  [[nodiscard]] Result<std::optional<GgufArray>> array(std::string_view key) const;

  [[nodiscard]] const std::vector<NamedTensor>& tensors() const;
  [[nodiscard]] const std::string& name() const;  // path, for messages
  [[nodiscard]] uint32_t version() const;
  [[nodiscard]] uint64_t mapped_bytes() const;  // of all shards

 private:
  friend class GgufReader;
  std::string name_;
  uint32_t version_ = 0;
  std::vector<Mapping> mappings_;
  std::vector<GgufEntry> metadata_;
  std::vector<NamedTensor> tensors_;
};

}  // namespace localai::formats
