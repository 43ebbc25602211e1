#pragma once
// Models on disk: what the models directory holds, and where a relative path leads.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace localai::runtime {

struct ModelFile {
  std::string name;  // file without ".gguf" (and without "-00001-of-00003"), or the folder's name
  std::filesystem::path path;
  std::string format;             // "gguf", "safetensors"
  uint64_t bytes = 0;             // of all weight files
  std::string source = "models";  // "models", or the store it was found in (model_stores.h)
};

// Where other programs keep models; empty: not looked at.
struct ModelStores {
  std::filesystem::path hugging_face, ollama;
  std::vector<std::filesystem::path> lm_studio;
};

// "gguf", "safetensors", or "" when `path` is neither a .gguf file (or a blob of Ollama's), a
// .safetensors file nor a folder with safetensors. Decided by names alone; nothing is opened.
std::string model_format(const std::filesystem::path& path);
// Bytes on disk of all weight files of the model at `path`, a split GGUF's other shards included.
uint64_t model_bytes_on_disk(const std::filesystem::path& path);
// One spelling per file, links resolved, so that two names for a file mean one model in memory.
// `path` itself when the file is not there.
std::filesystem::path canonical_path(const std::filesystem::path& path);
std::string model_name_of(const std::filesystem::path& path);
// "name-00002-of-00003.gguf": part of another file's model.
bool is_later_shard(const std::filesystem::path& path);

// Thread-safe: holds paths only and looks at the disk on every call.
class ModelCatalog {
 public:
  // `config_dir` may be empty (no config file).
  ModelCatalog(std::filesystem::path config_dir, std::filesystem::path models_dir,
               ModelStores stores = {});

  // Everything below the models directory (at most 4 levels deep, 20,000 entries), by name.
  [[nodiscard]] std::vector<ModelFile> scan_models_dir() const;
  // The same, then what the stores hold.
  [[nodiscard]] std::vector<ModelFile> scan() const;
  // A path as written in a config: absolute, or relative to the config's folder, the working
  // directory, the models directory. Errors: kNotFound, naming what was tried.
  [[nodiscard]] Result<std::filesystem::path> find_path(const std::string& path) const;
  // A model of scan() by name; Ollama's tag "latest" may be left out. Errors: kNotFound.
  [[nodiscard]] Result<ModelFile> find_name(const std::string& name) const;
  // Is `path` below one of the three folders by its spelling (no "..")? What a remote client may
  // name; links that the operator put there are followed.
  [[nodiscard]] bool contains(const std::filesystem::path& path) const;

 private:
  std::vector<std::filesystem::path> roots_;  // in order of look-up
  std::filesystem::path models_dir_;
  ModelStores stores_;
};

}  // namespace localai::runtime
