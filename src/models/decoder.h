#pragma once
// The one parametric decoder behind every architecture of the table (arch.h).
#include <memory>
#include <optional>

#include "models/arch.h"
#include "models/model.h"
#include "models/opened_model.h"
#include "models/pack_weights.h"
#include "models/workspace.h"

namespace localai::models {

class Decoder : public Model {
 public:
  // Everything has been checked against each other (bind.h).
  Decoder(OpenedModel opened, bool pack_later);

  [[nodiscard]] const ModelInfo& info() const override { return info_; }
  [[nodiscard]] const StateGeometry& state() const override { return state_; }
  [[nodiscard]] std::unique_ptr<Workspace> make_workspace() const override;
  [[nodiscard]] uint64_t workspace_bytes(size_t rows, size_t blocks, size_t threads) const override;
  void forward(const Step& step, Workspace& workspace, ThreadPool& pool,
               float* logits) const override;
  bool pack_more(ThreadPool& pool) override;

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

  // One gated product, act(gate) * up, of some rows.
  struct GatedRows {
    const Matrix& gate;
    const Matrix& up;
    bool quantize;  // the next product reads codes
    const ActivationRows& input;
    ActivationRows& gated;
    float* up_values;
    const Vector* gate_bias;  // null: none
    const Vector* up_bias;
    size_t first, rows;  // of input, gated and up_values
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
  // Moves the wanted rows of x, and the first `width` floats of the mixer's own, to the front.
  void keep_output_rows(Pass& pass, float* mixer_rows, size_t stride, size_t width) const;
  void plan_attention(Pass& pass) const;
  // Rows of one sequence in an attention task.
  [[nodiscard]] uint32_t attention_tile() const;
  [[nodiscard]] uint64_t attention_scratch_bytes(size_t blocks) const;
  void run_attention(Pass& pass, size_t layer) const;
  void attend(Pass& pass, size_t layer, const AttentionTask& task, AttentionScratch& s) const;
  void feed_forward(Pass& pass, const LayerWeights& weights) const;
  void gate_range(const GatedRows& rows, size_t begin, size_t end) const;
  void add_experts(Pass& pass, const LayerWeights& weights) const;
  void choose_experts(Pass& pass) const;
  void run_experts(Pass& pass, const LayerWeights& weights) const;
  void prepare_mamba(Pass& pass) const;
  void mamba_mixer(Pass& pass, size_t layer) const;
  void mamba_steps(Pass& pass, const LayerWeights& weights, size_t r) const;
  void mamba_convolve(Pass& pass, size_t layer, size_t begin, size_t end) const;
  void mamba_scan(Pass& pass, size_t layer, const SequenceRun& run, size_t head) const;
  void mamba_gate(Pass& pass, const LayerWeights& weights, size_t r) const;
  void project(Pass& pass, const Matrix& matrix, const ActivationRows& input, float* y) const;
  void output(Pass& pass, float* logits) const;

  [[nodiscard]] size_t qkv_cols() const { return hyper_.query_rows() + 2 * hyper_.kv_rows(); }
  static bool ffn_reads_codes(const LayerWeights& w) {
    return w.gate.quantized_input || w.up.quantized_input || w.gate_experts.quantized_input ||
           w.up_experts.quantized_input;
  }
  [[nodiscard]] uint64_t mamba_workspace_bytes(size_t rows) const;
  [[nodiscard]] uint64_t expert_workspace_bytes(size_t rows) const;
  [[nodiscard]] uint64_t mamba_state_bytes() const;  // of one layer and sequence
  [[nodiscard]] float* mamba_state(const Pass& pass, uint32_t sequence, size_t layer) const;
  // Bytes from the start of a KV block to K (or V) of one head of one layer.
  [[nodiscard]] size_t kv_offset(DType dtype, size_t layer, size_t head, bool value) const;

  std::shared_ptr<const formats::Checkpoint> checkpoint_;
  const Activation activation_;
  const bool interleaved_rope_;
  const Hyperparameters hyper_;
  Weights weights_;  // changed by pack_more() alone
  const kernels::KernelSet& kernels_;
  const ModelInfo info_;
  const ArchSpec& spec_;
  bool pack_later_;  // there may be matrices left to pack
  std::optional<WeightPacker> packer_;
  StateGeometry state_;
  std::vector<uint32_t> state_index_;  // [layers] among the layers of its kind of state
  // sliding: empty when the same; long: LongRoPE's, empty when the model has none.
  std::vector<double> full_frequencies_, long_frequencies_, sliding_frequencies_;
};

}  // namespace localai::models
