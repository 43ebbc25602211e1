#include "models/model.h"

#include <cstdlib>
#include <map>
#include <optional>

#include "base/cpu.h"
#include "models/arch.h"
#include "models/bind.h"
#include "models/decoder.h"
#include "models/opened_model.h"
#include "models/pack_weights.h"
#include "models/quantize_weights.h"

namespace localai::models {
namespace {

// The kernel set asked for, by the caller or by LOCALAI_KERNELS; else the best this CPU runs.
Result<const kernels::KernelSet*> choose_kernels(const ModelOptions& options) {
  if (options.kernels != nullptr) return options.kernels;
  const char* forced = std::getenv("LOCALAI_KERNELS");
  return kernels::select_kernels(cpu_features(), forced == nullptr ? "" : forced);
}

std::string display_name(const formats::Checkpoint& checkpoint) {
  if (checkpoint.gguf() != nullptr) {
    const auto name = checkpoint.gguf()->string("general.name");
    if (name.ok() && *name) return **name;
  }
  const std::filesystem::path path = checkpoint.path().lexically_normal();
  return (path.has_filename() ? path.stem() : path.parent_path().filename()).string();
}

// "Q4_1 210, F32 61, Q8_0 1": how many tensors of each type, most first.
std::string types_text(const std::map<std::string_view, size_t>& counts) {
  std::multimap<size_t, std::string_view, std::greater<>> order;
  for (const auto& [type, count] : counts) order.emplace(count, type);
  std::string out;
  for (const auto& [count, type] : order)
    out += (out.empty() ? "" : ", ") + std::string(type) + " " + std::to_string(count);
  return out;
}

std::string count_types(const formats::Checkpoint& checkpoint) {
  std::map<std::string_view, size_t> counts;
  for (const formats::NamedTensor& tensor : checkpoint.tensors())
    ++counts[dtype_name(tensor.view.dtype)];
  return types_text(counts);
}

}  // namespace

uint64_t StateGeometry::block_bytes(DType kv_dtype) const {
  const uint64_t element = kv_dtype == DType::kF32 ? 4 : 2;
  return uint64_t{kv_layers} * kv_heads * 2 * kKvBlockTokens * head_dim * element;
}

std::vector<std::string> known_architectures() {
  std::vector<std::string> names;
  for (const ArchSpec* spec : architectures()) names.emplace_back(spec->name);
  return names;
}

Result<const ArchSpec*> architecture_of(const formats::Checkpoint& checkpoint) {
  const std::string name = checkpoint.architecture();
  if (const ArchSpec* spec = find_architecture(name, checkpoint.gguf() != nullptr)) return spec;
  std::string known;
  for (const std::string& k : known_architectures()) known += (known.empty() ? "" : ", ") + k;
  return unsupported(checkpoint.path().string() +
                     (name.empty() ? ": it does not say its architecture"
                                   : ": architecture '" + name + "' is not supported") +
                     " (known: " + known + ")");
}

Result<OpenedModel> open_model(std::shared_ptr<const formats::Checkpoint> checkpoint,
                               const ModelOptions& options, bool encoder) {
  LAI_TRY(const ArchSpec* spec, architecture_of(*checkpoint));
  if (spec->encoder != encoder)
    return invalid(checkpoint->path().string() + ": architecture '" + std::string(spec->name) +
                   (encoder ? "' generates text; it makes no embeddings"
                            : "' makes embeddings; it does not generate text"));
  LAI_TRY(const kernels::KernelSet* kernels, choose_kernels(options));
  const Metadata metadata(*checkpoint);
  LAI_TRY(Hyperparameters hyper, read_hyperparameters(*spec, metadata));
  LAI_TRY(Weights weights, bind_weights(*spec, *checkpoint, *kernels, options.precision, hyper));
  ModelInfo info{.architecture = std::string(spec->name),
                 .name = display_name(*checkpoint),
                 .layers = hyper.layers,
                 .hidden = hyper.hidden,
                 .vocab_size = hyper.vocab,
                 .context_length = hyper.context,
                 .long_rope_after = weights.long_rope_divisors.empty()
                                        ? 0
                                        : static_cast<uint32_t>(hyper.rope.original_context),
                 .parameters = weights.parameters,
                 .weights_mapped_bytes = checkpoint->mapped_bytes(),
                 .weights_private_bytes = weights.private_bytes,
                 .weight_types = count_types(*checkpoint)};
  return OpenedModel{std::move(checkpoint), spec,           kernels, std::move(hyper),
                     std::move(weights),    std::move(info)};
}

Status prepare_weights(const ModelOptions& options, OpenedModel& opened) {
  const ArchSpec& spec = *opened.spec;
  const Hyperparameters& hyper = opened.hyper;
  const kernels::KernelSet& kernels = *opened.kernels;
  Weights& weights = opened.weights;
  ModelInfo& info = opened.info;
  const bool quantize = options.quantize != nullptr;
  std::optional<ThreadPool> pool;
  if (!options.predict_only)
    pool.emplace(options.threads == 0 ? usable_cpu_count() : options.threads);
  if (quantize) {  // nothing stays mapped in use: what is left of the file is its header
    const QuantizedWeights plan = plan_quantization(spec, hyper, *options.quantize, weights);
    info.weights_mapped_bytes = 0;
    info.weights_private_bytes += plan.bytes;
    info.weight_types = types_text(plan.types) + " (quantized while loading)";
    if (pool)
      LAI_TRY_STATUS(quantize_weights(spec, hyper, *options.quantize, kernels, options.precision,
                                      *pool, weights));
  }
  if (!options.pack) return Ok{};
  if (!quantize) {
    const PackedWeights plan = plan_packing(spec, hyper, kernels, weights);
    info.weights_mapped_bytes -= plan.mapped_bytes;
    info.weights_private_bytes += plan.bytes;
  }
  if (!pool || (options.pack_later && !quantize)) return Ok{};
  LAI_TRY(WeightPacker packer, WeightPacker::create(spec, hyper, kernels, quantize, weights));
  while (packer.next(*pool)) {
  }
  return Ok{};
}

Result<std::unique_ptr<Model>> Model::load(std::shared_ptr<const formats::Checkpoint> checkpoint,
                                           const ModelOptions& options) {
  LAI_TRY(OpenedModel opened, open_model(std::move(checkpoint), options, false));
  LAI_TRY_STATUS(prepare_weights(options, opened), opened.checkpoint->path().string());
  const bool later = options.pack && options.pack_later && !options.quantize;
  return std::unique_ptr<Model>(std::make_unique<Decoder>(std::move(opened), later));
}

}  // namespace localai::models
