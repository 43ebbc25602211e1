// The header of one safetensors file. simdjson, because a header may have tens of megabytes and
// as many keys; key order and repeated keys are visible in its tape.
#include "formats/safetensors.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>

#include "base/number.h"
#include "formats/quote.h"

namespace localai::formats {
namespace {

namespace dom = simdjson::dom;

constexpr uint64_t kHeaderBytesMax = 100'000'000;  // the safetensors library's own limit

// What the format defines beyond what DType has.
constexpr std::array<std::string_view, 10> kUnsupportedTypes = {
    "U16",     "U32",     "U64",     "C64",         "F4",
    "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"};

std::string text(uint64_t value) { return std::to_string(value); }

struct Range {
  uint64_t begin = 0, end = 0;
};

struct Entry {
  NamedTensor tensor;
  Range range;
};

Result<DType> read_dtype(const dom::element& value) {
  std::string_view name;
  if (value.get(name) != simdjson::SUCCESS) return corrupt("dtype is not a string");
  if (const auto dtype = dtype_from_safetensors(name)) return *dtype;
  if (std::find(kUnsupportedTypes.begin(), kUnsupportedTypes.end(), name) !=
      kUnsupportedTypes.end())
    return unsupported("dtype " + std::string(name) + " is not supported");
  return unsupported("dtype " + quote(name) + " is not one that safetensors defines");
}

Result<Shape> read_shape(const dom::element& value) {
  dom::array dims;
  if (value.get(dims) != simdjson::SUCCESS) return corrupt("shape is not an array");
  Shape shape;
  std::optional<uint64_t> elements = 1;
  for (const dom::element dim : dims) {
    if (shape.rank == kRankMax)
      return unsupported("shape has more than " + text(kRankMax) + " dimensions");
    if (dim.get(shape.dims[shape.rank]) != simdjson::SUCCESS)
      return corrupt("shape: dimension " + text(shape.rank) + " is not an unsigned integer");
    if (elements) elements = checked_mul(*elements, shape.dims[shape.rank]);
    ++shape.rank;
  }
  if (!elements)
    return corrupt("shape " + shape.text() + ": its number of elements overflows 64 bits");
  return shape;
}

Result<Range> read_offsets(const dom::element& value) {
  dom::array pair;
  if (value.get(pair) != simdjson::SUCCESS || pair.size() != 2)
    return corrupt("data_offsets is not an array of two numbers");
  Range range;
  if (pair.at(0).get(range.begin) != simdjson::SUCCESS ||
      pair.at(1).get(range.end) != simdjson::SUCCESS)
    return corrupt("data_offsets are not unsigned integers");
  if (range.begin > range.end)
    return corrupt("data_offsets [" + text(range.begin) + ", " + text(range.end) +
                   "] run backwards");
  return range;
}

// The three fields of a tensor; fields that nobody defined are passed over, as the library does.
Result<Entry> read_entry(const dom::element& value) {
  dom::object fields;
  if (value.get(fields) != simdjson::SUCCESS) return corrupt("its entry is not an object");
  Entry entry;
  std::array<bool, 3> seen{};
  constexpr std::array<std::string_view, 3> kFields = {"dtype", "shape", "data_offsets"};
  for (const dom::key_value_pair field : fields) {
    const auto found = std::find(kFields.begin(), kFields.end(), field.key);
    if (found == kFields.end()) continue;
    const auto index = static_cast<size_t>(found - kFields.begin());
    if (seen[index]) return corrupt("field '" + std::string(*found) + "' stands twice");
    seen[index] = true;
    if (index == 0) {
      LAI_TRY(entry.tensor.view.dtype, read_dtype(field.value));
    } else if (index == 1) {
      LAI_TRY(entry.tensor.view.shape, read_shape(field.value));
    } else {
      LAI_TRY(entry.range, read_offsets(field.value));
    }
  }
  for (size_t i = 0; i < seen.size(); ++i)
    if (!seen[i]) return corrupt("field '" + std::string(kFields[i]) + "' is missing");
  TensorView& view = entry.tensor.view;
  const auto bytes = dtype_bytes(view.dtype, view.shape.elements());
  if (!bytes || *bytes != entry.range.end - entry.range.begin)
    return corrupt("data_offsets [" + text(entry.range.begin) + ", " + text(entry.range.end) +
                   "] hold " + text(entry.range.end - entry.range.begin) + " bytes, but shape " +
                   view.shape.text() + " of " + std::string(dtype_name(view.dtype)) + " needs " +
                   (bytes ? text(*bytes) : std::string("more than 64 bits can count")));
  view.bytes = *bytes;
  return entry;
}

Status read_metadata(const dom::element& value, std::map<std::string, std::string>& out) {
  dom::object pairs;
  if (value.get(pairs) != simdjson::SUCCESS) return corrupt("it is not an object");
  for (const dom::key_value_pair pair : pairs) {
    std::string_view content;
    if (pair.value.get(content) != simdjson::SUCCESS)
      return corrupt("the value of " + quote(pair.key) + " is not a string");
    if (!out.emplace(pair.key, content).second)
      return corrupt("the key " + quote(pair.key) + " stands twice");
  }
  return Ok{};
}

// Every byte of the data belongs to exactly one tensor.
Status place_tensors(std::vector<Entry>& entries, std::span<const std::byte> data) {
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.range.begin != b.range.begin ? a.range.begin < b.range.begin
                                          : a.range.end < b.range.end;
  });
  uint64_t filled = 0;
  for (Entry& entry : entries) {
    const std::string offsets =
        "data_offsets [" + text(entry.range.begin) + ", " + text(entry.range.end) + "]";
    const std::string where = "tensor " + quote(entry.tensor.name) + ": " + offsets;
    if (entry.range.end > data.size())
      return corrupt(where + " end past the data, which has " + text(data.size()) + " bytes");
    if (entry.range.begin != filled)
      return corrupt(where + (entry.range.begin < filled ? " overlap" : " leave a hole after") +
                     " the tensor before, which ends at " + text(filled));
    entry.tensor.view.data = data.data() + entry.range.begin;
    filled = entry.range.end;
  }
  if (filled != data.size())
    return corrupt("the data has " + text(data.size()) + " bytes, but the tensors end at " +
                   text(filled));
  return Ok{};
}

