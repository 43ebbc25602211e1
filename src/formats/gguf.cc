#include "formats/gguf.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <unordered_set>

#include "formats/gguf_reader.h"
#include "formats/quote.h"

namespace localai::formats {
namespace {

template <class T>
T load(std::span<const std::byte> bytes, size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof value);
  return value;
}

// "-00002-of-00003.gguf": the specification counts shards from 1, split.no from 0.
std::string shard_suffix(uint64_t number, uint64_t count) {
  std::array<char, 64> out{};
  std::snprintf(out.data(), out.size(), "-%05llu-of-%05llu.gguf",
                static_cast<unsigned long long>(number), static_cast<unsigned long long>(count));
  return out.data();
}

}  // namespace

std::string_view gguf_type_name(GgufType type) {
  static constexpr std::array<std::string_view, 13> kNames = {
      "u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
      "bool", "string", "array", "u64", "i64", "f64"};
  const auto index = static_cast<size_t>(type);
  LAI_CHECK(index < kNames.size());
  return kNames[index];
}

std::optional<GgufScalar> GgufArray::scalar(size_t index) const {
  if (index >= size_) return std::nullopt;
  switch (type_) {
    case GgufType::kU8:
      return GgufScalar(uint64_t{load<uint8_t>(bytes_, index)});
    case GgufType::kU16:
      return GgufScalar(uint64_t{load<uint16_t>(bytes_, index)});
    case GgufType::kU32:
      return GgufScalar(uint64_t{load<uint32_t>(bytes_, index)});
    case GgufType::kU64:
      return GgufScalar(load<uint64_t>(bytes_, index));
    case GgufType::kI8:
      return GgufScalar(int64_t{load<int8_t>(bytes_, index)});
    case GgufType::kI16:
      return GgufScalar(int64_t{load<int16_t>(bytes_, index)});
    case GgufType::kI32:
      return GgufScalar(int64_t{load<int32_t>(bytes_, index)});
    case GgufType::kI64:
      return GgufScalar(load<int64_t>(bytes_, index));
    case GgufType::kF32:
      return GgufScalar(double{load<float>(bytes_, index)});
    case GgufType::kF64:
      return GgufScalar(load<double>(bytes_, index));
    case GgufType::kBool:
      return GgufScalar(load<uint8_t>(bytes_, index) != 0);
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  return std::nullopt;
}

std::optional<int64_t> GgufArray::integer(size_t index) const {
  const auto value = scalar(index);
  if (!value) return std::nullopt;
  if (const auto* i = std::get_if<int64_t>(&*value)) return *i;
  if (const auto* b = std::get_if<bool>(&*value)) return *b ? 1 : 0;
  const auto* u = std::get_if<uint64_t>(&*value);
  if (u == nullptr || *u > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<int64_t>(*u);
}

std::optional<double> GgufArray::number(size_t index) const {
  const auto value = scalar(index);
  if (!value) return std::nullopt;
  if (const auto* d = std::get_if<double>(&*value)) return *d;
  if (const auto* i = std::get_if<int64_t>(&*value)) return static_cast<double>(*i);
  if (const auto* u = std::get_if<uint64_t>(&*value)) return static_cast<double>(*u);
  return std::nullopt;
}

std::vector<std::string_view> GgufArray::strings() const {
  std::vector<std::string_view> out;
  if (type_ != GgufType::kString) return out;
  out.reserve(size_);
  const auto* at = reinterpret_cast<const char*>(bytes_.data());
  for (size_t i = 0; i < size_; ++i) {
    uint64_t size = 0;
    std::memcpy(&size, at, sizeof size);
    out.emplace_back(at + sizeof size, size);
    at += sizeof size + size;
  }
  return out;
}

Result<GgufFile> GgufFile::parse(std::span<const std::byte> bytes, std::string name) {
  return GgufReader(bytes).read(std::move(name));
}

Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  LAI_TRY(Mapping mapping, Mapping::open(path));
  LAI_TRY(GgufFile file, parse(mapping.bytes(), path.string()));
  file.mappings_.push_back(std::move(mapping));
  LAI_TRY(const auto count, file.unsigned_integer("split.count"));
  if (count.value_or(1) > 1) LAI_TRY_STATUS(file.add_shards(path, *count));
  return file;
}

Status GgufFile::add_shards(const std::filesystem::path& first, uint64_t count) {
  LAI_TRY(const auto number, unsigned_integer("split.no"));
  if (number != 0)
    return invalid(name_ + ": key 'split.no': this is shard " +
                   std::to_string(number.value_or(0) + 1) + " of " + std::to_string(count) +
                   "; open the first one");
  const std::string suffix = shard_suffix(1, count), file_name = first.filename().string();
  if (!file_name.ends_with(suffix))
    return invalid(name_ + ": the first of " + std::to_string(count) + " shards must be named *" +
                   suffix);
  const std::string prefix = file_name.substr(0, file_name.size() - suffix.size());
  std::unordered_set<std::string> names;
  for (const NamedTensor& tensor : tensors_) names.insert(tensor.name);
  for (uint64_t i = 1; i < count; ++i) {
    const std::filesystem::path path = first.parent_path() / (prefix + shard_suffix(i + 1, count));
    LAI_TRY(Mapping mapping, Mapping::open(path));
    LAI_TRY(const GgufFile shard, parse(mapping.bytes(), path.string()));
    LAI_TRY(const auto shard_number, shard.unsigned_integer("split.no"));
    LAI_TRY(const auto shard_count, shard.unsigned_integer("split.count"));
    if (shard_number != i || shard_count != count)
      return corrupt(shard.name() + ": keys 'split.no' and 'split.count' do not say shard " +
                     std::to_string(i) + " (from 0) of " + std::to_string(count));
    for (const NamedTensor& tensor : shard.tensors()) {
      if (!names.insert(tensor.name).second)
        return corrupt(shard.name() + ": tensor " + quote(tensor.name) +
                       " stands in an earlier shard too");
      tensors_.push_back(tensor);
    }
    mappings_.push_back(std::move(mapping));
  }
  LAI_TRY(const auto total, unsigned_integer("split.tensors.count"));
  if (total != tensors_.size())
    return corrupt(name_ +
                   ": key 'split.tensors.count': " + (total ? std::to_string(*total) : "missing") +
                   ", but the " + std::to_string(count) + " shards hold " +
                   std::to_string(tensors_.size()) + " tensors");
  return Ok{};
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &metadata_[found->second].value;
}

Error GgufFile::wrong_type(std::string_view key, std::string_view wanted) const {
  const GgufEntry& entry = metadata_[index_.find(key)->second];
  return corrupt(name_ + ": key " + quote(key) + ": type " +
                 std::string(gguf_type_name(entry.type)) + " where " + std::string(wanted) +
                 " is expected");
}

Result<std::optional<std::string>> GgufFile::string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::string>();
  const auto* held = std::get_if<std::string_view>(value);
  if (held == nullptr) return wrong_type(key, "a string");
  return std::optional<std::string>(*held);
}

