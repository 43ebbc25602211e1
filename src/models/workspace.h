#pragma once
// Scratch of one forward pass. Grown to the largest step seen; nothing is allocated after that.
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "models/model.h"
#include "models/weights.h"

namespace localai::models {

// Exactly as large as the largest step needs: a vector's own growth would double it.
template <class T>
void grow_to(std::vector<T>& v, size_t size) {
  if (v.size() >= size) return;
  v.reserve(size);
  v.resize(size);
}

// Rows of activations in f32 and, where a matrix wants them, as int8 codes with scales and sums.
class ActivationRows {
 public:
  // Space for rows x cols; contents are undefined.
  void resize(size_t rows, size_t cols);
  [[nodiscard]] float* row(size_t r) { return values_.data() + r * cols_; }
  // Codes of the elements [begin, end) of a row; both are multiples of kQuantBlock.
  void quantize(const kernels::KernelSet& kernels, size_t r, size_t begin, size_t end);
  // The input side of a product with these rows.
  void bind(kernels::MatmulArgs& args, size_t first_row = 0) const;
  // Row `r` becomes a copy of another's, codes included when `codes`.
  void copy(size_t r, const ActivationRows& from, size_t from_row, bool codes);
  [[nodiscard]] uint64_t bytes() const;
  // bytes() after resize(rows, cols).
  static uint64_t bytes_for(size_t rows, size_t cols);

 private:
  size_t cols_ = 0;
  std::vector<float> values_;
  std::vector<int8_t> codes_;
  std::vector<float> scales_;
  std::vector<int16_t> sums_;
};

// Some query heads of one KV head, for some rows of one sequence: one unit of attention work.
struct AttentionTask {
  uint32_t sequence = 0;
  uint32_t kv_head = 0;
  uint32_t head_begin = 0, head_end = 0;
  uint32_t row_begin = 0, row_end = 0;
};

// What one thread needs to describe a task to the kernel.
struct AttentionScratch {
  std::vector<const float*> queries;
  std::vector<float*> outputs;
  std::vector<uint32_t> key_begin, key_end;
  std::vector<const std::byte*> k_blocks, v_blocks;
};

// cos and sin [rows, rotary/2] of one kind of RoPE at this step's positions.
struct RopeAngles {
  std::vector<float> cos, sin;
};

// Rows [begin, end) of a step, of one sequence.
struct SequenceRun {
  uint32_t sequence = 0;
  uint32_t begin = 0, end = 0;
};

struct MambaWorkspace {
  std::vector<float> rows;       // [rows, projection] z, then x (later y), B and C, then dt
  std::vector<float> dt, decay;  // [rows, heads]
  ActivationRows gated;          // [rows, inner]
  std::vector<SequenceRun> runs;
};

struct ExpertWorkspace {
  std::vector<float> logits;  // [rows, E]
  // Each row's experts in ascending order, with their weights: [rows, used].
  std::vector<uint32_t> chosen;
  std::vector<float> weights;
  std::vector<uint32_t> begin;   // [E + 1] of each expert's rows among the gathered ones
  std::vector<uint32_t> place;   // [rows, used] gathered row of each choice
  std::vector<uint32_t> active;  // experts with rows
  ActivationRows input, gated;   // [rows * used, H], [rows * used, I]
  std::vector<float> up, out;    // [rows * used, I], [rows * used, H]
};

struct DecoderWorkspace : Workspace {
  [[nodiscard]] uint64_t bytes() const override;

  std::vector<float> x;       // [rows, H] residual stream
  std::vector<float> branch;  // [rows, H] what a mixer or FFN adds to it
  std::vector<float> qkv;     // [rows, (nh + 2 nkv) d]
  std::vector<float> up;      // [rows, F]
  ActivationRows input;       // [rows, H] normed input of a mixer, an FFN or the head
  ActivationRows mixed;       // [rows, nh d] attention's output
  ActivationRows gated;       // [rows, F]
  RopeAngles full_rope, sliding_rope;
  MambaWorkspace mamba;
  ExpertWorkspace experts;

  // The rows still computed: all of the step, then only the wanted ones in the last layer.
  std::vector<uint32_t> row_position, row_sequence;
  std::vector<AttentionTask> tasks;
  std::vector<AttentionScratch> threads;
};

}  // namespace localai::models
