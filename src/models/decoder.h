#pragma once
// The one parametric decoder behind every architecture of the table (arch.h).
#include <memory>

#include "models/arch.h"
#include "models/model.h"
#include "models/workspace.h"

namespace localai::models {

class Decoder : public Model {
 public:
  // Everything has been checked against each other (bind.h).
  Decoder(std::shared_ptr<const formats::Checkpoint> checkpoint, const ArchSpec& spec,
          Hyperparameters hyper, Weights weights, const kernels::KernelSet& kernels,
          ModelInfo info);

  [[nodiscard]] const ModelInfo& info() const override { return info_; }
  [[nodiscard]] const StateGeometry& state() const override { return state_; }
  [[nodiscard]] std::unique_ptr<Workspace> make_workspace() const override;
  [[nodiscard]] uint64_t workspace_bytes(size_t rows, size_t blocks, size_t threads) const override;
  void forward(const Step& step, Workspace& workspace, ThreadPool& pool,
               float* logits) const override;

 private:
  // Attention tasks are cut finer, by query head, while there are fewer than this a thread.
  static constexpr size_t kSplitTasksPerThread = 4;

  // One forward pass in progress: what its parts hand to each other.
  struct Pass {
    const Step& step;
    DecoderWorkspace& w;
    ThreadPool& pool;
    size_t rows;  // still computed
  };

  void prepare(Pass& pass) const;
  void embed(Pass& pass) const;
  void rope_row(Pass& pass, size_t r) const;
  void normalize_input(Pass& pass, size_t r, const Vector& norm, bool quantize) const;
  // Adds `branch` to the residual stream, through its post norm, and readies the next input.
  void finish_branch(Pass& pass, const Vector& bias, const Vector& post_norm,
                     const Vector& next_norm, bool quantize_next) const;
  void attention_mixer(Pass& pass, size_t layer) const;
  void project_qkv(Pass& pass, const LayerWeights& weights) const;
  void rotate_and_store(Pass& pass, size_t layer, size_t r) const;
  void store_head(const Pass& pass, const float* head, std::byte* block, size_t slot) const;
  void keep_output_rows(Pass& pass) const;
  void plan_attention(Pass& pass) const;
  // Rows of one sequence in an attention task.
  [[nodiscard]] uint32_t attention_tile() const;
  [[nodiscard]] uint64_t attention_scratch_bytes(size_t blocks) const;
  void run_attention(Pass& pass, size_t layer) const;
  void attend(Pass& pass, size_t layer, const AttentionTask& task, AttentionScratch& s) const;
  void feed_forward(Pass& pass, const LayerWeights& weights) const;
  void gate_range(Pass& pass, const LayerWeights& weights, size_t begin, size_t end) const;
  void project(Pass& pass, const Matrix& matrix, const ActivationRows& input, float* y) const;
  void output(Pass& pass, float* logits) const;

  [[nodiscard]] size_t qkv_cols() const { return hyper_.query_rows() + 2 * hyper_.kv_rows(); }
  // Bytes from the start of a KV block to K (or V) of one head of one layer.
  [[nodiscard]] size_t kv_offset(DType dtype, size_t layer, size_t head, bool value) const;

  std::shared_ptr<const formats::Checkpoint> checkpoint_;
  const Activation activation_;
  const bool interleaved_rope_;
  const Hyperparameters hyper_;
  const Weights weights_;
  const kernels::KernelSet& kernels_;
  const ModelInfo info_;
  StateGeometry state_;
  // sliding: empty when the same; long: LongRoPE's, empty when the model has none.
  std::vector<double> full_frequencies_, long_frequencies_, sliding_frequencies_;
};

}  // namespace localai::models
