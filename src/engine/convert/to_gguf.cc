// A safetensors directory becomes a GGUF file.
#include <algorithm>
#include <map>

#include "base/log.h"
#include "engine/convert/gguf_metadata.h"
#include "engine/convert/gguf_tokenizer.h"
#include "engine/convert/source_model.h"
#include "engine/directory_vocabulary.h"
#include "models/pooling.h"
#include "models/tensor_rows.h"

namespace localai::engine {
namespace {

using formats::GgufHeader;

// general.file_type: the type of most matrices.
uint32_t file_type(std::span<const PlannedTensor> tensors) {
  std::map<DType, uint64_t> bytes;
  for (const PlannedTensor& tensor : tensors)
    bytes[tensor.dtype] += dtype_bytes(tensor.dtype, tensor.shape.elements()).value_or(0);
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most->first == DType::kF16) return 1;
  return most->first == DType::kBF16 ? 32 : 0;
}

// What divides RoPE's frequencies, as tensors.
struct Divisors {
  std::string_view name;
  std::vector<float> values;
};

std::vector<float> llama3_divisors(const models::RopeParameters& rope) {
  models::RopeParameters plain = rope;
  plain.scaling = models::RopeScaling::kNone;
  const std::vector<double> scaled = models::rope_frequencies(rope, {});
  const std::vector<double> unscaled = models::rope_frequencies(plain, {});
  std::vector<float> out(scaled.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(unscaled[i] / scaled[i]);
  return out;
}

Result<std::vector<Divisors>> divisors_of(const SourceModel& model, const std::string& where) {
  const models::RopeParameters& rope = model.hyper.rope;
  std::vector<Divisors> out;
  if (rope.scaling == models::RopeScaling::kLlama3)
    out.push_back({"rope_freqs.weight", llama3_divisors(rope)});
  if (rope.scaling != models::RopeScaling::kLongRope) return out;
  for (const models::TensorRow& row : model.spec->tensors) {
    if (row.gguf == models::rows::kShortRopeFactors.gguf)
      out.push_back({row.gguf, rope.short_factors});
    if (row.gguf == models::rows::kLongRopeFactors.gguf)
      out.push_back({row.gguf, rope.long_factors});
  }
  if (out.size() == 2) return out;
  return unsupported(where + ": GGUF files of architecture " + std::string(model.spec->name) +
                     " have no LongRoPE factors");
}

// Would a reader of the metadata compute the same model?
Status check_metadata(const GgufHeader& header, const SourceModel& model,
                      const std::string& where) {
  const std::vector<std::byte> bytes = header.bytes();
  LAI_TRY(formats::GgufFile file, formats::GgufFile::parse(bytes, where));
  const formats::Checkpoint read = formats::Checkpoint::of(std::move(file));
  const models::ArchSpec* spec = models::find_architecture(read.architecture(), true);
  if (spec == nullptr) return unsupported(where + ": architecture " + read.architecture());
  LAI_TRY(const models::Hyperparameters hyper,
          models::read_hyperparameters(*spec, models::Metadata(read)));
  const std::string differs = difference(model.hyper, hyper);
  if (differs.empty()) return Ok{};
  return unsupported(where + ": GGUF files of architecture " + std::string(spec->name) +
                     " cannot say this (config.json and what GGUF would say: " + differs + ")");
}

Result<bool> add_text(const formats::SafetensorsModel& source, const SourceModel& model,
                      GgufHeader& header) {
  const auto found = read_directory_vocabulary(source.directory());
  if (!found.ok() && found.error().code != Code::kNotFound) return found.error();
  if (!found.ok()) {
    log::warn("{}; the GGUF file will not have one either", found.error().message);
    header.add("tokenizer.ggml.model", "none");  // readers take a missing key for a broken file
    return false;
  }
  const DirectoryVocabulary& vocabulary = *found;
  LAI_TRY_STATUS(add_tokenizer(vocabulary.spec, model.hyper.vocab, header),
                 source.directory().string());
  if (!vocabulary.chat_template.empty())
    header.add("tokenizer.chat_template", vocabulary.chat_template);
  return true;
}

Status add_pooling(const formats::Checkpoint& source, const SourceModel& model,
                   GgufHeader& header) {
  LAI_TRY(const models::Pooling pooling, models::read_pooling(source));
  LAI_TRY(const uint32_t longest, models::read_tokens_max(source, model.hyper.context));
  constexpr uint32_t kMean = 1, kCls = 2;
  header.add(std::string(model.spec->gguf_names.front()) + ".pooling_type",
             pooling == models::Pooling::kMean ? kMean : kCls);
  if (longest < model.hyper.context) header.add(models::kKeyTokensMax, longest);
  return Ok{};
}

std::string name_of(const std::filesystem::path& path) {
  const std::filesystem::path clean = path.lexically_normal();
  return (clean.has_filename() ? clean : clean.parent_path()).filename().string();
}

}  // namespace

Result<ConvertReport> convert_to_gguf(const formats::Checkpoint& checkpoint,
                                      const std::filesystem::path& out,
                                      const ConvertOptions& options) {
  const formats::SafetensorsModel& source = *checkpoint.safetensors();
  LAI_TRY(const SourceModel model, read_source(checkpoint));
  const std::string_view architecture = gguf_architecture(*model.spec, model.hyper);
  const models::ArchSpec* reader = models::find_architecture(architecture, true);
  const bool tied = model.hyper.tied || model.weights.head.data == model.weights.embedding.data;
  LAI_TRY(const std::vector<PlannedTensor> tensors,
          plan_tensors({.spec = model.spec,
                        .source = &checkpoint,
                        .hyper = &model.hyper,
                        .to_gguf = true,
                        .interleaved = reader->gguf_interleaved_rope,
                        .tied = tied,
                        .fused = holds_fused(*model.spec),
                        .dtype = options.dtype}));
  GgufHeader header;
  header.add("general.architecture", architecture).add("general.type", "model");
  header.add("general.name", name_of(source.directory()));
  header.add("general.file_type", file_type(tensors));
  header.add("general.quantization_version", uint32_t{2});
  add_hyperparameters(*model.spec, model.hyper, header);
  if (model.spec->encoder) LAI_TRY_STATUS(add_pooling(checkpoint, model, header));
  LAI_TRY_STATUS(check_metadata(header, model, checkpoint.path().string()));
  LAI_TRY(const bool tokenizer, add_text(source, model, header));
  LAI_TRY(const std::vector<Divisors> divisors, divisors_of(model, checkpoint.path().string()));
  for (const Divisors& tensor : divisors)
    header.tensor(tensor.name, DType::kF32, make_shape({tensor.values.size()}));
  for (const PlannedTensor& tensor : tensors)
    header.tensor(tensor.name, tensor.dtype, tensor.shape);

  LAI_TRY(formats::GgufWriter writer, formats::GgufWriter::create(out, header));
  for (const Divisors& tensor : divisors)
    LAI_TRY_STATUS(writer.append(std::as_bytes(std::span(tensor.values))));
  const auto append = [&](std::span<const std::byte> bytes) { return writer.append(bytes); };
  LAI_TRY_STATUS(write_tensors(tensors, options, append));
  LAI_TRY_STATUS(writer.finish());
  return ConvertReport{std::string(architecture), "safetensors", "gguf", tensors.size(),
                       bytes_of(tensors),         tokenizer};
}

}  // namespace localai::engine
