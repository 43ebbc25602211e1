#pragma once
// Files: read-only mappings and whole small files. Errors name the path.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "base/result.h"

namespace localai {

// A whole file mapped read-only. Pages are read when first touched. Move-only, thread-safe to read.
// The bytes stay valid as long as the object; a file that is truncated while mapped raises SIGBUS
// on access, so weights are installed by rename, never rewritten in place.
class Mapping {
 public:
  // Errors: kNotFound, kInvalidArgument (a directory, an empty file), kInternal (mmap failed).
  static Result<Mapping> open(const std::filesystem::path& path);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Bytes of this mapping that are in memory now (mincore). For the ledger and for tests.
  [[nodiscard]] uint64_t resident_bytes() const;

 private:
  Mapping(const std::byte* data, size_t size) : data_(data), size_(size) {}
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// The whole file as text. Errors: kNotFound; kInvalidArgument when it is longer than `bytes_max`.
Result<std::string> read_file(const std::filesystem::path& path, uint64_t bytes_max);

// Writes to a temporary file beside `path`, then renames: readers see the old or the new, never
// half.
Status write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace localai
