#include "models/bind.h"

#include <cmath>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "models/f8_scales.h"
#include "models/tensor_names.h"

namespace localai::models {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;  // clang 14 does not deduce aggregates by itself

// Without dimensions of 1.
Shape squeezed(const Shape& shape) {
  Shape out;
  for (uint32_t i = 0; i < shape.rank; ++i)
    if (shape[i] != 1) out.dims[out.rank++] = shape[i];
  return out;
}

class Binder {
 public:
  Binder(const ArchSpec& spec, const formats::Checkpoint& checkpoint,
         const kernels::KernelSet& kernels, Precision precision, const Hyperparameters& hyper)
      : spec_(spec),
        checkpoint_(checkpoint),
        kernels_(kernels),
        precision_(precision),
        hyper_(hyper),
        gguf_(checkpoint.gguf() != nullptr),
        names_(spec, checkpoint) {}

  Result<Weights> bind() {
    weights_.layers.resize(hyper_.layers);
    for (const TensorRow& row : spec_.tensors) {
      const bool per_layer = row.slot.index() >= 2;
      for (uint32_t layer = 0; layer < (per_layer ? hyper_.layers : 1u); ++layer)
        if (has_tensor(row.layers, hyper_.kinds[layer])) LAI_TRY_STATUS(bind_row(row, layer));
    }
    if (spec_.adapt != nullptr) spec_.adapt(hyper_, gguf_, weights_);
    if (weights_.head.data == nullptr) weights_.head = weights_.embedding;
    LAI_TRY_STATUS(finish_rope_divisors());
    warn_of_extra_tensors();
    return std::move(weights_);
  }

 private:
  // LongRoPE's factors of config.json; and no frequency is divided by nonsense.
  Status finish_rope_divisors() {
    const auto fail = [&](const std::string& what) {
      return corrupt(checkpoint_.path().string() + ": RoPE factors: " + what);
    };
    if (weights_.rope_divisors.empty()) weights_.rope_divisors = hyper_.rope.short_factors;
    if (weights_.long_rope_divisors.empty()) weights_.long_rope_divisors = hyper_.rope.long_factors;
    if (weights_.rope_divisors.empty() && !weights_.long_rope_divisors.empty())
      return fail("long ones without short ones");
    for (const Vector* divisors : {&weights_.rope_divisors, &weights_.long_rope_divisors})
      for (const float divisor : *divisors)
        if (!(divisor > 0.f && std::isfinite(divisor)))
          return fail(std::to_string(divisor) + " is not positive");
    return Ok{};
  }

  // Is the tensor to be used at all, and if so, may it be absent?
  struct Wanted {
    bool use, may_miss;
  };
  [[nodiscard]] Wanted wanted(Need need) const {
    switch (need) {
      case Need::kAlways:
        return {true, false};
      case Need::kIfPresent:
        return {true, true};
      case Need::kIfUntied:
        return {!hyper_.tied, true};  // older tied files do not say so
      case Need::kIfAttentionBias:
        return {gguf_ || hyper_.attention_bias, gguf_};
      case Need::kIfMlpBias:
        return {gguf_ || hyper_.mlp_bias, gguf_};
      case Need::kIfConvBias:
        return {gguf_ || hyper_.mamba.conv_bias, gguf_};
      case Need::kIfMambaBias:
        return {gguf_ || hyper_.mamba.bias, gguf_};
      case Need::kIfNoExperts:
      case Need::kIfExperts:
      case Need::kIfSharedExpert:
        return {has_ffn_part(need, hyper_), false};
    }
    return {false, true};
  }

  [[nodiscard]] Error fail(Code code, const std::string& name, const std::string& what) const {
    return {code, checkpoint_.path().string() + ": tensor '" + name + "': " + what};
  }

  // A matrix, or one for each expert.
  [[nodiscard]] Shape matrix_shape(const TensorRow& row, uint64_t rows) const {
    const uint64_t cols = dim_size(row.cols, hyper_);
    return row.per_expert ? make_shape({hyper_.experts, rows, cols}) : make_shape({rows, cols});
  }

