#include "engine/model_identity.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

namespace localai::engine {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSampleBytes = 256;

Status add_file(Sha256& hash, const fs::path& path) {
  std::error_code error;
  const uint64_t bytes = fs::file_size(path, error);
  const fs::file_time_type time = error ? fs::file_time_type{} : fs::last_write_time(path, error);
  if (error) return not_found(path.string() + ": " + error.message());
  hash.add(path.filename().string())
      .add(bytes)
      .add(static_cast<uint64_t>(time.time_since_epoch().count()));
  return Ok{};
}

Status add_files(Sha256& hash, const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return add_file(hash, path);
  std::vector<fs::path> files;
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error))
    if (at->path().extension() == ".safetensors") files.push_back(at->path());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) LAI_TRY_STATUS(add_file(hash, file));
  return Ok{};
}

void add_samples(Sha256& hash, std::span<const std::byte> bytes) {
  const size_t count = std::min(kSampleBytes, bytes.size());
  hash.add(bytes.first(count)).add(bytes.last(count));
  hash.add(bytes.subspan((bytes.size() - count) / 2, count));
}

}  // namespace

Result<Digest> model_identity(const LoadedModel& loaded, DType kv_dtype) {
  Sha256 hash;
  LAI_TRY_STATUS(add_file(hash, fs::canonical("/proc/self/exe")));
  const models::ModelInfo& info = loaded.model->info();
  hash.add(info.architecture).add(info.name).add(info.weight_types);
  hash.add(static_cast<uint64_t>(loaded.precision)).add(static_cast<uint64_t>(kv_dtype));
  if (loaded.checkpoint == nullptr) return hash.digest();
  LAI_TRY_STATUS(add_files(hash, loaded.checkpoint->path()));
  for (const formats::NamedTensor& tensor : loaded.checkpoint->tensors()) {
    hash.add(tensor.name).add(static_cast<uint64_t>(tensor.view.dtype));
    hash.add(tensor.view.rows()).add(tensor.view.cols());
    add_samples(hash, {tensor.view.data, tensor.view.bytes});
  }
  return hash.digest();
}

}  // namespace localai::engine
