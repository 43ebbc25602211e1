#pragma once
// safetensors: one file, or a Hugging Face directory (single or sharded with index.json).
// Every byte is untrusted. Source: the safetensors README, section "Format".
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/result.h"
#include "formats/named_tensor.h"

namespace localai::formats {

struct SafetensorsHeader {
  std::vector<NamedTensor> tensors;  // in file order; views into `bytes`
  std::map<std::string, std::string> metadata;
};

// Parses one file's bytes, which outlive the result. `name` stands in messages.
// Errors: kCorrupt (names file, tensor and numbers), kUnsupported (a dtype nobody defined).
Result<SafetensorsHeader> read_safetensors(std::span<const std::byte> bytes,
                                           const std::string& name);

// A model directory: config.json and the weights mapped. Thread-compatible: const after open.
class SafetensorsModel {
 public:
  // A directory, or a single .safetensors file (its directory then supplies config.json).
  // Errors: kNotFound, kCorrupt, kUnsupported, kInvalidArgument (config.json); all name the file.
  static Result<SafetensorsModel> open(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
  [[nodiscard]] const Json& config() const { return config_; }  // config.json; {} when absent
  [[nodiscard]] const std::vector<NamedTensor>& tensors() const { return tensors_; }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
  [[nodiscard]] uint64_t mapped_bytes() const;
  [[nodiscard]] std::span<const Mapping> mappings() const { return mappings_; }

 private:
  Status add_file(const std::filesystem::path& path);
  Status add_shards(const std::filesystem::path& index_path);

  std::filesystem::path directory_;
  Json config_;
  std::vector<Mapping> mappings_;
  std::vector<NamedTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace localai::formats
