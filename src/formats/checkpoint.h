#pragma once
// A model on disk, whatever its format: formats end here. Above there are named tensors with a
// type, a shape and mapped bytes, and one of two kinds of metadata.
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"

namespace localai::formats {

class Checkpoint {
 public:
  // A .gguf file, a directory with safetensors, or one .safetensors file. Decided by content
  // (magic) for files. Errors: kNotFound, kCorrupt, kUnsupported; all name the path.
  static Result<Checkpoint> open(const std::filesystem::path& path);

  // A GGUF file that was opened already.
  static Checkpoint of(GgufFile file);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // Exactly one of the two is not null.
  [[nodiscard]] const GgufFile* gguf() const { return std::get_if<GgufFile>(&file_); }
  [[nodiscard]] const SafetensorsModel* safetensors() const {
    return std::get_if<SafetensorsModel>(&file_);
  }
  [[nodiscard]] std::string_view format() const;  // "gguf" or "safetensors"
  // general.architecture, or model_type of config.json; "" when neither says.
  [[nodiscard]] std::string architecture() const;

  [[nodiscard]] const std::vector<NamedTensor>& tensors() const;
  [[nodiscard]] const TensorView* find(std::string_view tensor_name) const;
  [[nodiscard]] uint64_t mapped_bytes() const;
  // The values of a small tensor, without a page of the mapping in memory for them. Errors:
  // kUnsupported (not F32, F16 or BF16), kCorrupt (the file has become shorter), kInternal.
  [[nodiscard]] Result<std::vector<float>> read_floats(const TensorView& tensor) const;
  // Gives the memory of `bytes`, a part of a tensor, back to the system; reading them again reads
  // the file again.
  static void release_pages(std::span<const std::byte> bytes);

 private:
  void index_tensors();

  std::filesystem::path path_;
  std::variant<GgufFile, SafetensorsModel> file_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace localai::formats