Result<std::optional<uint64_t>> GgufFile::unsigned_integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<uint64_t>();
  if (const auto* u = std::get_if<uint64_t>(value)) return std::optional<uint64_t>(*u);
  const auto* i = std::get_if<int64_t>(value);
  if (i == nullptr) return wrong_type(key, "an unsigned integer");
  if (*i < 0)
    return corrupt(name_ + ": key " + quote(key) + ": " + std::to_string(*i) + " is negative");
  return std::optional<uint64_t>(static_cast<uint64_t>(*i));
}

Result<std::optional<double>> GgufFile::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<double>();
  if (const auto* d = std::get_if<double>(value)) return std::optional<double>(*d);
  if (const auto* u = std::get_if<uint64_t>(value))
    return std::optional<double>(static_cast<double>(*u));
  if (const auto* i = std::get_if<int64_t>(value))
    return std::optional<double>(static_cast<double>(*i));
  return wrong_type(key, "a number");
}

Result<std::optional<bool>> GgufFile::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<bool>();
  const auto* held = std::get_if<bool>(value);
  if (held == nullptr) return wrong_type(key, "a bool");
  return std::optional<bool>(*held);
}

Result<std::optional<GgufArray>> GgufFile::array(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<GgufArray>();
  const auto* held = std::get_if<GgufArray>(value);
  if (held == nullptr) return wrong_type(key, "an array");
  return std::optional<GgufArray>(*held);
}

uint64_t GgufFile::mapped_bytes() const {
  uint64_t bytes = 0;
  for (const Mapping& mapping : mappings_) bytes += mapping.bytes().size();
  return bytes;
}

}  // namespace localai::formats
