#include "formats/safetensors_writer.h"

#include <cstdio>
#include <unordered_set>

#include "base/json.h"
#include "formats/quote.h"

namespace localai::formats {
namespace {

std::string shard_name(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

// The members of an object are appended, not looked up: names are distinct and there may be many.
void append_member(Json& object, const std::string& key, Json value) {
  object.get_ref<Json::object_t&>().push_back({key, std::move(value)});
}

Json shape_json(const Shape& shape) {
  Json out = Json::array();
  for (uint32_t i = 0; i < shape.rank; ++i) out.push_back(shape[i]);
  return out;
}

}  // namespace

uint64_t SafetensorsWriter::bytes_of(size_t entry) const {
  return dtype_bytes(entries_[entry].dtype, entries_[entry].shape.elements()).value_or(0);
}

Status SafetensorsWriter::check() const {
  if (entries_.empty()) return invalid("no tensors to write");
  std::unordered_set<std::string_view> seen;
  for (const SafetensorsEntry& entry : entries_) {
    if (!seen.insert(entry.name).second)
      return invalid("tensor " + quote(entry.name) + " stands twice");
    if (!dtype_from_safetensors(dtype_name(entry.dtype)))
      return invalid("tensor " + quote(entry.name) + ": safetensors has no type " +
                     std::string(dtype_name(entry.dtype)));
  }
  return Ok{};
}

void SafetensorsWriter::divide(uint64_t shard_bytes_max) {
  for (size_t i = 0; i < entries_.size(); ++i) {
    const uint64_t bytes = bytes_of(i);
    const bool fits = !shards_.empty() && shards_.back().bytes + bytes <= shard_bytes_max;
    if (!fits) shards_.push_back({"", i, i, 0});
    shards_.back().end = i + 1;
    shards_.back().bytes += bytes;
  }
  for (size_t i = 0; i < shards_.size(); ++i) shards_[i].file = shard_name(i, shards_.size());
}

Result<SafetensorsWriter> SafetensorsWriter::create(const std::filesystem::path& directory,
                                                    std::vector<SafetensorsEntry> entries,
                                                    uint64_t shard_bytes_max) {
  SafetensorsWriter writer(directory, std::move(entries));
  LAI_TRY_STATUS(writer.check(), directory.string());
  writer.divide(shard_bytes_max);
  LAI_TRY_STATUS(writer.begin_shard());
  return writer;
}

Status SafetensorsWriter::begin_shard() {
  const Shard& shard = shards_[shard_];
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  uint64_t offset = 0;
  for (size_t i = shard.begin; i < shard.end; ++i) {
    const uint64_t end = offset + bytes_of(i);
    append_member(header, entries_[i].name,
                  {{"dtype", dtype_name(entries_[i].dtype)},
                   {"shape", shape_json(entries_[i].shape)},
                   {"data_offsets", {offset, end}}});
    offset = end;
  }
  std::string text = dump_json(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  LAI_TRY(NewFile file, NewFile::create(directory_ / shard.file));
  LAI_TRY_STATUS(file.reserve(sizeof length + length + shard.bytes));
  LAI_TRY_STATUS(file.append(std::as_bytes(std::span(&length, 1))));
  LAI_TRY_STATUS(file.append(std::as_bytes(std::span(text))));
  file_ = std::move(file);
  return Ok{};
}

Status SafetensorsWriter::append(std::span<const std::byte> bytes) {
  if (entry_ == entries_.size() || bytes.size() > bytes_of(entry_) - written_)
    return Error{Code::kInternal, directory_.string() + ": more bytes than tensor " +
                                      std::to_string(entry_) + " has"};
  LAI_TRY_STATUS(file_->append(bytes));
  written_ += bytes.size();
  if (written_ < bytes_of(entry_)) return Ok{};
  written_ = 0;
  if (++entry_ < shards_[shard_].end) return Ok{};
  LAI_TRY_STATUS(file_->commit());
  file_.reset();
  if (++shard_ == shards_.size()) return Ok{};
  return begin_shard();
}

Status SafetensorsWriter::write_index() const {
  uint64_t total = 0;
  Json map = Json::object();
  for (const Shard& shard : shards_) {
    total += shard.bytes;
    for (size_t i = shard.begin; i < shard.end; ++i)
      append_member(map, entries_[i].name, shard.file);
  }
  const std::string text =
      dump_json({{"metadata", {{"total_size", total}}}, {"weight_map", std::move(map)}}, 2);
  return write_file_atomically(directory_ / "model.safetensors.index.json",
                               std::as_bytes(std::span(text)));
}

Status SafetensorsWriter::finish() {
  if (entry_ != entries_.size())
    return Error{Code::kInternal, directory_.string() + ": the data of tensor " +
                                      std::to_string(entry_) + " is not complete"};
  return shards_.size() == 1 ? Status(Ok{}) : write_index();
}

}  // namespace localai::formats
