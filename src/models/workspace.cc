#include "models/workspace.h"

#include <algorithm>

namespace localai::models {
namespace {

template <class T>
uint64_t bytes_of(const std::vector<T>& v) {
  return v.capacity() * sizeof(T);
}

}  // namespace

void ActivationRows::resize(size_t rows, size_t cols) {
  cols_ = cols;
  grow_to(values_, rows * cols);
  grow_to(codes_, rows * cols);
  grow_to(scales_, rows * (cols / kernels::kQuantBlock));
  grow_to(sums_, rows * (cols / kernels::kQuantBlock) * 2);
}

void ActivationRows::quantize(const kernels::KernelSet& kernels, size_t r, size_t begin,
                              size_t end) {
  const size_t blocks = cols_ / kernels::kQuantBlock, block = begin / kernels::kQuantBlock;
  kernels.quantize_row(row(r) + begin, end - begin, codes_.data() + r * cols_ + begin,
                       scales_.data() + r * blocks + block,
                       sums_.data() + (r * blocks + block) * 2);
}

void ActivationRows::bind(kernels::MatmulArgs& args, size_t first_row) const {
  const size_t block = first_row * (cols_ / kernels::kQuantBlock);
  args.k = cols_;
  args.x = values_.data() + first_row * cols_;
  args.ldx = cols_;
  args.xq = {codes_.data() + first_row * cols_, scales_.data() + block, sums_.data() + 2 * block};
}

uint64_t ActivationRows::bytes_for(size_t rows, size_t cols) {
  const size_t blocks = cols / kernels::kQuantBlock;
  return rows *
         (cols * (sizeof(float) + sizeof(int8_t)) + blocks * (sizeof(float) + 2 * sizeof(int16_t)));
}

void ActivationRows::copy(size_t r, const ActivationRows& from, size_t from_row, bool codes) {
  const size_t blocks = cols_ / kernels::kQuantBlock;
  std::copy_n(from.values_.data() + from_row * cols_, cols_, row(r));
  if (!codes) return;
  std::copy_n(from.codes_.data() + from_row * cols_, cols_, codes_.data() + r * cols_);
  std::copy_n(from.scales_.data() + from_row * blocks, blocks, scales_.data() + r * blocks);
  std::copy_n(from.sums_.data() + from_row * blocks * 2, blocks * 2, sums_.data() + r * blocks * 2);
}

uint64_t ActivationRows::bytes() const {
  return bytes_of(values_) + bytes_of(codes_) + bytes_of(scales_) + bytes_of(sums_);
}

uint64_t DecoderWorkspace::bytes() const {
  uint64_t total = bytes_of(x) + bytes_of(branch) + bytes_of(qkv) + bytes_of(up) + input.bytes() +
                   mixed.bytes() + gated.bytes() + bytes_of(row_position) + bytes_of(row_sequence) +
                   bytes_of(tasks) + bytes_of(threads);
  total += bytes_of(mamba.rows) + bytes_of(mamba.dt) + bytes_of(mamba.decay) + mamba.gated.bytes() +
           bytes_of(mamba.runs);
  total += bytes_of(experts.logits) + bytes_of(experts.chosen) + bytes_of(experts.weights) +
           bytes_of(experts.begin) + bytes_of(experts.place) + bytes_of(experts.active) +
           experts.input.bytes() + experts.gated.bytes() + bytes_of(experts.up) +
           bytes_of(experts.out);
  for (const RopeAngles* angles : {&full_rope, &sliding_rope})
    total += bytes_of(angles->cos) + bytes_of(angles->sin);
  for (const AttentionScratch& s : threads)
    total += bytes_of(s.queries) + bytes_of(s.outputs) + bytes_of(s.key_begin) +
             bytes_of(s.key_end) + bytes_of(s.k_blocks) + bytes_of(s.v_blocks);
  return total;
}

}  // namespace localai::models
