#include "models/quantize_file.h"

#include <algorithm>
#include <cmath>
#include <system_error>

#include "formats/checkpoint.h"
#include "formats/gguf_writer.h"
#include "formats/quote.h"
#include "models/arch.h"

namespace localai::models {
namespace {

using formats::NamedTensor;

constexpr uint64_t kChunk = 4u << 20;  // elements converted between two writes: whole blocks

// The value, or of a value per layer the first; 0 when there is none.
uint64_t first_integer(const formats::GgufFile& file, const std::string& key) {
  const formats::GgufValue* value = file.find(key);
  if (value == nullptr) return 0;
  if (const auto* u = std::get_if<uint64_t>(value)) return *u;
  if (const auto* i = std::get_if<int64_t>(value))
    return static_cast<uint64_t>(std::max<int64_t>(*i, 0));
  const auto* array = std::get_if<formats::GgufArray>(value);
  if (array == nullptr) return 0;
  return static_cast<uint64_t>(std::max<int64_t>(array->integer(0).value_or(0), 0));
}

MixFacts facts_of(const formats::Checkpoint& checkpoint) {
  const formats::GgufFile& file = *checkpoint.gguf();
  MixFacts facts{.architecture = checkpoint.architecture()};
  const auto value = [&](const char* key) {
    return first_integer(file, facts.architecture + "." + key);
  };
  facts.layers = value("block_count");
  facts.heads = value("attention.head_count");
  facts.kv_heads = value("attention.head_count_kv");
  facts.experts = value("expert_count");
  return facts;
}

// "blk.3.ffn_down.weight" -> "ffn_down".
std::string class_of(std::string_view name) {
  if (name.starts_with("blk."))
    name = name.substr(std::min(name.find('.', 4), name.size() - 1) + 1);
  if (name.ends_with(".weight")) name.remove_suffix(7);
  return std::string(name);
}

class FileQuantizer {
 public:
  FileQuantizer(const formats::Checkpoint& in, const QuantizeOptions& options, ThreadPool& pool)
      : in_(in), options_(options), pool_(pool) {}

  Result<QuantizeReport> write(const std::filesystem::path& out) {
    LAI_TRY_STATUS(choose());
    LAI_TRY(auto writer, formats::GgufWriter::create(out, header()));
    for (const NamedTensor& tensor : in_.tensors()) progress_.bytes_total += tensor.view.bytes;
    progress_.tensors = in_.tensors().size();
    for (size_t i = 0; i < in_.tensors().size(); ++i) {
      progress_.tensor = i;
      LAI_TRY_STATUS(write_tensor(in_.tensors()[i], types_[i], writer));
    }
    LAI_TRY_STATUS(writer.finish());
    report_.bytes_before = in_.mapped_bytes();
    report_.bytes_after = writer.file_bytes();
    return std::move(report_);
  }

 private:
  [[nodiscard]] Error fail(const std::string& tensor, const std::string& what) const {
    return invalid(in_.path().string() + ": tensor " + formats::quote(tensor) + ": " + what);
  }

  Status choose() {
    std::vector<MixTensor> tensors;
    for (const auto& [name, view] : in_.tensors())
      tensors.push_back({name, view.dtype, view.shape});
    types_ = choose_types(*options_.type, facts_of(in_), tensors);
    for (size_t i = 0; i < tensors.size(); ++i) {
      const DType from = tensors[i].dtype;
      if (from == types_[i]) continue;
      if (!is_weight_type(from))
        return fail(tensors[i].name, "type " + std::string(dtype_name(from)) + " is no weight");
      if (dtype_info(from).block_elements > 1 && !options_.allow_requantize)
        return fail(tensors[i].name, "it is quantized already (" + std::string(dtype_name(from)) +
                                         "); what that lost stays lost. Start from a float model, "
                                         "or say --allow-requantize");
    }
    return Ok{};
  }