Result<SafetensorsHeader> read(std::span<const std::byte> bytes) {
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes)
    return corrupt("a file of " + text(bytes.size()) + " bytes has no header length");
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  if (header_bytes > kHeaderBytesMax)
    return corrupt("header length " + text(header_bytes) + " is over the limit of " +
                   text(kHeaderBytesMax));
  if (header_bytes > bytes.size() - sizeof header_bytes)
    return corrupt("header length " + text(header_bytes) + " runs past the end of the file of " +
                   text(bytes.size()) + " bytes");
  dom::parser parser;
  dom::element root;
  const auto* json = reinterpret_cast<const char*>(bytes.data() + sizeof header_bytes);
  if (const auto error = parser.parse(json, header_bytes).get(root); error != simdjson::SUCCESS)
    return corrupt(std::string("header is not valid JSON: ") + simdjson::error_message(error));
  dom::object object;
  if (root.get(object) != simdjson::SUCCESS) return corrupt("header is not a JSON object");

  SafetensorsHeader header;
  std::vector<Entry> entries;
  std::unordered_set<std::string_view> names;
  for (const dom::key_value_pair pair : object) {
    const std::string where =
        pair.key == "__metadata__" ? "__metadata__" : "tensor " + quote(pair.key);
    if (!names.insert(pair.key).second) return corrupt(where + " stands twice in the header");
    if (pair.key == "__metadata__") {
      LAI_TRY_STATUS(read_metadata(pair.value, header.metadata), where);
      continue;
    }
    LAI_TRY(Entry entry, read_entry(pair.value), where);
    entry.tensor.name = pair.key;
    entries.push_back(std::move(entry));
  }
  LAI_TRY_STATUS(place_tensors(entries, bytes.subspan(sizeof header_bytes + header_bytes)));
  header.tensors.reserve(entries.size());
  for (Entry& entry : entries) header.tensors.push_back(std::move(entry.tensor));
  return header;
}

}  // namespace

Result<SafetensorsHeader> read_safetensors(std::span<const std::byte> bytes,
                                           const std::string& name) {
  auto header = read(bytes);
  if (!header.ok()) return std::move(header.error()).at(name);
  return header;
}

}  // namespace localai::formats
