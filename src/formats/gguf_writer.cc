#include "formats/gguf_writer.h"

#include <array>
#include <bit>
#include <limits>
#include <unordered_set>

#include "formats/quote.h"

namespace localai::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "fields are put as they lie in memory");

constexpr uint64_t padded(uint64_t bytes, uint64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

Status check_name(const std::string& what, const std::string& name, size_t bytes_max) {
  if (name.empty()) return invalid(what + " is empty");
  if (name.size() > bytes_max)
    return invalid(what + " " + quote(name) + " has " + std::to_string(name.size()) +
                   " bytes, over the limit of " + std::to_string(bytes_max));
  if (name.find('\0') != std::string::npos)
    return invalid(what + " " + quote(name) + " holds a NUL byte");
  return Ok{};
}

std::optional<uint64_t> bytes_of(DType dtype, const Shape& shape) {
  uint64_t elements = 1;
  for (uint32_t i = 0; i < shape.rank; ++i)
    if (__builtin_mul_overflow(elements, shape[i], &elements)) return std::nullopt;
  if (elements > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return dtype_bytes(dtype, elements);
}

Status check_tensor(DType dtype, const Shape& shape) {
  const DTypeInfo& info = dtype_info(dtype);
  if (info.ggml_id < 0) return invalid("GGUF has no type " + std::string(info.name));
  if (shape.rank > kGgufRankMax)
    return invalid(std::to_string(shape.rank) + " dimensions, over the limit of " +
                   std::to_string(kGgufRankMax));
  for (uint32_t i = 0; i < shape.rank; ++i)
    if (shape[i] == 0) return invalid("dimension " + std::to_string(i) + " is 0");
  const uint64_t cols = shape.rank == 0 ? 1 : shape[shape.rank - 1];
  if (cols % info.block_elements != 0)
    return invalid("rows of " + std::to_string(cols) + " elements are not whole blocks of " +
                   std::to_string(info.block_elements) + " (" + std::string(info.name) + ")");
  if (!bytes_of(dtype, shape))
    return invalid("shape " + shape.text() + ": its bytes overflow 64 bits");
  return Ok{};
}

}  // namespace

GgufHeader::GgufHeader(uint32_t alignment) : alignment_(alignment) {
  LAI_CHECK(std::has_single_bit(alignment));
  if (alignment != 32) add("general.alignment", alignment);
}

ByteWriter& GgufHeader::begin(std::string_view key, GgufType type) {
  keys_.emplace_back(key);
  return metadata_.string(key).put(static_cast<uint32_t>(type));
}

void GgufHeader::begin_array(std::string_view key, GgufType type, uint64_t size) {
  begin(key, GgufType::kArray).put(static_cast<uint32_t>(type)).put(size);
}

GgufHeader& GgufHeader::add(std::string_view key, const std::vector<std::string>& values) {
  begin_array(key, GgufType::kString, values.size());
  for (const std::string& value : values) metadata_.string(value);
  return *this;
}

GgufHeader& GgufHeader::add(const GgufEntry& entry) {
  const auto unsigned_value = [&] { return std::get<uint64_t>(entry.value); };
  const auto signed_value = [&] { return std::get<int64_t>(entry.value); };
  switch (entry.type) {
    case GgufType::kU8:
      return add(entry.key, static_cast<uint8_t>(unsigned_value()));
    case GgufType::kU16:
      return add(entry.key, static_cast<uint16_t>(unsigned_value()));
    case GgufType::kU32:
      return add(entry.key, static_cast<uint32_t>(unsigned_value()));
    case GgufType::kU64:
      return add(entry.key, unsigned_value());
    case GgufType::kI8:
      return add(entry.key, static_cast<int8_t>(signed_value()));
    case GgufType::kI16:
      return add(entry.key, static_cast<int16_t>(signed_value()));
    case GgufType::kI32:
      return add(entry.key, static_cast<int32_t>(signed_value()));
    case GgufType::kI64:
      return add(entry.key, signed_value());
    case GgufType::kF32:
      return add(entry.key, static_cast<float>(std::get<double>(entry.value)));
    case GgufType::kF64:
      return add(entry.key, std::get<double>(entry.value));
    case GgufType::kBool:
      return add(entry.key, std::get<bool>(entry.value));
    case GgufType::kString:
      return add(entry.key, std::get<std::string_view>(entry.value));
    case GgufType::kArray:
      break;
  }
  const auto& array = std::get<GgufArray>(entry.value);
  begin_array(entry.key, array.type(), array.size());
  metadata_.raw(array.packed());
  return *this;
}

GgufHeader& GgufHeader::tensor(std::string_view name, DType dtype, const Shape& shape) {
  tensors_.push_back({std::string(name), dtype, shape});
  return *this;
}

Status GgufHeader::check() const {
  std::unordered_set<std::string_view> seen;
  for (const std::string& key : keys_) {
    LAI_TRY_STATUS(check_name("key", key, kGgufKeyBytesMax));
    if (!seen.insert(key).second) return invalid("key " + quote(key) + " stands twice");
  }
  seen.clear();
  for (const Declared& tensor : tensors_) {
    LAI_TRY_STATUS(check_name("tensor", tensor.name, kGgufTensorNameBytesMax));
    if (!seen.insert(tensor.name).second)
      return invalid("tensor " + quote(tensor.name) + " stands twice");
    LAI_TRY_STATUS(check_tensor(tensor.dtype, tensor.shape), "tensor " + quote(tensor.name));
  }
  return Ok{};
}

std::vector<uint64_t> GgufHeader::tensor_bytes() const {
  std::vector<uint64_t> out;
  out.reserve(tensors_.size());
  for (const Declared& tensor : tensors_)
    out.push_back(bytes_of(tensor.dtype, tensor.shape).value());
  return out;
}

std::vector<std::byte> GgufHeader::bytes() const {
  ByteWriter out;
  out.raw("GGUF").put(uint32_t{3}).put(uint64_t{tensors_.size()}).put(uint64_t{keys_.size()});
  out.raw(metadata_.bytes());
  uint64_t offset = 0;
  for (const Declared& tensor : tensors_) {
    out.string(tensor.name).put(tensor.shape.rank);
    for (uint32_t i = tensor.shape.rank; i-- > 0;) out.put(tensor.shape[i]);
    out.put(dtype_info(tensor.dtype).ggml_id).put(offset);
    offset += padded(bytes_of(tensor.dtype, tensor.shape).value_or(0), alignment_);
  }
  if (!tensors_.empty()) out.pad_to(alignment_);
  return out.bytes();
}

Result<GgufWriter> GgufWriter::create(const std::filesystem::path& path, const GgufHeader& header) {
  LAI_TRY_STATUS(header.check(), path.string());
  LAI_TRY(NewFile file, NewFile::create(path));
  GgufWriter writer(path, std::move(file));
  writer.alignment_ = header.alignment();
  writer.tensor_bytes_ = header.tensor_bytes();
  const std::vector<std::byte> head = header.bytes();
  writer.file_bytes_ = head.size();
  for (const uint64_t bytes : writer.tensor_bytes_)
    writer.file_bytes_ += padded(bytes, writer.alignment_);
  LAI_TRY_STATUS(writer.file_.reserve(writer.file_bytes_));
  LAI_TRY_STATUS(writer.file_.append(head));
  return writer;
}

Status GgufWriter::append(std::span<const std::byte> bytes) {
  if (current_ == tensor_bytes_.size() || bytes.size() > tensor_bytes_[current_] - written_)
    return Error{Code::kInternal, path_.string() + ": more bytes than tensor " +
                                      std::to_string(current_) + " of " +
                                      std::to_string(tensor_bytes_.size()) + " has"};
  LAI_TRY_STATUS(file_.append(bytes));
  written_ += bytes.size();
  if (written_ < tensor_bytes_[current_]) return Ok{};
  const std::vector<std::byte> padding(padded(written_, alignment_) - written_);
  ++current_;
  written_ = 0;
  return file_.append(padding);
}

Status GgufWriter::finish() {
  if (current_ != tensor_bytes_.size())
    return Error{Code::kInternal, path_.string() + ": the data of tensor " +
                                      std::to_string(current_) + " of " +
                                      std::to_string(tensor_bytes_.size()) + " is not complete"};
  return file_.commit();
}

}  // namespace localai::formats
