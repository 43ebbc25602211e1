#include "models/f8_scales.h"

#include <utility>

namespace localai::models {
namespace {

struct BlockSize {
  uint64_t rows = 128, cols = 128;
};

uint64_t positive(const Json& value) {
  return value.is_number_unsigned() ? value.get<uint64_t>() : 0;
}

// quantization_config.weight_block_size of config.json.
Result<BlockSize> read_block_size(const formats::Checkpoint& checkpoint) {
  const Json& config = checkpoint.safetensors()->config();
  const auto quantization = config.find("quantization_config");
  if (quantization == config.end() || !quantization->is_object()) return BlockSize{};
  const auto size = quantization->find("weight_block_size");
  if (size == quantization->end() || size->is_null()) return BlockSize{};
  BlockSize out{0, 0};
  if (size->is_array() && size->size() == 2) out = {positive((*size)[0]), positive((*size)[1])};
  if (out.rows == 0 || out.cols == 0 || out.cols % 16 != 0)
    return unsupported("config.json: quantization_config.weight_block_size: " + dump_json(*size) +
                       "; two positive numbers are needed, the second a multiple of 16");
  return out;
}

uint64_t groups(uint64_t count, uint64_t size) {
  return count / size + (count % size != 0 ? 1 : 0);
}

// How the scales lie over the weights.
Result<MatrixScales> lay_out(const formats::Checkpoint& checkpoint, const TensorView& weights,
                             const TensorView& view) {
  const uint64_t rows = weights.rows(), cols = weights.cols();
  MatrixScales out;
  if (view.shape.elements() == 1) return out;
  if (view.shape == make_shape({rows}) || view.shape == make_shape({rows, 1})) {
    out.rows = 1;
    out.stride = 1;
    return out;
  }
  LAI_TRY(const BlockSize block, read_block_size(checkpoint));
  const Shape per_block = make_shape({groups(rows, block.rows), groups(cols, block.cols)});
  if (view.shape != per_block)
    return unsupported("shape " + view.shape.text() + " of scales for weights of shape " +
                       weights.shape.text() + "; one, one a row, or " + per_block.text() +
                       " (one a block) is supported");
  out.rows = block.rows;
  out.cols = block.cols;
  out.stride = per_block[1];
  return out;
}

Result<MatrixScales> read(const formats::Checkpoint& checkpoint, const TensorView& weights,
                          const TensorView& view) {
  LAI_TRY(MatrixScales out, lay_out(checkpoint, weights, view));
  LAI_TRY(out.values, checkpoint.read_floats(view));
  return out;
}

}  // namespace

Result<std::optional<F8Scales>> read_f8_scales(const formats::Checkpoint& checkpoint,
                                               const std::string& name, const TensorView& weights) {
  const bool f8 = weights.dtype == DType::kF8_E4M3 || weights.dtype == DType::kF8_E5M2;
  if (!f8 || checkpoint.safetensors() == nullptr) return std::optional<F8Scales>();
  for (const char* suffix : {"_scale", "_scale_inv"}) {
    const std::string tensor = name + suffix;
    const TensorView* view = checkpoint.find(tensor);
    if (view == nullptr) continue;
    LAI_TRY(MatrixScales scales, read(checkpoint, weights, *view),
            checkpoint.path().string() + ": tensor '" + tensor + "'");
    return std::optional<F8Scales>(F8Scales{tensor, std::move(scales)});
  }
  return std::optional<F8Scales>();
}

}  // namespace localai::models
