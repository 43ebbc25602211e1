#include "formats/npy.h"

#include <bit>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

namespace localai::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "the header says '<f4'");

// Magic, version 1.0, a 16-bit length, and a Python dict padded with spaces so that the data starts
// at a multiple of 64.
std::string npy_header(uint64_t rows, uint64_t cols) {
  std::string dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) +
                     ", " + std::to_string(cols) + "), }";
  constexpr size_t kPrefix = 10, kAlign = 64;
  while ((kPrefix + dict.size() + 1) % kAlign != 0) dict += ' ';
  dict += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(dict.size() & 0xff);
  out += static_cast<char>(dict.size() >> 8);
  return out + dict;
}

Error write_error(const std::filesystem::path& path) {
  return {Code::kInternal, path.string() + ": write: " + std::strerror(errno)};
}

}  // namespace

Result<NpyWriter> NpyWriter::create(const std::filesystem::path& path, uint64_t rows,
                                    uint64_t cols) {
  const std::string part = path.string() + ".part";
  std::FILE* file = std::fopen(part.c_str(), "wb");
  if (file == nullptr) return invalid(part + ": cannot be written: " + std::strerror(errno));
  NpyWriter writer(path, rows * cols, file);
  const std::string header = npy_header(rows, cols);
  if (std::fwrite(header.data(), 1, header.size(), file) != header.size()) return write_error(part);
  return writer;
}

Status NpyWriter::append(std::span<const float> values) {
  if (values.size() > values_left_)
    return Error{Code::kInternal, path_.string() + ": more values than the shape holds"};
  values_left_ -= values.size();
  if (std::fwrite(values.data(), sizeof(float), values.size(), file_.get()) != values.size())
    return write_error(part());
  return Ok{};
}

Status NpyWriter::finish() {
  if (values_left_ != 0)
    return Error{Code::kInternal,
                 path_.string() + ": " + std::to_string(values_left_) + " values are missing"};
  if (std::fclose(file_.release()) != 0) return write_error(part());
  std::error_code error;
  std::filesystem::rename(part(), path_, error);
  if (error) return Error{Code::kInternal, path_.string() + ": rename: " + error.message()};
  return Ok{};
}

}  // namespace localai::formats
