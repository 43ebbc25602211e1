// A Hugging Face model directory: config.json, and one weight file or the shards of an index.
#include <simdjson.h>

#include <set>
#include <system_error>
#include <unordered_map>
#include <unordered_set>

#include "base/log.h"
#include "formats/quote.h"
#include "formats/safetensors.h"

namespace localai::formats {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kConfigBytesMax = 4u << 20;
constexpr uint64_t kIndexBytesMax = 64u << 20;

Result<Json> read_config(const fs::path& directory) {
  const fs::path path = directory / "config.json";
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return Json::object();
  LAI_TRY(const std::string text, read_file(path, kConfigBytesMax));
  LAI_TRY(Json config, parse_json(text), path.string());
  if (!config.is_object()) return invalid(path.string() + ": not a JSON object");
  return config;
}

// Only a name in the index's own directory: the index is untrusted.
bool is_plain_file_name(std::string_view name) {
  return !name.empty() &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos &&
         name.find("..") == std::string_view::npos && name.ends_with(".safetensors");
}

struct Index {
  std::unordered_map<std::string, std::string> file_of;  // tensor -> shard
  std::set<std::string> files;
};

Result<Index> parse_index(std::string_view text) {
  namespace dom = simdjson::dom;
  dom::parser parser;
  dom::element root;
  if (const auto error = parser.parse(text.data(), text.size()).get(root);
      error != simdjson::SUCCESS)
    return corrupt(std::string("not valid JSON: ") + simdjson::error_message(error));
  dom::object weight_map;
  if (root["weight_map"].get(weight_map) != simdjson::SUCCESS)
    return corrupt("'weight_map' is missing or not an object");
  Index index;
  for (const dom::key_value_pair pair : weight_map) {
    std::string_view file;
    if (pair.value.get(file) != simdjson::SUCCESS)
      return corrupt("weight_map: the file of tensor " + quote(pair.key) + " is not a string");
    if (!is_plain_file_name(file))
      return corrupt("weight_map: tensor " + quote(pair.key) + ": " + quote(file) +
                     " is not the plain name of a .safetensors file");
    if (!index.file_of.emplace(pair.key, file).second)
      return corrupt("weight_map: tensor " + quote(pair.key) + " stands twice");
    index.files.emplace(file);
  }
  if (index.files.empty()) return corrupt("'weight_map' names no file");
  return index;
}

}  // namespace

Status SafetensorsModel::add_file(const fs::path& path) {
  LAI_TRY(Mapping mapping, Mapping::open(path));
  LAI_TRY(SafetensorsHeader header, read_safetensors(mapping.bytes(), path.string()));
  mappings_.push_back(std::move(mapping));
  metadata_.merge(header.metadata);
  for (NamedTensor& tensor : header.tensors) tensors_.push_back(std::move(tensor));
  return Ok{};
}

Status SafetensorsModel::add_shards(const fs::path& index_path) {
  LAI_TRY(const std::string text, read_file(index_path, kIndexBytesMax));
  LAI_TRY(const Index index, parse_index(text), index_path.string());
  std::unordered_set<std::string> seen;
  for (const std::string& file : index.files) {
    const fs::path path = directory_ / file;
    const size_t before = tensors_.size();
    LAI_TRY_STATUS(add_file(path));
    for (size_t i = before; i < tensors_.size(); ++i) {
      const std::string& name = tensors_[i].name;
      if (!seen.insert(name).second)
        return corrupt(path.string() + ": tensor " + quote(name) + " stands in two shards");
      const auto mapped = index.file_of.find(name);
      if (mapped == index.file_of.end()) {
        log::warn("{}: tensor {} is not in the index", path.string(), quote(name));
      } else if (mapped->second != file) {
        return corrupt(index_path.string() + ": weight_map: tensor " + quote(name) +
                       " is said to be in " + quote(mapped->second) + ", but it is in " +
                       quote(file));
      }
    }
  }
  for (const auto& [name, file] : index.file_of)
    if (!seen.contains(name))
      return corrupt(index_path.string() + ": weight_map: tensor " + quote(name) + " is not in " +
                     quote(file));
  return Ok{};
}

Result<SafetensorsModel> SafetensorsModel::open(const fs::path& path) {
  SafetensorsModel model;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return not_found(path.string() + ": no such file or directory");
  const bool is_directory = fs::is_directory(path, ignored);
  model.directory_ = is_directory ? path : path.parent_path();
  LAI_TRY(model.config_, read_config(model.directory_));
  const fs::path single = is_directory ? path / "model.safetensors" : path;
  const fs::path index = path / "model.safetensors.index.json";
  if (fs::exists(single, ignored)) {  // where both are there, Hugging Face takes the single file
    LAI_TRY_STATUS(model.add_file(single));
  } else if (fs::exists(index, ignored)) {
    LAI_TRY_STATUS(model.add_shards(index));
  } else {
    return not_found(path.string() +
                     ": holds neither model.safetensors nor model.safetensors.index.json");
  }
  return model;
}

uint64_t SafetensorsModel::mapped_bytes() const {
  uint64_t bytes = 0;
  for (const Mapping& mapping : mappings_) bytes += mapping.bytes().size();
  return bytes;
}

}  // namespace localai::formats
