#include "formats/gguf_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/number.h"
#include "formats/quote.h"

namespace localai::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "fields are copied as they lie");

constexpr uint64_t kEntryBytesMin = 13;       // key length, one-byte value and its type
constexpr uint64_t kTensorInfoBytesMin = 24;  // name length, rank 0, type, offset

std::string text(uint64_t value) { return std::to_string(value); }

// Bytes of one array element or scalar; 0 for strings and arrays.
uint64_t scalar_bytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  return 0;
}

Result<GgufType> value_type(uint32_t id) {
  if (id > static_cast<uint32_t>(GgufType::kF64))
    return corrupt("value type " + text(id) + " is not one of 0..12");
  return static_cast<GgufType>(id);
}

template <class Wide, class Stored>
Result<GgufValue> widened(ByteCursor& cursor) {
  LAI_TRY(const Stored value, cursor.number<Stored>("value"));
  return GgufValue(static_cast<Wide>(value));
}

}  // namespace

template <class T>
Result<T> ByteCursor::number(std::string_view what) {
  LAI_TRY(const auto bytes, take(sizeof(T), what));
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

Result<std::span<const std::byte>> ByteCursor::take(uint64_t count, std::string_view what) {
  if (count > remaining())
    return corrupt(std::string(what) + ": needs " + text(count) + " bytes at offset " + text(at_) +
                   ", but the file ends at " + text(bytes_.size()));
  const auto out = bytes_.subspan(at_, count);
  at_ += count;
  return out;
}

Result<std::string_view> ByteCursor::string(std::string_view what) {
  LAI_TRY(const auto size, number<uint64_t>(what));
  LAI_TRY(const auto bytes, take(size, what));
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

uint64_t ByteCursor::skip_strings(uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t size = 0;
    if (remaining() < sizeof size) return i;
    std::memcpy(&size, bytes_.data() + at_, sizeof size);
    if (size > remaining() - sizeof size) return i;
    at_ += sizeof size + size;
  }
  return count;
}

Result<GgufFile> GgufReader::read(std::string name) {
  LAI_TRY_STATUS(read_header(), name);
  LAI_TRY_STATUS(read_metadata(), name);
  LAI_TRY_STATUS(read_alignment(), name);
  LAI_TRY_STATUS(read_tensor_infos(), name);
  LAI_TRY_STATUS(place_tensors(), name);
  file_.name_ = std::move(name);
  return std::move(file_);
}

Status GgufReader::read_header() {
  LAI_TRY(const auto magic, cursor_.take(4, "magic"));
  if (std::memcmp(magic.data(), "GGUF", 4) != 0)
    return corrupt("not a GGUF file: it does not begin with the bytes \"GGUF\"");
  LAI_TRY(file_.version_, cursor_.number<uint32_t>("version"));
  if (file_.version_ != 0 && (file_.version_ & 0xFFFFu) == 0)
    return unsupported("the file is big-endian; only little-endian GGUF is supported");
  if (file_.version_ < 2 || file_.version_ > 3)
    return unsupported("GGUF version " + text(file_.version_) + " is not supported (2 and 3 are)");
  LAI_TRY(tensor_count_, cursor_.number<uint64_t>("tensor count"));
  LAI_TRY(entry_count_, cursor_.number<uint64_t>("metadata count"));
  if (tensor_count_ > cursor_.remaining() / kTensorInfoBytesMin)
    return corrupt("tensor count " + text(tensor_count_) + " is more than a file of " +
                   text(bytes_.size()) + " bytes can hold");
  if (entry_count_ > cursor_.remaining() / kEntryBytesMin)
    return corrupt("metadata count " + text(entry_count_) + " is more than a file of " +
                   text(bytes_.size()) + " bytes can hold");
  return Ok{};
}

Status GgufReader::read_metadata() {
  file_.metadata_.reserve(entry_count_);
  file_.index_.reserve(entry_count_);
  for (uint64_t i = 0; i < entry_count_; ++i) {
    const std::string which = "metadata key " + text(i);
    LAI_TRY(const std::string_view key, cursor_.string(which));
    if (key.empty()) return corrupt(which + " is empty");
    if (key.size() > kGgufKeyBytesMax)
      return corrupt(which + " has " + text(key.size()) + " bytes, over the limit of " +
                     text(kGgufKeyBytesMax));
    const std::string where = "key " + quote(key);
    if (key.find('\0') != std::string_view::npos) return corrupt(where + " holds a NUL byte");
    LAI_TRY(const auto id, cursor_.number<uint32_t>("value type"), where);
    LAI_TRY(const GgufType type, value_type(id), where);
    LAI_TRY(const GgufValue value, read_value(type), where);
    if (!file_.index_.emplace(key, file_.metadata_.size()).second)
      return corrupt(where + " stands twice in the metadata");
    file_.metadata_.push_back({key, type, value});
  }
  return Ok{};
}

Result<GgufValue> GgufReader::read_value(GgufType type) {
  switch (type) {
    case GgufType::kU8:
      return widened<uint64_t, uint8_t>(cursor_);
    case GgufType::kU16:
      return widened<uint64_t, uint16_t>(cursor_);
    case GgufType::kU32:
      return widened<uint64_t, uint32_t>(cursor_);
    case GgufType::kU64:
      return widened<uint64_t, uint64_t>(cursor_);
    case GgufType::kI8:
      return widened<int64_t, int8_t>(cursor_);
    case GgufType::kI16:
      return widened<int64_t, int16_t>(cursor_);
    case GgufType::kI32:
      return widened<int64_t, int32_t>(cursor_);
    case GgufType::kI64:
      return widened<int64_t, int64_t>(cursor_);
    case GgufType::kF32:
      return widened<double, float>(cursor_);
    case GgufType::kF64:
      return widened<double, double>(cursor_);
    case GgufType::kBool: {
      LAI_TRY(const auto value, cursor_.number<uint8_t>("value"));
      if (value > 1) return corrupt("bool value " + text(value) + " is neither 0 nor 1");
      return GgufValue(value == 1);
    }
    case GgufType::kString: {
      LAI_TRY(const std::string_view value, cursor_.string("string"));
      return GgufValue(value);
    }
    case GgufType::kArray:
      return read_array();
  }
  return corrupt("value type is not one of 0..12");
}

Result<GgufValue> GgufReader::read_array() {
  LAI_TRY(const auto id, cursor_.number<uint32_t>("array element type"));
  LAI_TRY(const GgufType type, value_type(id), "array element");
  if (type == GgufType::kArray) return unsupported("an array of arrays is not supported");
  LAI_TRY(const auto count, cursor_.number<uint64_t>("array length"));
  LAI_TRY(const auto packed, take_array(type, count));
  GgufArray array;
  array.type_ = type;
  array.size_ = count;
  array.bytes_ = packed;
  return GgufValue(array);
}

Result<std::span<const std::byte>> GgufReader::take_array(GgufType type, uint64_t count) {
  const uint64_t element_bytes = type == GgufType::kString ? 8 : scalar_bytes(type);
  if (count > cursor_.remaining() / element_bytes)
    return corrupt("array of " + text(count) + " elements of type " +
                   std::string(gguf_type_name(type)) + " at offset " + text(cursor_.position()) +
                   " does not fit into the file of " + text(bytes_.size()) + " bytes");
  const uint64_t begin = cursor_.position();
  if (type != GgufType::kString) {
    LAI_TRY(const auto packed, cursor_.take(count * element_bytes, "array"));
    if (type == GgufType::kBool)
      for (const std::byte b : packed)
        if (std::to_integer<uint8_t>(b) > 1)
          return corrupt("array of bool holds the byte " + text(std::to_integer<uint8_t>(b)));
    return packed;
  }
  if (const uint64_t whole = cursor_.skip_strings(count); whole < count) {
    auto broken = cursor_.string("string");
    return std::move(broken.error()).at("array element " + text(whole));
  }
  return bytes_.subspan(begin, cursor_.position() - begin);
}

Status GgufReader::read_alignment() {
  const auto found = file_.index_.find("general.alignment");
  if (found == file_.index_.end()) return Ok{};
  const GgufEntry& entry = file_.metadata_[found->second];
  if (entry.type != GgufType::kU32)
    return corrupt("key 'general.alignment': type " + std::string(gguf_type_name(entry.type)) +
                   " where u32 is expected");
  alignment_ = std::get<uint64_t>(entry.value);
  if (!std::has_single_bit(alignment_))
    return corrupt("key 'general.alignment': " + text(alignment_) + " is not a power of two");
  return Ok{};
}

Status GgufReader::read_tensor_infos() {
  file_.tensors_.reserve(tensor_count_);
  places_.reserve(tensor_count_);
  std::unordered_set<std::string_view> names;
  names.reserve(tensor_count_);
  for (uint64_t i = 0; i < tensor_count_; ++i) {
    const std::string which = "name of tensor " + text(i);
    LAI_TRY(const std::string_view name, cursor_.string(which));
    if (name.empty()) return corrupt(which + " is empty");
    if (name.size() > kGgufTensorNameBytesMax)
      return corrupt(which + " has " + text(name.size()) + " bytes, over the limit of " +
                     text(kGgufTensorNameBytesMax));
    const std::string where = "tensor " + quote(name);
    if (name.find('\0') != std::string_view::npos)
      return corrupt(where + ": the name holds a NUL byte");
    TensorPlace place;
    place.index = i;
    LAI_TRY(NamedTensor tensor, read_tensor_info(place), where);
    if (!names.insert(name).second) return corrupt(where + " stands twice in the file");
    tensor.name = name;
    file_.tensors_.push_back(std::move(tensor));
    places_.push_back(place);
  }
  return Ok{};
}

Result<NamedTensor> GgufReader::read_tensor_info(TensorPlace& place) {
  NamedTensor tensor;
  TensorView& view = tensor.view;
  LAI_TRY(view.shape, read_shape());
  LAI_TRY(const auto id, cursor_.number<uint32_t>("type"));
  LAI_TRY(place.offset, cursor_.number<uint64_t>("offset"));
  const auto dtype = dtype_from_ggml(id);
  if (!dtype) {
    const std::string_view name = ggml_type_name(id);
    if (name.empty()) return corrupt("type " + text(id) + " is not defined");
    return unsupported("type " + std::string(name) + " is not supported");
  }
  view.dtype = *dtype;
  const DTypeInfo& info = dtype_info(*dtype);
  if (view.cols() % info.block_elements != 0)
    return corrupt("shape " + view.shape.text() + ": rows of " + text(view.cols()) +
                   " elements are not whole blocks of " + text(info.block_elements) + " (" +
                   std::string(info.name) + ")");
  const auto bytes = dtype_bytes(*dtype, view.shape.elements());
  if (!bytes) return corrupt("shape " + view.shape.text() + ": its bytes overflow 64 bits");
  view.bytes = place.bytes = *bytes;
  return tensor;
}

Result<Shape> GgufReader::read_shape() {
  LAI_TRY(const auto rank, cursor_.number<uint32_t>("number of dimensions"));
  if (rank > kGgufRankMax)
    return corrupt(text(rank) + " dimensions, over the limit of " + text(kGgufRankMax));
  Shape shape;
  shape.rank = rank;
  for (uint32_t i = rank; i-- > 0;) {  // the file lists the fastest dimension first
    LAI_TRY(shape.dims[i], cursor_.number<uint64_t>("dimension"));
    if (shape.dims[i] == 0) return corrupt("dimension " + text(rank - 1 - i) + " is 0");
  }
  std::optional<uint64_t> elements = 1;
  for (uint32_t i = 0; i < rank && elements; ++i) elements = checked_mul(*elements, shape.dims[i]);
  if (!elements || *elements > static_cast<uint64_t>(INT64_MAX))
    return corrupt("shape " + shape.text() + ": its number of elements overflows 63 bits");
  return shape;
}

Status GgufReader::place_tensors() {
  if (places_.empty()) return Ok{};
  // No overflow: a position in a file is below 2^63 and the alignment is at most 2^31.
  const uint64_t data_begin = (cursor_.position() + alignment_ - 1) / alignment_ * alignment_;
  if (data_begin > bytes_.size())
    return corrupt("the tensor data would begin at offset " + text(data_begin) +
                   ", but the file ends at " + text(bytes_.size()));
  const uint64_t held = bytes_.size() - data_begin;
  for (const TensorPlace& place : places_) {
    NamedTensor& tensor = file_.tensors_[place.index];
    const std::string where = "tensor " + quote(tensor.name) + ": ";
    if (place.offset % alignment_ != 0)
      return corrupt(where + "offset " + text(place.offset) +
                     " is not a multiple of the alignment " + text(alignment_));
    if (place.offset > held || place.bytes > held - place.offset)
      return corrupt(where + text(place.bytes) + " bytes at offset " + text(place.offset) +
                     " end past the tensor data, which has " + text(held) + " bytes");
    tensor.view.data = bytes_.data() + data_begin + place.offset;
  }
  return check_overlaps();
}

Status GgufReader::check_overlaps() {
  std::sort(places_.begin(), places_.end(), [](const TensorPlace& a, const TensorPlace& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.index < b.index;
  });
  for (size_t i = 1; i < places_.size(); ++i) {
    const TensorPlace &before = places_[i - 1], &place = places_[i];
    if (place.offset < before.offset + before.bytes)
      return corrupt("tensor " + quote(file_.tensors_[place.index].name) + ": offset " +
                     text(place.offset) + " lies inside tensor " +
                     quote(file_.tensors_[before.index].name) + ", which covers " +
                     text(before.offset) + ".." + text(before.offset + before.bytes));
  }
  return Ok{};
}

}  // namespace localai::formats
