#pragma once
// Writes the weights of a Hugging Face directory as a stream: model.safetensors, or numbered shards
// and model.safetensors.index.json. Memory holds the headers and what the caller hands over.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "tensor/tensor_view.h"

namespace localai::formats {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

class SafetensorsWriter {
 public:
  // Into `directory`, which exists, in the order of `entries`. A tensor that alone is larger than
  // `shard_bytes_max` has a shard of its own. Errors: kInvalidArgument (no tensors; a name that
  // stands twice; a type the format does not have), and those of NewFile.
  static Result<SafetensorsWriter> create(const std::filesystem::path& directory,
                                          std::vector<SafetensorsEntry> entries,
                                          uint64_t shard_bytes_max);
  // The next bytes of the current tensor; none across the end of one.
  Status append(std::span<const std::byte> bytes);
  // Errors: kInternal when bytes are missing.
  Status finish();

  [[nodiscard]] size_t shards() const { return shards_.size(); }

 private:
  struct Shard {
    std::string file;
    size_t begin = 0, end = 0;  // entries
    uint64_t bytes = 0;
  };

  SafetensorsWriter(std::filesystem::path directory, std::vector<SafetensorsEntry> entries)
      : directory_(std::move(directory)), entries_(std::move(entries)) {}
  Status check() const;
  void divide(uint64_t shard_bytes_max);
  Status begin_shard();
  Status write_index() const;
  [[nodiscard]] uint64_t bytes_of(size_t entry) const;

  std::filesystem::path directory_;
  std::vector<SafetensorsEntry> entries_;
  std::vector<Shard> shards_;
  std::optional<NewFile> file_;
  size_t shard_ = 0, entry_ = 0;
  uint64_t written_ = 0;  // of the current entry
};

}  // namespace localai::formats
