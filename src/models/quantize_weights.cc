#include "models/quantize_weights.h"

#include <memory>
#include <string>
#include <unordered_map>

#include "models/bind.h"
#include "models/tensor_names.h"
#include "tensor/convert.h"

namespace localai::models {
namespace {

struct Target {
  std::string name;  // as in GGUF: the rules go by it
  Matrix* matrix;
  DType dtype;       // it will have
  uint64_t experts;  // matrices of that shape; 1: not per expert
};

std::string gguf_name(const TensorRow& row, bool fused, uint32_t layer) {
  return layer_tensor_name(fused && !row.fused->gguf.empty() ? row.fused->gguf : row.gguf, layer);
}

Matrix* matrix_of(const Slot& slot, uint32_t layer, Weights& weights) {
  if (const auto* global = std::get_if<Matrix Weights::*>(&slot)) return &(weights.**global);
  const auto* per_layer = std::get_if<Matrix LayerWeights::*>(&slot);
  return per_layer == nullptr ? nullptr : &(weights.layers[layer].**per_layer);
}

bool is_tied(const Weights& weights) { return weights.head.data == weights.embedding.data; }

MixFacts facts_of(const ArchSpec& spec, const Hyperparameters& hyper) {
  return {.architecture = std::string(spec.gguf_names.empty() ? "llama" : spec.gguf_names.front()),
          .layers = hyper.layers,
          .heads = hyper.heads,
          .kv_heads = hyper.kv_heads,
          .experts = hyper.experts};
}

// Every matrix once, in the order of the architecture's list, with the type the rules give it.
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
      if (matrix == &weights.head && is_tied(weights)) continue;
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
  return targets;
}

uint64_t bytes_of(const Target& target) {
  const Matrix& matrix = *target.matrix;
  return dtype_bytes(target.dtype, target.experts * matrix.rows * matrix.cols).value();
}

Status replace(const Target& target, const kernels::KernelSet& kernels, Precision precision,
               ThreadPool& pool, Weights& weights) {
  Matrix& matrix = *target.matrix;
  const uint64_t elements = uint64_t{matrix.rows} * matrix.cols, bytes = bytes_of(target);
  if (!is_weight_type(matrix.dtype))  // F8 with its scales among them
    return unsupported("tensor '" + target.name + "': type " +
                       std::string(dtype_name(matrix.dtype)) + " cannot be quantized");
  auto copy = std::make_unique_for_overwrite<std::byte[]>(bytes);
  const uint64_t expert_bytes = bytes / target.experts;
  for (uint64_t e = 0; e < target.experts; ++e) {
    const std::byte* from = matrix.expert(e).data;
    convert(matrix.dtype, from, target.dtype, copy.get() + e * expert_bytes, elements, pool);
    formats::Checkpoint::release_pages({from, matrix.rows * matrix.row_bytes});
  }
  matrix.data = copy.get();
  matrix.dtype = target.dtype;
  matrix.row_bytes = expert_bytes / matrix.rows;
  if (matrix.expert_bytes != 0) matrix.expert_bytes = expert_bytes;
  weights.private_bytes += bytes;
  weights.copies.push_back(std::move(copy));
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
  const bool tied = is_tied(weights);
  for (const Target& target : choose_targets(spec, hyper, type, weights))
    LAI_TRY_STATUS(replace(target, kernels, precision, pool, weights));
  if (tied) weights.head = weights.embedding;
  return Ok{};
}

}  // namespace localai::models
