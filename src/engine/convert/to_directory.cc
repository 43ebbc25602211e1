// A GGUF file becomes a Hugging Face directory.
#include <unistd.h>

#include <system_error>

#include "base/log.h"
#include "engine/convert/gguf_metadata.h"
#include "engine/convert/hf_config.h"
#include "engine/convert/hf_tokenizer.h"
#include "engine/convert/sentence_files.h"
#include "engine/convert/source_model.h"
#include "engine/gguf_vocabulary.h"
#include "formats/safetensors_writer.h"

namespace localai::engine {
namespace {

namespace fs = std::filesystem;

// A directory beside `out` that becomes `out`, or goes away with the object.
class NewDirectory {
 public:
  static Result<NewDirectory> create(const fs::path& out) {
    const fs::path clean = (out / "").lexically_normal().parent_path();
    std::string name = clean.string() + ".XXXXXX";
    if (::mkdtemp(name.data()) == nullptr)
      return Error{Code::kInternal, out.string() + ": cannot create a directory beside it"};
    return NewDirectory(clean, name);
  }
  NewDirectory(NewDirectory&& other) noexcept
      : out_(std::move(other.out_)), path_(std::exchange(other.path_, {})) {}
  NewDirectory& operator=(NewDirectory&&) = delete;
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;
  ~NewDirectory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }

  [[nodiscard]] const fs::path& path() const { return path_; }
  Status write(const char* name, const std::string& text) const {
    return write_file_atomically(path_ / name, std::as_bytes(std::span(text)));
  }
  Status commit() {
    std::error_code error;
    constexpr auto kPublic = static_cast<fs::perms>(0755);
    fs::permissions(path_, kPublic, error);
    if (!error) fs::rename(path_, out_, error);
    if (error) return Error{Code::kInternal, out_.string() + ": " + error.message()};
    path_.clear();
    return Ok{};
  }

