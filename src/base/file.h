#pragma once
// Files: read-only mappings and whole small files. Errors name the path.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

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
  [[nodiscard]] bool holds(std::span<const std::byte> part) const;
  // Copies `part`, of this mapping, without touching its pages: a fault would map up to 2 MiB
  // around them. Errors: kCorrupt (the file has become shorter), kInternal.
  Status read(std::span<const std::byte> part, std::byte* out) const;
  // Bytes of this mapping that are in memory now (mincore). For the ledger and for tests.
  [[nodiscard]] uint64_t resident_bytes() const;
  // Gives the memory of the pages that lie wholly inside `part`, a part of some mapping, back to
  // the system. They stay readable: the file is read again then.
  static void release_pages(std::span<const std::byte> part);

 private:
  Mapping(const std::byte* data, size_t size, int fd) : data_(data), size_(size), fd_(fd) {}
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;
};

// The whole file as text. Errors: kNotFound; kInvalidArgument when it is longer than `bytes_max`.
Result<std::string> read_file(const std::filesystem::path& path, uint64_t bytes_max);

// A file being written that nobody sees before commit(): readers find the old one or the whole new
// one at `path`. It has no name until then where the file system can do that (so that even a killed
// process leaves nothing behind), else a temporary one, removed with the object. Move-only.
class NewFile {
 public:
  // Errors: kNotFound (the directory), kInternal; both name the path.
  static Result<NewFile> create(const std::filesystem::path& path);
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&& other) noexcept;
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile();

  // Claims disk space for a file of `bytes`, so that a disk too small is known before the work.
  // Errors: kExhausted. File systems that cannot say accept everything.
  Status reserve(uint64_t bytes);
  // Errors: kExhausted (the disk is full), kInternal.
  Status append(std::span<const std::byte> bytes);
  // Waits until the bytes are on the disk and puts the file into its place. Last call.
  Status commit();

 private:
  NewFile(std::filesystem::path path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}
  std::filesystem::path path_;
  std::string temporary_;  // the name it has until commit(); empty: none
  int fd_ = -1;
};

// Writes the whole file as above.
Status write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace localai
