#include "engine/convert/tensor_plan.h"

#include <algorithm>

#include "models/tensor_names.h"
#include "tensor/blocks.h"

namespace localai::engine {
namespace {

using models::FusedTensor;
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

// F32 in GGUF whatever the type of the model's matrices, as its readers expect.
bool stays_f32(const TensorRow& row) {
  return is_vector(row) || row.exact || row.slot == Slot(&models::Weights::positions) ||
         row.slot == Slot(&models::Weights::token_types);
}

// Query and key rows, which RoPE turns.
bool is_rotated(const TensorRow& row) {
  for (const Slot& slot : {Slot(&LayerWeights::query), Slot(&LayerWeights::key),
                           Slot(&LayerWeights::query_bias), Slot(&LayerWeights::key_bias)})
    if (row.slot == slot) return true;
  return false;
}

std::vector<float> values_of(const PlannedTensor& tensor) {
  std::vector<float> values(tensor.shape.elements());
  float* at = values.data();
  for (const TensorView& view : tensor.sources) {
    dequantize(view.dtype, view.data, at, view.shape.elements());
    at += view.shape.elements();
  }
  return values;
}

// Does every value survive in `dtype`, so that the way back gives what the source has?
bool fits(const PlannedTensor& tensor, DType dtype) {
  if (dtype == DType::kF32) return true;
  const std::vector<float> source = values_of(tensor);
  std::vector<float> values = source;
  if (tensor.change != nullptr)
    for (float& value : values) value = tensor.change->apply(value);
  std::vector<uint16_t> narrow(values.size());
  quantize(dtype, values.data(), narrow.data(), values.size());
  dequantize(dtype, narrow.data(), values.data(), values.size());
  if (tensor.change != nullptr)
    for (float& value : values) value = tensor.change->undo(value);
  return values == source;
}

class Planner {
 public:
  explicit Planner(const PlanRequest& request)
      : request_(request), names_(*request.spec, *request.source) {}

  Result<std::vector<PlannedTensor>> plan() {
    for (const TensorRow& row : request_.spec->tensors)
      if (!is_of_layer(row)) LAI_TRY_STATUS(add(row, 0));
    for (uint32_t layer = 0; layer < request_.hyper->layers; ++layer)
      for (const TensorRow& row : request_.spec->tensors)
        if (is_of_layer(row) && models::has_tensor(row.layers, request_.hyper->kinds[layer]))
          LAI_TRY_STATUS(add(row, layer));
    if (!request_.to_gguf) choose_plain_types();
    return std::move(out_);
  }

 private:
  template <class Named>  // TensorRow or FusedTensor
  [[nodiscard]] std::string output_name(const Named& row, uint32_t layer) const {
    return models::layer_tensor_name(request_.to_gguf ? row.gguf : row.hf, layer);
  }
  template <class Named>
  [[nodiscard]] const TensorView* find(const Named& row, uint32_t layer) const {
    const std::string name = names_.of(row, layer);
    return name.empty() ? nullptr : request_.source->find(name);
  }
  // Of the tensor that was found for the row.
  [[nodiscard]] std::string source_name(const TensorRow& row, uint32_t layer) const {
    const bool own = row.fused == nullptr || find(row, layer) != nullptr;
    return own ? names_.of(row, layer) : names_.of(*row.fused, layer);
  }
  [[nodiscard]] Error fail(Code code, const std::string& tensor, const std::string& what) const {
    return {code, request_.source->path().string() + ": tensor '" + tensor + "' " + what};
  }