  // The rows of `row` inside the tensor that also holds others; none when there is no such tensor.
  // Its `bytes` are the whole tensor's: from them comes the distance between experts.
  Result<std::optional<TensorView>> find_part(const TensorRow& row, const std::string& name) {
    const TensorView* whole = checkpoint_.find(name);
    if (whole == nullptr) return std::optional<TensorView>();
    uint64_t before = 0, total = 0;
    for (size_t i = 0; i < row.fused->parts.size(); ++i) {
      const uint64_t rows = dim_size(row.fused->parts[i], hyper_);
      if (i < row.part) before += rows;
      total += rows;
    }
    const bool matrix = row.slot.index() % 2 == 0;
    const uint64_t rows = dim_size(row.rows, hyper_);
    LAI_TRY_STATUS(
        check_shape(name, *whole, matrix ? matrix_shape(row, total) : make_shape({total})));
    const uint64_t row_bytes = matrix ? whole->row_bytes() : whole->bytes / total;
    TensorView part = *whole;
    part.shape = matrix ? matrix_shape(row, rows) : make_shape({rows});
    part.data += before * row_bytes;
    return std::optional<TensorView>(part);
  }

  Status bind_row(const TensorRow& row, uint32_t layer) {
    std::string name = names_.of(row, layer);
    const std::string fused = row.fused == nullptr ? "" : names_.of(*row.fused, layer);
    if (name.empty() && fused.empty()) return Ok{};
    seen_.insert({name, fused});
    const auto [use, may_miss] = wanted(row.need);
    if (!use) return Ok{};
    const TensorView* view = name.empty() ? nullptr : checkpoint_.find(name);
    std::optional<TensorView> part;
    if (view == nullptr && !fused.empty()) {
      LAI_TRY(part, find_part(row, fused));
      if (part) view = &*part;
      if (part || name.empty()) name = fused;
    }
    if (view == nullptr && may_miss) return Ok{};
    if (view == nullptr)
      return fail(Code::kCorrupt, name, "missing (architecture " + std::string(spec_.name) + ")");
    return std::visit(
        Overloaded{[&](Matrix Weights::*slot) { return set(row, name, *view, weights_.*slot); },
                   [&](Vector Weights::*slot) { return set(row, name, *view, weights_.*slot); },
                   [&](Matrix LayerWeights::*slot) {
                     return set(row, name, *view, weights_.layers[layer].*slot);
                   },
                   [&](Vector LayerWeights::*slot) {
                     return set(row, name, *view, weights_.layers[layer].*slot);
                   }},
        row.slot);
  }

  Status check_shape(const std::string& name, const TensorView& view, const Shape& expected) const {
    if (view.shape == expected) return Ok{};
    return fail(Code::kCorrupt, name,
                "shape " + view.shape.text() + ", but the hyperparameters say " + expected.text());
  }

  Status set(const TensorRow& row, const std::string& name, const TensorView& view, Matrix& out) {
    const uint64_t rows = dim_size(row.rows, hyper_);
    LAI_TRY_STATUS(check_shape(name, view, matrix_shape(row, rows)));
    out = {.data = view.data,
           .dtype = view.dtype,
           .rows = rows,
           .cols = view.cols(),
           .row_bytes = dtype_bytes(view.dtype, view.cols()).value(),
           .fused = is_fused(row, name),
           .exact = row.exact,
           .expert_bytes = row.per_expert ? view.bytes / hyper_.experts : 0,
           .scales = {}};
    if (!set_kernels(kernels_, precision_, out))
      return fail(Code::kUnsupported, name,
                  "no kernel for weights of type " + std::string(dtype_name(view.dtype)));
    weights_.parameters += view.shape.elements();
    return set_scales(name, view, out);
  }

  // Was `row` found under its fused tensor's name?
  [[nodiscard]] bool is_fused(const TensorRow& row, std::string_view name) const {
    if (row.fused == nullptr) return false;
    const std::string_view pattern = gguf_ ? row.fused->gguf : row.fused->hf;
    return !pattern.empty() && name.ends_with(pattern.substr(pattern.find("{}") + 2));
  }

