#include "engine/convert/tensor_plan.h"

#include <algorithm>

#include "tensor/blocks.h"

namespace localai::engine {
namespace {

using models::LayerWeights;
using models::Need;
using models::Slot;
using models::TensorRow;

constexpr uint64_t kPieceBytes = uint64_t{4} << 20;

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

bool is_vector(const TensorRow& row) {
  return std::holds_alternative<models::Vector models::Weights::*>(row.slot) ||
         std::holds_alternative<models::Vector LayerWeights::*>(row.slot);
}

bool is_of_layer(const TensorRow& row) {
  return std::holds_alternative<models::Matrix LayerWeights::*>(row.slot) ||
         std::holds_alternative<models::Vector LayerWeights::*>(row.slot);
}

// Query and key rows, which RoPE turns.
bool is_rotated(const TensorRow& row) {
  for (const Slot& slot : {Slot(&LayerWeights::query), Slot(&LayerWeights::key),
                           Slot(&LayerWeights::query_bias), Slot(&LayerWeights::key_bias)})
    if (row.slot == slot) return true;
  return false;
}

std::string layer_name(std::string_view pattern, uint32_t layer) {
  std::string name(pattern);
  if (const size_t at = name.find("{}"); at != std::string::npos)
    name.replace(at, 2, std::to_string(layer));
  return name;
}

std::vector<float> values_of(const PlannedTensor& tensor) {
  std::vector<float> values(tensor.source->shape.elements());
  dequantize(tensor.source->dtype, tensor.source->data, values.data(), values.size());
  for (float& value : values) value += tensor.add;
  return values;
}

// Does every value of a vector survive in `dtype`?
bool fits(const PlannedTensor& tensor, DType dtype) {
  const std::vector<float> values = values_of(tensor);
  std::vector<uint16_t> narrow(values.size());
  std::vector<float> back(values.size());
  if (dtype == DType::kF32) return true;
  quantize(dtype, values.data(), narrow.data(), values.size());
  dequantize(dtype, narrow.data(), back.data(), back.size());
  return values == back;
}

class Planner {
 public:
  explicit Planner(const PlanRequest& request) : request_(request) {}

  Result<std::vector<PlannedTensor>> plan() {
    for (const TensorRow& row : request_.spec->tensors)
      if (!is_of_layer(row)) LAI_TRY_STATUS(add(row, 0));
    for (uint32_t layer = 0; layer < request_.hyper->layers; ++layer)
      for (const TensorRow& row : request_.spec->tensors)
        if (is_of_layer(row)) LAI_TRY_STATUS(add(row, layer));
    if (!request_.to_gguf) choose_vector_types();
    return std::move(out_);
  }

 private:
  Status add(const TensorRow& row, uint32_t layer) {
    if (request_.fused && row.fused != nullptr)
      return row.part == 0 ? add_fused(*row.fused, layer) : Ok{};
    if (row.gguf.empty() || row.hf.empty()) return Ok{};  // one format's own, made by the caller
    if (row.need == Need::kIfUntied && request_.tied) return Ok{};
    const std::string from = layer_name(request_.to_gguf ? row.hf : row.gguf, layer);
    const TensorView* view = request_.source->find(from);
    if (view == nullptr) return refuse_fused(row, layer);
    PlannedTensor tensor{layer_name(request_.to_gguf ? row.gguf : row.hf, layer), view};
    tensor.to_pairs = request_.to_gguf;
    if (request_.interleaved && is_rotated(row)) tensor.head_dim = request_.hyper->head_dim;
    if (row.norm && request_.spec->norm_minus_one) tensor.add = request_.to_gguf ? 1.f : -1.f;
    if (is_vector(row)) {
      vectors_.push_back(out_.size());
    } else {
      LAI_TRY(tensor.dtype, matrix_type(from, view->dtype));
    }
    out_.push_back(std::move(tensor));
    return Ok{};
  }

  Status add_fused(const models::FusedTensor& fused, uint32_t layer) {
    const std::string from = layer_name(request_.to_gguf ? fused.hf : fused.gguf, layer);
    const TensorView* view = request_.source->find(from);
    if (view == nullptr)
      return unsupported(request_.source->path().string() + ": there is no tensor '" + from +
                         "', only its parts, which the other format cannot hold");
    PlannedTensor tensor{layer_name(request_.to_gguf ? fused.gguf : fused.hf, layer), view};
    LAI_TRY(tensor.dtype, matrix_type(from, view->dtype));
    out_.push_back(std::move(tensor));
    return Ok{};
  }