  // Binding has found all that are needed: what is not there now may be left out.
  Status add(const TensorRow& row, uint32_t layer) {
    if (!has_ffn_part(row.need, *request_.hyper)) return Ok{};
    if (row.need == Need::kIfUntied && request_.tied) return Ok{};
    PlannedTensor tensor;
    tensor.name = output_name(row, layer);
    const bool whole = row.fused != nullptr && (request_.fused || tensor.name.empty());
    if (whole && row.part != 0) return Ok{};
    if (whole) tensor.name = output_name(*row.fused, layer);
    if (tensor.name.empty()) return Ok{};  // one format's own, made by the caller
    LAI_TRY_STATUS(whole ? find_whole(row, layer, tensor) : find_one(row, layer, tensor));
    if (tensor.sources.empty()) return Ok{};
    if (row.matrix_shape) tensor.shape = output_shape(row, tensor.shape.elements());
    tensor.to_pairs = request_.to_gguf;
    if (request_.interleaved && !whole && is_rotated(row))
      tensor.head_dim = request_.hyper->head_dim;
    tensor.change = change_of(row, *request_.spec, request_.to_gguf);
    const std::string from = source_name(row, layer);
    LAI_TRY_STATUS(check_source(tensor, from));
    if (stays_f32(row)) {
      plain_.push_back(out_.size());
    } else {
      LAI_TRY(tensor.dtype, matrix_type(tensor, from));
    }
    out_.push_back(std::move(tensor));
    return Ok{};
  }

  // GGUF holds Mamba2's vectors as matrices; safetensors flat, but a convolution as [C, 1, K].
  [[nodiscard]] Shape output_shape(const TensorRow& row, uint64_t elements) const {
    const uint64_t rows = dim_size(row.rows, *request_.hyper);
    const uint64_t cols = dim_size(row.cols, *request_.hyper);
    if (request_.to_gguf) return make_shape({rows, cols});
    if (row.slot == Slot(&LayerWeights::conv)) return make_shape({rows, 1, cols});
    return make_shape({elements});
  }

  [[nodiscard]] Shape shape_of(const TensorRow& row, const TensorView& view, uint64_t rows) const {
    if (row.per_expert) return make_shape({request_.hyper->experts, rows, view.cols()});
    return is_vector(row) ? make_shape({rows}) : make_shape({rows, view.cols()});
  }

  // `count` rows from `begin` on of a tensor (of one expert's part of it).
  [[nodiscard]] TensorView rows_of(const TensorRow& row, const TensorView& view, uint32_t expert,
                                   uint64_t begin, uint64_t count) const {
    const uint64_t matrices = row.per_expert ? request_.hyper->experts : 1;
    const uint64_t bytes = view.bytes / matrices;
    const uint64_t cols = is_vector(row) ? 1 : view.cols();
    const uint64_t row_bytes = view.bytes / (view.shape.elements() / cols);
    TensorView part = view;
    part.shape = is_vector(row) ? make_shape({count}) : make_shape({count, cols});
    part.data += expert * bytes + begin * row_bytes;
    part.bytes = count * row_bytes;
    return part;
  }

  // The row's own tensor, or its part of one that holds several.
  Status find_one(const TensorRow& row, uint32_t layer, PlannedTensor& tensor) const {
    if (const TensorView* own = find(row, layer); own != nullptr) {
      tensor.sources = {*own};
      tensor.shape = own->shape;
      return Ok{};
    }
    const TensorView* fused = row.fused == nullptr ? nullptr : find(*row.fused, layer);
    if (fused == nullptr) return Ok{};
    uint64_t before = 0;
    for (size_t i = 0; i < row.part; ++i) before += dim_size(row.fused->parts[i], *request_.hyper);
    const uint64_t rows = dim_size(row.rows, *request_.hyper);
    for (uint32_t expert = 0; expert < (row.per_expert ? request_.hyper->experts : 1); ++expert)
      tensor.sources.push_back(rows_of(row, *fused, expert, before, rows));
    tensor.shape = shape_of(row, *fused, rows);
    return Ok{};
  }

  // The tensor that holds several, or those it would hold.
  Status find_whole(const TensorRow& first, uint32_t layer, PlannedTensor& tensor) const {
    if (const TensorView* fused = find(*first.fused, layer); fused != nullptr) {
      tensor.sources = {*fused};
      tensor.shape = fused->shape;
      return Ok{};
    }
    std::vector<const TensorView*> parts(first.fused->parts.size());
    for (const TensorRow& row : request_.spec->tensors)
      if (row.fused == first.fused && has_ffn_part(row.need, *request_.hyper))
        parts[row.part] = find(row, layer);
    if (std::all_of(parts.begin(), parts.end(), [](const auto* part) { return part == nullptr; }))
      return Ok{};
    if (std::find(parts.begin(), parts.end(), nullptr) != parts.end())
      return fail(Code::kUnsupported, tensor.name, "cannot be written: a part of it is missing");
    uint64_t total = 0;
    for (uint32_t expert = 0; expert < (first.per_expert ? request_.hyper->experts : 1); ++expert)
      for (size_t i = 0; i < parts.size(); ++i) {
        const uint64_t rows = dim_size(first.fused->parts[i], *request_.hyper);
        tensor.sources.push_back(rows_of(first, *parts[i], expert, 0, rows));
        if (expert == 0) total += rows;
      }
    tensor.shape = shape_of(first, *parts.front(), total);
    return Ok{};
  }

