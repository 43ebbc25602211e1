#pragma once
// NumPy .npy files, written row by row. Source: NEP 1 (format version 1.0), float32 in C order.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>

#include "base/result.h"

namespace localai::formats {

class NpyWriter {
 public:
  // A file of shape [rows, cols]. Until finish() it is named "PATH.part".
  static Result<NpyWriter> create(const std::filesystem::path& path, uint64_t rows, uint64_t cols);
  Status append(std::span<const float> values);
  // Errors: kInternal when a write failed or other than rows * cols values were appended.
  Status finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  NpyWriter(std::filesystem::path path, uint64_t values_left, std::FILE* file)
      : path_(std::move(path)), values_left_(values_left), file_(file) {}
  [[nodiscard]] std::filesystem::path part() const { return path_.string() + ".part"; }

  std::filesystem::path path_;
  uint64_t values_left_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace localai::formats
