#pragma once
// Text encoders: token ids of a text in, one vector of length 1 out. The architectures are rows of
// the same table as the decoders' (arch.h), with another graph:
//   x = LN(E[token] + P[position] + T[0]); per layer: x = LN1(x + attention(x)); x = LN2(x + W2
//   gelu(W1 x)); vector = pooled rows of x / their norm
// with every token of a text seeing every other one.
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "models/arch.h"
#include "models/model.h"
#include "models/opened_model.h"
#include "models/pooling.h"

namespace localai::models {

struct EncoderWorkspace;

class Encoder {
 public:
  // Whether the checkpoint is an encoder's; Model::load refuses those.
  static bool handles(const formats::Checkpoint& checkpoint);

  // Checks as Model::load does. The pooling is that of GGUF's pooling_type or of
  // 1_Pooling/config.json; the mean where neither says. Errors: as Model::load; kUnsupported
  // (another pooling, named).
  static Result<std::unique_ptr<Encoder>> load(
      std::shared_ptr<const formats::Checkpoint> checkpoint, const ModelOptions& options);

  Encoder(OpenedModel opened, Pooling pooling);

  // `hidden` is the length of a vector, `context_length` the longest text in tokens.
  [[nodiscard]] const ModelInfo& info() const { return opened_.info; }
  [[nodiscard]] Pooling pooling() const { return pooling_; }
  [[nodiscard]] std::unique_ptr<Workspace> make_workspace() const;
  // What a workspace grows to when no call has more than `rows` tokens.
  [[nodiscard]] uint64_t workspace_bytes(size_t rows) const;

  // vectors [texts.size(), hidden]. Deterministic bit by bit: a text's vector depends on its own
  // tokens alone, not on the other texts or the thread count. The caller has checked that no text
  // is empty or longer than the context, and that ids are within the vocabulary.
  void embed(std::span<const std::span<const int32_t>> texts, Workspace& workspace,
             ThreadPool& pool, float* vectors) const;

 private:
  struct Pass;

  void embed_rows(Pass& pass) const;
  void attention(Pass& pass, const LayerWeights& layer) const;
  void split_heads(Pass& pass, const LayerWeights& layer) const;
  void attend(Pass& pass, size_t head, size_t run_index) const;
  void feed_forward(Pass& pass, const LayerWeights& layer) const;
  void finish_branch(Pass& pass, const Vector& bias, const Vector& norm, const Vector& norm_bias,
                     bool quantize) const;
  void pool_rows(const Pass& pass, size_t begin, size_t end, float* vector) const;

  OpenedModel opened_;
  Pooling pooling_;
  Vector unit_;  // [H] 1/sqrt(H): RMSNorm with it divides by the length
};

}  // namespace localai::models
