#include "runtime/model_catalog.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <system_error>

#include "base/number.h"
#include "runtime/model_stores.h"

namespace localai::runtime {
namespace {

namespace fs = std::filesystem;

constexpr int kDepthMax = 4;  // links may form circles
constexpr size_t kEntriesMax = 20'000;

// "name-00002-of-00003" of a split GGUF set.
struct Shard {
  std::string name;
  uint32_t index = 0, count = 0;
};

std::optional<Shard> parse_shard(const std::string& stem) {
  constexpr size_t kSuffix = 15;  // "-00001-of-00003"
  if (stem.size() <= kSuffix) return std::nullopt;
  const std::string_view suffix = std::string_view(stem).substr(stem.size() - kSuffix);
  if (suffix[0] != '-' || suffix.substr(6, 4) != "-of-") return std::nullopt;
  const auto index = parse_number<uint32_t>(suffix.substr(1, 5));
  const auto count = parse_number<uint32_t>(suffix.substr(10, 5));
  if (!index || !count) return std::nullopt;
  return Shard{stem.substr(0, stem.size() - kSuffix), *index, *count};
}

std::vector<fs::path> files_with(const fs::path& folder, const std::string& extension) {
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->path().extension() == extension && entry->is_regular_file(ignored))
      files.push_back(entry->path());
  }
  return files;
}

uint64_t size_of(const fs::path& file) {
  std::error_code error;
  const uint64_t size = fs::file_size(file, error);
  return error ? 0 : size;
}

bool same_set(const fs::path& file, const Shard& first) {
  const auto shard = parse_shard(file.stem().string());
  return shard && shard->name == first.name && shard->count == first.count;
}

// Ollama's blobs have no extension: "sha256-" and 64 hexadecimal digits.
bool is_ollama_blob(const std::string& name) {
  constexpr std::string_view kPrefix = "sha256-";
  return name.starts_with(kPrefix) && name.size() == kPrefix.size() + 64 &&
         name.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string::npos;
}

void scan_folder(const fs::path& folder, int depth, size_t& entries_left,
                 std::vector<ModelFile>& found) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end && entries_left > 0;
       entry.increment(error), --entries_left) {
    std::error_code ignored;
    const fs::path& path = entry->path();
    const std::string format = model_format(path);
    if (is_later_shard(path)) continue;
    if (!format.empty() && path.extension() != ".safetensors")
      found.push_back({model_name_of(path), path, format, model_bytes_on_disk(path), "models"});
    else if (depth < kDepthMax && entry->is_directory(ignored))
      scan_folder(path, depth + 1, entries_left, found);
  }
}

bool by_name(const ModelFile& a, const ModelFile& b) {
  return std::tie(a.name, a.path) < std::tie(b.name, b.path);
}

}  // namespace

std::string model_format(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error))
    return files_with(path, ".safetensors").empty() ? "" : "safetensors";
  if (!fs::is_regular_file(path, error)) return "";
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (extension == ".gguf" || is_ollama_blob(path.filename().string())) return "gguf";
  return extension == ".safetensors" ? "safetensors" : "";
}

uint64_t model_bytes_on_disk(const fs::path& path) {
  std::error_code error;
  uint64_t bytes = 0;
  if (fs::is_directory(path, error)) {
    for (const fs::path& file : files_with(path, ".safetensors")) bytes += size_of(file);
    return bytes;
  }
  const auto shard = parse_shard(path.stem().string());
  if (!shard) return size_of(path);
  for (const fs::path& file : files_with(path.parent_path(), ".gguf"))
    if (same_set(file, *shard)) bytes += size_of(file);
  return bytes;
}

fs::path canonical_path(const fs::path& path) {
  std::error_code error;
  // The other shards of a set are found by the name, which a link's target need not have.
  const bool keep_name = parse_shard(path.stem().string()).has_value();
  const fs::path clean =
      keep_name ? fs::canonical(path.has_parent_path() ? path.parent_path() : ".", error) /
                      path.filename()
                : fs::canonical(path, error);
  return error ? path : clean;
}

bool is_later_shard(const fs::path& path) {
  const auto shard = parse_shard(path.stem().string());
  return path.extension() == ".gguf" && shard && shard->index != 1;
}

std::string model_name_of(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    const fs::path clean = (path / "").lexically_normal().parent_path();
    return clean.filename().string();
  }
  const std::string stem = path.stem().string();
  const auto shard = parse_shard(stem);
  return shard ? shard->name : stem;
}

ModelCatalog::ModelCatalog(fs::path config_dir, fs::path models_dir, ModelStores stores)
    : models_dir_(std::move(models_dir)), stores_(std::move(stores)) {
  if (!config_dir.empty()) roots_.push_back(std::move(config_dir));
  roots_.emplace_back(".");
  roots_.push_back(models_dir_);
}

std::vector<ModelFile> ModelCatalog::scan_models_dir() const {
  std::vector<ModelFile> found;
  size_t entries_left = kEntriesMax;
  scan_folder(models_dir_, 1, entries_left, found);
  std::sort(found.begin(), found.end(), by_name);
  return found;
}

std::vector<ModelFile> ModelCatalog::scan() const {
  std::vector<ModelFile> found = scan_models_dir();
  std::vector<ModelFile> others = scan_stores(stores_);
  std::sort(others.begin(), others.end(), by_name);
  found.insert(found.end(), others.begin(), others.end());
  return found;
}

Result<fs::path> ModelCatalog::find_path(const std::string& path) const {
  std::string tried;
  for (const fs::path& root : roots_) {
    const fs::path full = (root / path).lexically_normal();  // an absolute path replaces the root
    if (!path.empty() && !model_format(full).empty()) return full;
    tried += (tried.empty() ? "" : ", ") + root.lexically_normal().string();
  }
  return not_found("'" + path + "': no GGUF file or safetensors folder of that path in " + tried);
}

Result<ModelFile> ModelCatalog::find_name(const std::string& name) const {
  for (ModelFile& file : scan_models_dir())
    if (file.name == name) return std::move(file);
  for (ModelFile& file : scan_stores(stores_))
    if (file.name == name || (file.source == "ollama" && file.name == name + ":latest"))
      return std::move(file);
  return not_found("no model named '" + name + "' in " + models_dir_.string());
}

bool ModelCatalog::contains(const fs::path& path) const {
  std::error_code error;
  const fs::path full = fs::absolute(path, error).lexically_normal();
  if (error) return false;
  return std::any_of(roots_.begin(), roots_.end(), [&](const fs::path& root) {
    const fs::path base = (fs::absolute(root, error) / "").lexically_normal().parent_path();
    const auto [base_end, rest] = std::mismatch(base.begin(), base.end(), full.begin(), full.end());
    return !error && base_end == base.end() && rest != full.end();
  });
}

}  // namespace localai::runtime