  Status check_source(const PlannedTensor& tensor, const std::string& from) const {
    const DType stored = tensor.sources.front().dtype;
    if (request_.to_gguf && !is_float(stored))
      return fail(
          Code::kUnsupported, from,
          "is " + std::string(dtype_name(stored)) + "; F32, F16 and BF16 weights can be converted");
    if (tensor.change == nullptr || tensor.change->takes == nullptr) return Ok{};
    for (const float value : values_of(tensor))
      if (!tensor.change->takes(value))
        return fail(Code::kCorrupt, from,
                    "holds " + std::to_string(value) + " where " + tensor.change->expected);
    return Ok{};
  }

  Result<DType> matrix_type(const PlannedTensor& tensor, const std::string& from) {
    const DType stored = tensor.sources.front().dtype;
    const std::string type(dtype_name(stored));
    for (const TensorView& view : tensor.sources)
      if (view.dtype != stored && !request_.dtype)
        return fail(Code::kUnsupported, tensor.name,
                    "would hold parts of types " + type + " and " +
                        std::string(dtype_name(view.dtype)) + ": choose --type f32, f16 or bf16");
    const DType dtype = request_.dtype.value_or(stored);
    if (!request_.to_gguf && !is_float(dtype))
      return fail(
          Code::kUnsupported, from,
          "is " + type + ", which safetensors does not have: choose --type f32, f16 or bf16");
    if (!matrix_type_) matrix_type_ = dtype;
    if (*matrix_type_ != dtype) matrix_type_ = DType::kF32;  // of several, for the vectors
    return dtype;
  }

  void choose_plain_types() {
    const DType dtype = matrix_type_.value_or(DType::kF32);
    for (const size_t i : plain_)
      if (request_.dtype || fits(out_[i], dtype)) out_[i].dtype = dtype;
  }

  const PlanRequest& request_;
  const models::TensorNames names_;  // in the source
  std::vector<PlannedTensor> out_;
  std::vector<size_t> plain_;  // what stays_f32(), as indices into out_
  std::optional<DType> matrix_type_;
};

// Where output row `row` stands in the source.
uint64_t source_row(const PlannedTensor& tensor, uint64_t row) {
  const uint64_t d = tensor.head_dim;
  if (d == 0) return row;
  const uint64_t i = row % d, head = row - i;
  return head + (tensor.to_pairs ? i % 2 * (d / 2) + i / 2 : i % (d / 2) * 2 + i / (d / 2));
}

Status write_source(const PlannedTensor& tensor, const TensorView& view,
                    FunctionRef<Status(std::span<const std::byte>)> sink) {
  const bool single = view.shape.rank < 2 && tensor.head_dim != 0;  // a bias: rows of one element
  const uint64_t cols = single ? 1 : view.cols();
  const uint64_t rows = view.shape.elements() / cols;
  const uint64_t in_bytes = view.bytes / rows;
  const uint64_t out_bytes = *dtype_bytes(tensor.dtype, cols);
  const bool copy = tensor.dtype == view.dtype && tensor.change == nullptr;
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
      if (tensor.change != nullptr)
        for (float& value : values) value = tensor.change->apply(value);
      quantize(tensor.dtype, values.data(), to, cols);
    }
    LAI_TRY_STATUS(sink(piece));
  }
  return Ok{};
}

}  // namespace

Result<std::vector<PlannedTensor>> plan_tensors(const PlanRequest& request) {
  return Planner(request).plan();
}

Status write_tensor(const PlannedTensor& tensor,
                    FunctionRef<Status(std::span<const std::byte>)> sink) {
  for (const TensorView& view : tensor.sources) LAI_TRY_STATUS(write_source(tensor, view, sink));
  return Ok{};
}

}  // namespace localai::engine
