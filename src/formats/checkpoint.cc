#include "formats/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <system_error>

#include "tensor/blocks.h"

namespace localai::formats {
namespace {

namespace fs = std::filesystem;

bool is_gguf(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0;
}

// A header length below the format's limit, then the '{' of a JSON object.
bool may_be_safetensors(std::span<const std::byte> bytes) {
  uint64_t header_bytes = 0;
  if (bytes.size() <= sizeof header_bytes) return false;
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  return header_bytes <= 100'000'000 && bytes[sizeof header_bytes] == std::byte{'{'};
}

using File = std::variant<GgufFile, SafetensorsModel>;

Result<File> open_as_gguf(const fs::path& path) {
  LAI_TRY(GgufFile file, GgufFile::open(path));
  return File(std::move(file));
}

Result<File> open_as_safetensors(const fs::path& path) {
  LAI_TRY(SafetensorsModel model, SafetensorsModel::open(path));
  return File(std::move(model));
}

// By content; a name that promises a format decides for files too broken to tell, so that the
// error says what is wrong in terms of that format.
Result<File> open_file(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return open_as_safetensors(path);
  LAI_TRY(const Mapping mapping, Mapping::open(path));
  const auto bytes = mapping.bytes();
  if (is_gguf(bytes)) return open_as_gguf(path);
  if (may_be_safetensors(bytes) || path.extension() == ".safetensors")
    return open_as_safetensors(path);
  if (path.extension() == ".gguf") return open_as_gguf(path);
  return unsupported(path.string() + ": neither a GGUF nor a safetensors file");
}

}  // namespace

Result<Checkpoint> Checkpoint::open(const fs::path& path) {
  Checkpoint checkpoint;
  checkpoint.path_ = path;
  LAI_TRY(checkpoint.file_, open_file(path));
  checkpoint.index_tensors();
  return checkpoint;
}

Checkpoint Checkpoint::of(GgufFile file) {
  Checkpoint checkpoint;
  checkpoint.path_ = file.name();
  checkpoint.file_ = std::move(file);
  checkpoint.index_tensors();
  return checkpoint;
}

void Checkpoint::index_tensors() {
  index_.reserve(tensors().size());
  for (size_t i = 0; i < tensors().size(); ++i) index_.emplace(tensors()[i].name, i);
}

std::string_view Checkpoint::format() const { return gguf() != nullptr ? "gguf" : "safetensors"; }

std::string Checkpoint::architecture() const {
  if (const GgufFile* file = gguf()) {
    const auto name = file->string("general.architecture");
    return name.ok() ? name->value_or("") : "";
  }
  const auto& config = safetensors()->config();
  const auto type = config.find("model_type");
  return type != config.end() && type->is_string() ? type->get<std::string>() : "";
}

const std::vector<NamedTensor>& Checkpoint::tensors() const {
  const GgufFile* file = gguf();
  return file != nullptr ? file->tensors() : safetensors()->tensors();
}

const TensorView* Checkpoint::find(std::string_view tensor_name) const {
  const auto found = index_.find(std::string(tensor_name));
  return found == index_.end() ? nullptr : &tensors()[found->second].view;
}

Result<std::vector<float>> Checkpoint::read_floats(const TensorView& tensor) const {
  if (tensor.dtype != DType::kF32 && tensor.dtype != DType::kF16 && tensor.dtype != DType::kBF16)
    return unsupported("type " + std::string(dtype_name(tensor.dtype)) +
                       "; F32, F16 or BF16 is needed");
  std::vector<float> values(tensor.shape.elements());
  const std::span<const std::byte> mapped = {tensor.data,
                                             dtype_bytes(tensor.dtype, values.size()).value()};
  std::vector<std::byte> bytes(mapped.size());
  const auto mappings = gguf() != nullptr ? gguf()->mappings() : safetensors()->mappings();
  const auto holder = std::find_if(mappings.begin(), mappings.end(),
                                   [&](const Mapping& m) { return m.holds(mapped); });
  if (holder != mappings.end())
    LAI_TRY_STATUS(holder->read(mapped, bytes.data()));
  else
    std::copy(mapped.begin(), mapped.end(), bytes.begin());  // a file that is in memory
  dequantize(tensor.dtype, bytes.data(), values.data(), values.size());
  return values;
}

void Checkpoint::release_pages(std::span<const std::byte> bytes) { Mapping::release_pages(bytes); }

uint64_t Checkpoint::mapped_bytes() const {
  const GgufFile* file = gguf();
  return file != nullptr ? file->mapped_bytes() : safetensors()->mapped_bytes();
}

}  // namespace localai::formats