  Status set_scales(const std::string& name, const TensorView& view, Matrix& out) {
    LAI_TRY(auto found, read_f8_scales(checkpoint_, name, view));
    if (!found) return Ok{};
    if (&out == &weights_.embedding || out.expert_bytes != 0)
      return fail(Code::kUnsupported, found->tensor,
                  "scales of embeddings and experts are not supported");
    seen_.insert(found->tensor);
    out.scales = std::move(found->scales);
    weights_.private_bytes += out.scales.values.size() * sizeof(float);
    return Ok{};
  }

  Status set(const TensorRow& row, const std::string& name, const TensorView& view, Vector& out) {
    if (!row.matrix_shape) {
      LAI_TRY_STATUS(check_shape(name, view, make_shape({dim_size(row.rows, hyper_)})));
    } else if (const Shape expected = matrix_shape(row, dim_size(row.rows, hyper_));
               squeezed(view.shape) != squeezed(expected) &&
               view.shape != make_shape({expected.elements()})) {
      LAI_TRY_STATUS(check_shape(name, view, expected));
    }
    Result<Vector> values = checkpoint_.read_floats(view);
    if (!values.ok()) return fail(values.error().code, name, values.error().message);
    out = std::move(*values);
    if (row.norm && spec_.norm_minus_one && !gguf_)
      for (float& w : out) w += 1.f;
    weights_.parameters += out.size();
    weights_.private_bytes += out.size() * sizeof(float);
    return Ok{};
  }

  // Buffers that some exporters write and no model reads; scales of activations that are not
  // quantized to F8 here; BERT's head for a training task.
  static bool is_known_buffer(std::string_view name) {
    if (name.find("pooler.dense.") != std::string_view::npos) return true;
    for (const std::string_view tail :
         {".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias", ".input_scale",
          "embeddings.position_ids"})
      if (name.ends_with(tail)) return true;
    return false;
  }

  void warn_of_extra_tensors() const {
    size_t count = 0;
    std::string first;
    for (const formats::NamedTensor& tensor : checkpoint_.tensors()) {
      if (seen_.contains(tensor.name) || is_known_buffer(tensor.name)) continue;
      if (count++ == 0) first = tensor.name;
    }
    if (count > 0)
      log::warn("{}: {} tensors are not part of architecture {}; the first is '{}'",
                checkpoint_.path().string(), count, spec_.name, first);
  }

  const ArchSpec& spec_;
  const formats::Checkpoint& checkpoint_;
  const kernels::KernelSet& kernels_;
  const Precision precision_;
  const Hyperparameters& hyper_;
  const bool gguf_;
  const TensorNames names_;
  Weights weights_;
  std::unordered_set<std::string> seen_;
};

}  // namespace

Matrix* matrix_of(const Slot& slot, uint32_t layer, Weights& weights) {
  if (const auto* global = std::get_if<Matrix Weights::*>(&slot)) return &(weights.**global);
  const auto* per_layer = std::get_if<Matrix LayerWeights::*>(&slot);
  return per_layer == nullptr ? nullptr : &(weights.layers[layer].**per_layer);
}

bool set_kernels(const kernels::KernelSet& kernels, Precision precision, Matrix& matrix) {
  const auto type = static_cast<size_t>(matrix.dtype);
  const bool fast = precision == Precision::kFast && !matrix.exact;
  matrix.matmul = fast ? kernels.matmul_fast[type] : kernels.matmul_exact[type];
  matrix.quantized_input = fast && kernels::KernelSet::fast_uses_quant_rows(matrix.dtype);
  return matrix.matmul != nullptr && kernels.dequantize_row[type] != nullptr;
}

Result<Weights> bind_weights(const ArchSpec& spec, const formats::Checkpoint& checkpoint,
                             const kernels::KernelSet& kernels, Precision precision,
                             Hyperparameters& hyper) {
  const TensorView* embedding = checkpoint.find("token_embd.weight");
  if (checkpoint.gguf() != nullptr && hyper.vocab == kVocabMax && embedding != nullptr &&
      embedding->rows() < kVocabMax)
    hyper.vocab = static_cast<uint32_t>(embedding->rows());
  const TensorView* types = checkpoint.find("token_types.weight");
  if (hyper.token_types == kTokenTypesMax && types != nullptr && types->rows() < kTokenTypesMax)
    hyper.token_types = static_cast<uint32_t>(types->rows());
  return Binder(spec, checkpoint, kernels, precision, hyper).bind();
}

}  // namespace localai::models
