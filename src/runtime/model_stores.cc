#include "runtime/model_stores.h"

#include <algorithm>
#include <optional>
#include <system_error>

#include "base/file.h"
#include "base/json.h"

namespace localai::runtime {
namespace {

namespace fs = std::filesystem;

constexpr size_t kEntriesMax = 20'000;
constexpr uint64_t kManifestBytesMax = uint64_t{1} << 20;
constexpr uint64_t kRefBytesMax = 256;
constexpr size_t kLayersMax = 64;

// One walk over all stores, with one bound on its work.
class Walk {
 public:
  // Sorted, so that what a bound cuts off is always the same.
  std::vector<fs::path> entries(const fs::path& folder) {
    std::error_code error;
    std::vector<fs::path> out;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end && left_ > 0;
         entry.increment(error), --left_)
      out.push_back(entry->path());
    std::sort(out.begin(), out.end());
    return out;
  }

  std::vector<fs::path> folders(const fs::path& folder) {
    std::vector<fs::path> out = entries(folder);
    std::erase_if(out, [](const fs::path& path) {
      std::error_code ignored;
      return !fs::is_directory(path, ignored);
    });
    return out;
  }

 private:
  size_t left_ = kEntriesMax;
};

bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

// The models of one repository's folder: its safetensors, or its GGUF files.
void add_folder(const std::string& name, const fs::path& folder, const std::string& source,
                Walk& walk, std::vector<ModelFile>& found) {
  if (const std::string format = model_format(folder); !format.empty()) {
    found.push_back({name, folder, format, model_bytes_on_disk(folder), source});
    return;
  }
  std::vector<fs::path> files = walk.entries(folder);
  std::erase_if(files, [](const fs::path& path) {
    return model_format(path) != "gguf" || is_later_shard(path);
  });
  for (const fs::path& file : files)
    found.push_back({files.size() == 1 ? name : name + ":" + model_name_of(file), file, "gguf",
                     model_bytes_on_disk(file), source});
}

// "models--org--name" -> "org/name".
std::optional<std::string> repository_name(const std::string& folder) {
  constexpr std::string_view kPrefix = "models--";
  if (!folder.starts_with(kPrefix)) return std::nullopt;
  std::string name = folder.substr(kPrefix.size());
  if (const size_t dashes = name.find("--"); dashes != std::string::npos)
    name.replace(dashes, 2, "/");
  return name;
}

// The snapshot that refs/main names, else the first there is.
std::optional<fs::path> snapshot_of(const fs::path& repository, Walk& walk) {
  std::error_code ignored;
  if (auto ref = read_file(repository / "refs" / "main", kRefBytesMax); ref.ok()) {
    while (!ref->empty() && (ref->back() == '\n' || ref->back() == ' ')) ref->pop_back();
    const fs::path named = repository / "snapshots" / *ref;
    if (is_plain_name(*ref) && fs::is_directory(named, ignored)) return named;
  }
  const std::vector<fs::path> all = walk.folders(repository / "snapshots");
  return all.empty() ? std::nullopt : std::optional<fs::path>(all.front());
}

void scan_hugging_face(const fs::path& hub, Walk& walk, std::vector<ModelFile>& found) {
  for (const fs::path& repository : walk.folders(hub)) {
    const auto name = repository_name(repository.filename().string());
    if (!name) continue;
    if (const auto snapshot = snapshot_of(repository, walk))
      add_folder(*name, *snapshot, "huggingface", walk, found);
  }
}

void scan_lm_studio(const fs::path& root, Walk& walk, std::vector<ModelFile>& found) {
  for (const fs::path& publisher : walk.folders(root))
    for (const fs::path& model : walk.folders(publisher))
      add_folder(publisher.filename().string() + "/" + model.filename().string(), model, "lmstudio",
                 walk, found);
}

// The blob of the model layer; nothing when the manifest is not one, or names anything but a blob.
std::optional<fs::path> blob_of(const fs::path& manifest, const fs::path& root) {
  const auto text = read_file(manifest, kManifestBytesMax);
  if (!text.ok()) return std::nullopt;
  const auto json = parse_json(*text);
  if (!json.ok() || !json->is_object()) return std::nullopt;
  const auto layers = json->find("layers");
  if (layers == json->end() || !layers->is_array()) return std::nullopt;
  for (size_t i = 0; i < std::min(layers->size(), kLayersMax); ++i) {
    const Json& layer = (*layers)[i];
    if (!layer.is_object()) continue;
    const auto type = layer.find("mediaType"), digest = layer.find("digest");
    if (type == layer.end() || *type != "application/vnd.ollama.image.model") continue;
    if (digest == layer.end() || !digest->is_string()) continue;
    std::string name = digest->get<std::string>();
    std::replace(name.begin(), name.end(), ':', '-');
    const fs::path blob = root / "blobs" / name;
    if (is_plain_name(name) && model_format(blob) == "gguf") return blob;
  }
  return std::nullopt;
}

// manifests/HOST/NAMESPACE/NAME/TAG. The defaults of host and namespace are left out of the name.
void scan_ollama(const fs::path& root, Walk& walk, std::vector<ModelFile>& found) {
  for (const fs::path& host : walk.folders(root / "manifests"))
    for (const fs::path& space : walk.folders(host))
      for (const fs::path& model : walk.folders(space))
        for (const fs::path& tag : walk.entries(model)) {
          const auto blob = blob_of(tag, root);
          if (!blob) continue;
          std::string name;
          if (host.filename() != "registry.ollama.ai") name += host.filename().string() + "/";
          if (space.filename() != "library") name += space.filename().string() + "/";
          name += model.filename().string() + ":" + tag.filename().string();
          found.push_back({name, *blob, "gguf", model_bytes_on_disk(*blob), "ollama"});
        }
}

}  // namespace

ModelStores stores_of(const Environment& environment) {
  const auto folder = [&](std::string_view name, const fs::path& otherwise) {
    const std::string value = environment(name).value_or("");
    return value.empty() ? otherwise : fs::path(value);
  };
  // A service may have no HOME: then only what the variables name is looked at.
  const auto below = [](const fs::path& base, const char* rest) {
    return base.empty() ? base : base / rest;
  };
  const fs::path home = folder("HOME", "");
  const fs::path cache = folder("XDG_CACHE_HOME", below(home, ".cache"));
  const fs::path hugging_face = folder("HF_HOME", below(cache, "huggingface"));
  ModelStores out;
  out.hugging_face = folder("HF_HUB_CACHE", below(hugging_face, "hub"));
  out.ollama = folder("OLLAMA_MODELS", below(home, ".ollama/models"));
  if (!home.empty()) out.lm_studio = {home / ".lmstudio/models", home / ".cache/lm-studio/models"};
  return out;
}

std::vector<ModelFile> scan_stores(const ModelStores& stores) {
  Walk walk;
  std::vector<ModelFile> found;
  if (!stores.hugging_face.empty()) scan_hugging_face(stores.hugging_face, walk, found);
  if (!stores.ollama.empty()) scan_ollama(stores.ollama, walk, found);
  for (const fs::path& root : stores.lm_studio) scan_lm_studio(root, walk, found);
  return found;
}

}  // namespace localai::runtime
