#include "models/quantize_weights.h"

#include <string>
#include <unordered_map>

#include "kernels/packed.h"
#include "models/bind.h"
#include "models/tensor_names.h"
#include "tensor/convert.h"

namespace localai::models {
namespace {

constexpr uint64_t kAlignment = 64;  // of a matrix

struct Target {
  std::string name;  // as in GGUF: the rules go by it
  Matrix* matrix;
  DType dtype;       // it will have
  uint64_t experts;  // matrices of that shape; 1: not per expert
};

std::string gguf_name(const TensorRow& row, bool fused, uint32_t layer) {
  return layer_tensor_name(fused && !row.fused->gguf.empty() ? row.fused->gguf : row.gguf, layer);
}

MixFacts facts_of(const ArchSpec& spec, const Hyperparameters& hyper) {
  return {.architecture = std::string(spec.gguf_names.empty() ? "llama" : spec.gguf_names.front()),
          .layers = hyper.layers,
          .heads = hyper.heads,
          .kv_heads = hyper.kv_heads,
          .experts = hyper.experts};
}

// Every matrix once, in the order of the file, with the type the rules give it.
std::vector<Target> choose_targets(const ArchSpec& spec, const Hyperparameters& hyper,
                                   const QuantizationType& type, Weights& weights) {
  std::vector<Target> targets;
  std::vector<MixTensor> tensors;
  std::vector<size_t> tensor_of;                  // by target; parts of a fused tensor share it
  std::unordered_map<std::string, size_t> index;  // by name
  for (const TensorRow& row : spec.tensors) {
    const bool per_layer = row.slot.index() >= 2;
    for (uint32_t layer = 0; layer < (per_layer ? hyper.layers : 1u); ++layer) {
      Matrix* matrix = matrix_of(row.slot, layer, weights);
      if (matrix == nullptr || matrix->data == nullptr) continue;
      if (!has_ffn_part(row.need, hyper)) continue;  // the slot was filled by another row
      if (matrix == &weights.head && weights.tied()) continue;
      const std::string name = gguf_name(row, matrix->fused, layer);
      const uint64_t experts = row.per_expert ? hyper.experts : 1;
      targets.push_back({name, matrix, matrix->dtype, experts});
      const auto [found, added] = index.emplace(name, tensors.size());
      tensor_of.push_back(found->second);
      if (added)
        tensors.push_back({name, matrix->dtype, make_shape({experts, matrix->rows, matrix->cols})});
    }
  }
  const std::vector<DType> types = choose_types(type, facts_of(spec, hyper), tensors);
  for (size_t i = 0; i < targets.size(); ++i) targets[i].dtype = types[tensor_of[i]];
  sort_by_address(targets);
  return targets;
}

uint64_t row_bytes(const Target& target) {
  return dtype_bytes(target.dtype, target.matrix->cols).value();
}

// With room for packing each expert in place.
uint64_t expert_bytes(const Target& target) {
  return kernels::packed_bytes(target.matrix->rows, row_bytes(target));
}

uint64_t bytes_of(const Target& target) {
  return (target.experts * expert_bytes(target) + kAlignment - 1) / kAlignment * kAlignment;
}

// Into `copy`, which has bytes_of(target).
Status replace(const Target& target, const kernels::KernelSet& kernels, Precision precision,
               ThreadPool& pool, std::byte* copy) {
  Matrix& matrix = *target.matrix;
  const uint64_t elements = uint64_t{matrix.rows} * matrix.cols;
  if (!is_weight_type(matrix.dtype))  // F8 with its scales among them
    return unsupported("tensor '" + target.name + "': type " +
                       std::string(dtype_name(matrix.dtype)) + " cannot be quantized");
  for (uint64_t e = 0; e < target.experts; ++e) {
    const std::byte* from = matrix.expert(e).data;
    convert(matrix.dtype, from, target.dtype, copy + e * expert_bytes(target), elements, pool);
    formats::Checkpoint::release_pages({from, matrix.rows * matrix.row_bytes});
  }
  matrix.data = copy;
  matrix.dtype = target.dtype;
  matrix.row_bytes = row_bytes(target);
  if (matrix.expert_bytes != 0) matrix.expert_bytes = expert_bytes(target);
  if (set_kernels(kernels, precision, matrix)) return Ok{};
  return unsupported("tensor '" + target.name + "': no kernel for weights of type " +
                     std::string(dtype_name(target.dtype)));
}

}  // namespace

QuantizedWeights plan_quantization(const ArchSpec& spec, const Hyperparameters& hyper,
                                   const QuantizationType& type, Weights& weights) {
  QuantizedWeights plan;
  for (const Target& target : choose_targets(spec, hyper, type, weights)) {
    plan.bytes += bytes_of(target);
    ++plan.types[dtype_name(target.dtype)];
  }
  return plan;
}

Status quantize_weights(const ArchSpec& spec, const Hyperparameters& hyper,
                        const QuantizationType& type, const kernels::KernelSet& kernels,
                        Precision precision, ThreadPool& pool, Weights& weights) {
  const bool tied = weights.tied();
  const std::vector<Target> targets = choose_targets(spec, hyper, type, weights);
  uint64_t total = 0;
  for (const Target& target : targets) total += bytes_of(target);
  LAI_TRY(PageRegion copies, PageRegion::reserve(total, "quantized weights"));
  std::byte* at = copies.data();
  for (const Target& target : targets) {
    LAI_TRY_STATUS(replace(target, kernels, precision, pool, at));
    at += bytes_of(target);
  }
  weights.private_bytes += total;
  weights.copies.push_back(std::move(copies));
  if (tied) weights.head = weights.embedding;
  return Ok{};
}

}  // namespace localai::models