  // Binding has found all that are needed: a tensor that is not there may be part of a larger one.
  Status refuse_fused(const TensorRow& row, uint32_t layer) const {
    if (row.fused == nullptr) return Ok{};
    const std::string name = layer_name(request_.to_gguf ? row.fused->hf : row.fused->gguf, layer);
    if (request_.source->find(name) == nullptr) return Ok{};
    return unsupported(request_.source->path().string() + ": tensor '" + name +
                       "' holds several of the other format's, which cannot be converted");
  }

  Result<DType> matrix_type(const std::string& name, DType stored) {
    if (request_.to_gguf && !is_float(stored))
      return unsupported(request_.source->path().string() + ": tensor '" + name + "' is " +
                         std::string(dtype_name(stored)) +
                         "; F32, F16 and BF16 weights can be converted");
    const DType dtype = request_.dtype.value_or(stored);
    if (!request_.to_gguf && !is_float(dtype))
      return unsupported(request_.source->path().string() + ": tensor '" + name + "' is " +
                         std::string(dtype_name(stored)) +
                         ", which safetensors does not have: choose --type f32, f16 or bf16");
    if (!matrix_type_) matrix_type_ = dtype;
    if (*matrix_type_ != dtype) matrix_type_ = DType::kF32;  // of several, for the vectors
    return dtype;
  }

  void choose_vector_types() {
    const DType dtype = matrix_type_.value_or(DType::kF32);
    for (const size_t i : vectors_)
      if (request_.dtype || fits(out_[i], dtype)) out_[i].dtype = dtype;
  }

  const PlanRequest& request_;
  std::vector<PlannedTensor> out_;
  std::vector<size_t> vectors_;  // indices into out_
  std::optional<DType> matrix_type_;
};

// Where output row `row` stands in the source.
uint64_t source_row(const PlannedTensor& tensor, uint64_t row) {
  const uint64_t d = tensor.head_dim;
  if (d == 0) return row;
  const uint64_t i = row % d, head = row - i;
  return head + (tensor.to_pairs ? i % 2 * (d / 2) + i / 2 : i % (d / 2) * 2 + i / (d / 2));
}

}  // namespace

Result<std::vector<PlannedTensor>> plan_tensors(const PlanRequest& request) {
  return Planner(request).plan();
}

Status write_tensor(const PlannedTensor& tensor,
                    FunctionRef<Status(std::span<const std::byte>)> sink) {
  const TensorView& view = *tensor.source;
  const bool single = view.shape.rank < 2 && tensor.head_dim != 0;  // a bias: rows of one element
  const uint64_t cols = single ? 1 : view.cols();
  const uint64_t rows = view.shape.elements() / cols;
  const uint64_t in_bytes = view.bytes / rows;
  const uint64_t out_bytes = *dtype_bytes(tensor.dtype, cols);
  const bool copy = tensor.dtype == view.dtype && tensor.add == 0.f;
  const uint64_t piece_rows = std::max<uint64_t>(1, kPieceBytes / out_bytes);
  std::vector<std::byte> piece;
  std::vector<float> values(copy ? 0 : cols);
  for (uint64_t begin = 0; begin < rows; begin += piece_rows) {
    const uint64_t end = std::min(rows, begin + piece_rows);
    if (copy && tensor.head_dim == 0) {
      LAI_TRY_STATUS(sink({view.data + begin * in_bytes, (end - begin) * in_bytes}));
      continue;
    }
    piece.resize((end - begin) * out_bytes);
    for (uint64_t row = begin; row < end; ++row) {
      const std::byte* from = view.data + source_row(tensor, row) * in_bytes;
      std::byte* to = piece.data() + (row - begin) * out_bytes;
      if (copy) {
        std::copy_n(from, out_bytes, to);
        continue;
      }
      dequantize(view.dtype, from, values.data(), cols);
      for (float& value : values) value += tensor.add;
      quantize(tensor.dtype, values.data(), to, cols);
    }
    LAI_TRY_STATUS(sink(piece));
  }
  return Ok{};
}

}  // namespace localai::engine