  [[nodiscard]] formats::GgufHeader header() const {
    formats::GgufHeader header;
    for (const formats::GgufEntry& entry : in_.gguf()->metadata()) {
      const std::string_view key = entry.key;
      if (key.starts_with("split.") || key == "general.alignment" || key == "general.file_type" ||
          key == "general.quantization_version")
        continue;
      header.add(entry);
    }
    header.add("general.quantization_version", uint32_t{2});
    header.add("general.file_type", options_.type->file_type);
    for (size_t i = 0; i < types_.size(); ++i)
      header.tensor(in_.tensors()[i].name, types_[i], in_.tensors()[i].view.shape);
    return header;
  }

  Status write_tensor(const NamedTensor& tensor, DType to, formats::GgufWriter& writer) {
    const TensorView& view = tensor.view;
    progress_.name = tensor.name;
    progress_.from = view.dtype;
    progress_.to = to;
    ConversionLoss loss;
    const uint64_t count = view.shape.elements();
    for (uint64_t done = 0; done < count; done += kChunk) {
      if (options_.progress) options_.progress(progress_);
      const uint64_t length = std::min(kChunk, count - done);
      const std::byte* source = view.data + dtype_bytes(view.dtype, done).value();
      const uint64_t source_bytes = dtype_bytes(view.dtype, length).value();
      LAI_TRY_STATUS(
          write_chunk(tensor.name, {source, source_bytes}, view.dtype, to, length, loss, writer));
      formats::Checkpoint::release_pages({source, source_bytes});
      progress_.bytes += source_bytes;
    }
    count_tensor(tensor, to, loss);
    return Ok{};
  }

  Status write_chunk(const std::string& name, std::span<const std::byte> source, DType from,
                     DType to, uint64_t length, ConversionLoss& loss, formats::GgufWriter& writer) {
    if (!is_weight_type(from)) return writer.append(source);
    buffer_.resize(dtype_bytes(to, length).value());
    convert(from, source.data(), to, buffer_.data(), length, pool_, &loss);
    if (!std::isfinite(loss.squares)) return fail(name, "it holds a value that is not finite");
    if (!std::isfinite(loss.squared_error))
      return fail(name, "it holds a value too large for " + std::string(dtype_name(to)));
    return writer.append(buffer_);
  }

  void count_tensor(const NamedTensor& tensor, DType to, const ConversionLoss& loss) {
    std::string name = tensor.view.dtype == to ? "(unchanged)" : class_of(tensor.name);
    auto found = std::find_if(report_.classes.begin(), report_.classes.end(),
                              [&](const TensorClass& c) { return c.name == name; });
    if (found == report_.classes.end()) {
      found = report_.classes.emplace(found);
      found->name = std::move(name);
    }
    const uint64_t elements = tensor.view.shape.elements();
    const uint64_t after = dtype_bytes(to, elements).value();
    found->tensors += 1;
    found->bytes_before += tensor.view.bytes;
    found->bytes_after += after;
    found->types[dtype_name(to)] += 1;
    found->loss.add(loss);
    report_.tensor_bytes_before += tensor.view.bytes;
    report_.tensor_bytes_after += after;
    report_.weights += elements;
  }

  const formats::Checkpoint& in_;
  const QuantizeOptions& options_;
  ThreadPool& pool_;
  std::vector<DType> types_;
  std::vector<std::byte> buffer_;
  QuantizeProgress progress_;
  QuantizeReport report_;
};

}  // namespace

Result<QuantizeReport> quantize_file(const std::filesystem::path& in,
                                     const std::filesystem::path& out,
                                     const QuantizeOptions& options, ThreadPool& pool) {
  std::error_code ignored;
  if (std::filesystem::equivalent(in, out, ignored))
    return invalid(out.string() + ": is the input itself");
  LAI_TRY(const formats::Checkpoint checkpoint, formats::Checkpoint::open(in));
  if (checkpoint.gguf() == nullptr)
    return unsupported(in.string() + ": not a GGUF file; only those can be quantized");
  const auto architecture = architecture_of(checkpoint);  // the rules know these only
  if (!architecture.ok()) return architecture.error();
  return FileQuantizer(checkpoint, options, pool).write(out);
}

}  // namespace localai::models