 private:
  NewDirectory(fs::path out, fs::path path) : out_(std::move(out)), path_(std::move(path)) {}
  fs::path out_, path_;
};

// The model_type to write: what it was before it became GGUF, if the file says so and means it.
Result<const models::ArchSpec*> target_of(const formats::GgufFile& file, const SourceModel& model) {
  LAI_TRY(const auto type, file.string(kKeyModelType));
  if (!type) return model.spec;
  const models::ArchSpec* spec = models::find_architecture(*type, false);
  if (spec == nullptr ||
      models::find_architecture(gguf_architecture(*spec, model.hyper), true) != model.spec)
    return unsupported(file.name() + ": " + std::string(kKeyModelType) + " '" + *type +
                       "' is no model of architecture " + std::string(model.spec->name));
  return spec;
}

WeightFacts facts_of(const SourceModel& model, std::span<const PlannedTensor> tensors) {
  WeightFacts facts;
  facts.tied = model.weights.head.data == model.weights.embedding.data;
  for (const PlannedTensor& tensor : tensors) {
    const auto is = [&](std::string_view ending) { return tensor.name.ends_with(ending); };
    if (is("self_attn.o_proj.bias") || (model.spec->name != "qwen2" && is("q_proj.bias")))
      facts.attention_bias = true;
    if (is("gate_proj.bias")) facts.mlp_bias = true;
    if (is("mamba.conv1d.bias")) facts.conv_bias = true;
    if (is("mamba.in_proj.bias")) facts.mamba_bias = true;
    if (tensor.shape.rank == 2 && tensor.sources.front().shape.rank == 2)
      facts.dtype = tensor.dtype;
  }
  return facts;
}

Status write_weights(std::span<const PlannedTensor> tensors, const ConvertOptions& options,
                     const fs::path& directory) {
  std::vector<formats::SafetensorsEntry> entries;
  for (const PlannedTensor& tensor : tensors)
    entries.push_back({tensor.name, tensor.dtype, tensor.shape});
  LAI_TRY(
      formats::SafetensorsWriter writer,
      formats::SafetensorsWriter::create(directory, std::move(entries), options.shard_bytes_max));
  const auto append = [&](std::span<const std::byte> bytes) { return writer.append(bytes); };
  LAI_TRY_STATUS(write_tensors(tensors, options, append));
  return writer.finish();
}

// The tokenizer of the file, or nothing when it has none.
Result<std::optional<text::VocabularySpec>> read_text(const formats::GgufFile& file) {
  using Found = std::optional<text::VocabularySpec>;
  auto found = read_gguf_vocabulary(file);
  if (found.ok()) return Found(std::move(*found));
  if (found.error().code != Code::kNotFound) return std::move(found.error());
  log::warn("{}; the directory will not have one either", found.error().message);
  return Found();
}

Status write_text(const formats::GgufFile& file, const text::VocabularySpec& spec, uint32_t context,
                  const NewDirectory& out) {
  LAI_TRY(const auto chat_template, file.string("tokenizer.chat_template"));
  LAI_TRY(const std::string tokenizer, make_tokenizer_json(spec), file.name());
  LAI_TRY_STATUS(out.write("tokenizer.json", tokenizer));
  const Json config = make_tokenizer_config(spec, chat_template.value_or(""), context);
  LAI_TRY_STATUS(out.write("tokenizer_config.json", dump_json(config, 2) + "\n"));
  if (spec.kind == text::TokenizerKind::kWordPiece) return Ok{};  // an encoder's
  return out.write("generation_config.json", dump_json(make_generation_config(spec), 2) + "\n");
}

// How an encoder's rows become a vector, and how long a text may be.
Status write_use(const formats::Checkpoint& source, const SourceModel& model,
                 const fs::path& directory) {
  LAI_TRY(const models::Pooling pooling, models::read_pooling(source));
  LAI_TRY(const uint32_t longest, models::read_tokens_max(source, model.hyper.context));
  return write_sentence_files(directory, model.hyper, pooling, longest);
}

// Opens what was written, as a load would, and compares it with what it was made from.
Status check_written(const fs::path& directory, const SourceModel& model,
                     const models::RopeParameters& rope, const std::string& where) {
  LAI_TRY(const formats::Checkpoint written, formats::Checkpoint::open(directory));
  LAI_TRY(const SourceModel read, read_source(written));
  models::Hyperparameters wanted = model.hyper;
  wanted.rope = rope;
  const std::string differs = difference(wanted, read.hyper);
  if (differs.empty()) return Ok{};
  return unsupported(where + ": config.json of model_type " +
                     std::string(read.spec->config_names.front()) +
                     " cannot say this (GGUF and config.json: " + differs + ")");
}

}  // namespace

Result<ConvertReport> convert_to_directory(const formats::Checkpoint& checkpoint,
                                           const fs::path& out, const ConvertOptions& options) {
  const formats::GgufFile& file = *checkpoint.gguf();
  LAI_TRY(const SourceModel model, read_source(checkpoint));
  LAI_TRY(const models::ArchSpec* target, target_of(file, model));
  LAI_TRY(const std::vector<PlannedTensor> tensors,
          plan_tensors({.spec = target,
                        .source = &checkpoint,
                        .hyper = &model.hyper,
                        .interleaved = model.spec->gguf_interleaved_rope,
                        .fused = holds_fused(*target),
                        .dtype = options.dtype}));
  models::Hyperparameters hyper = model.hyper;
  LAI_TRY(hyper.rope, scaling_of_divisors(file, hyper.rope, model.weights));
  LAI_TRY(const auto vocabulary, read_text(file));

  LAI_TRY(NewDirectory directory, NewDirectory::create(out));
  const Json config =
      make_config(*target, hyper, facts_of(model, tensors), vocabulary ? &*vocabulary : nullptr);
  LAI_TRY_STATUS(directory.write("config.json", dump_json(config, 2) + "\n"));
  if (model.spec->encoder) LAI_TRY_STATUS(write_use(checkpoint, model, directory.path()));
  if (vocabulary) LAI_TRY_STATUS(write_text(file, *vocabulary, hyper.context, directory));
  LAI_TRY_STATUS(write_weights(tensors, options, directory.path()));
  LAI_TRY_STATUS(check_written(directory.path(), model, hyper.rope, file.name()));
  LAI_TRY_STATUS(directory.commit());
  return ConvertReport{
      std::string(model.spec->name), "gguf", "safetensors", tensors.size(), bytes_of(tensors),
      vocabulary.has_value()};
}

}  // namespace localai::engine
