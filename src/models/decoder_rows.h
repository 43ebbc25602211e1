#pragma once
// How the decoder's parts share out rows and products over threads.
#include <algorithm>

#include "base/thread_pool.h"
#include "kernels/packed.h"
#include "models/workspace.h"

namespace localai::models {

// Row-wise work (norms, RoPE, quantization) of fewer rows than this costs less than waking threads.
inline constexpr size_t kRowsInline = 4;
// Weight rows per piece of a product: pieces start at multiples of this, so that integer kernels
// keep their row groups and the FFN epilogue its quantization blocks.
inline constexpr size_t kRowGroup = 32;
inline constexpr size_t kPiecesPerThread =
    4;  // small enough to even out threads, few enough to be cheap

inline size_t piece_rows(size_t rows, const ThreadPool& pool) {
  const size_t piece = rows / (pool.size() * kPiecesPerThread) / kRowGroup * kRowGroup;
  return std::max(piece, kRowGroup);
}

// Whether the input of a mixer's first product has to be quantized.
inline bool mixer_reads_codes(const LayerWeights& layer) {
  return layer.query.quantized_input || layer.key.quantized_input || layer.value.quantized_input ||
         layer.mamba_in.quantized_input;
}

template <class F>
void for_rows(ThreadPool& pool, size_t rows, F&& work) {
  const auto range = [&](size_t begin, size_t end) {
    for (size_t r = begin; r < end; ++r) work(r);
  };
  if (rows < kRowsInline) return range(0, rows);
  pool.for_ranges(rows, std::max<size_t>(rows / (pool.size() * kPiecesPerThread), 1), range);
}

// Row `row` of a table of embeddings.
inline void look_up(const kernels::KernelSet& kernels, const Matrix& table, size_t row,
                    float* out) {
  const auto dequantize = kernels.dequantize_row[static_cast<size_t>(table.dtype)];
  if (!table.packed) return dequantize(table.data + row * table.row_bytes, out, table.cols);
  const size_t elements = dtype_info(table.dtype).block_elements;
  std::byte block[kernels::kBlockBytesMax];
  for (size_t b = 0; b < table.cols / elements; ++b) {
    kernels::unpack_block(table.dtype, table.data, row, table.cols, b, block);
    dequantize(block, out + b * elements, elements);
  }
}

// y[r, n] for the rows n in [begin, end) of `matrix` and `rows` input rows from `first` on; y is
// that of the first of them.
inline void matmul(const Matrix& matrix, const ActivationRows& input, size_t first, size_t rows,
                   size_t begin, size_t end, float* y, size_t ldy) {
  kernels::MatmulArgs args;
  input.bind(args, first);
  args.weights = matrix.data;
  args.row_bytes = matrix.row_bytes;
  args.scales = matrix.weight_scales();
  args.row_begin = begin;
  args.row_end = end;
  args.rows = rows;
  args.y = y;
  args.ldy = ldy;
  matrix.matmul(args);
}

}  // namespace localai::models
