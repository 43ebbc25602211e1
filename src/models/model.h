#pragma once
// A loaded model: hyperparameters, bound weights, and the forward pass. Knows nothing of requests,
// sampling or text. Architectures are table rows (models/arch.h) over one decoder.
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "formats/checkpoint.h"
#include "kernels/kernels.h"
#include "models/quantization.h"

namespace localai::models {

// exact: f32 activations and f32 KV by default, for parity with the reference.
// fast: int8 activations where the weights are block-quantized.
enum class Precision : uint8_t { kExact, kFast };

inline constexpr uint32_t kKvBlockTokens = 32;  // positions in a KV block; divides kAttentionChunk

// What one sequence needs in memory besides the weights.
struct StateGeometry {
  uint32_t kv_layers = 0;  // layers with attention
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint64_t recurrent_bytes = 0;  // fixed state per sequence (Mamba2); 0 for pure attention models
  // Bytes of one KV block over all layers: K and V of kKvBlockTokens positions.
  [[nodiscard]] uint64_t block_bytes(DType kv_dtype) const;
};

// The KV cache as the forward pass sees it: block b starts at base + b * block_bytes; inside it,
// for each KV layer, for each KV head: K [kKvBlockTokens, head_dim], then for each head V likewise.
struct KvPoolView {
  std::byte* base = nullptr;
  uint64_t block_bytes = 0;
  DType dtype = DType::kF16;
};

struct SequenceView {
  std::span<const uint32_t> blocks;  // block ids by position / kKvBlockTokens; covers this step too
  std::byte* recurrent = nullptr;    // recurrent_bytes, updated in place; null when there is none
  // The most positions this sequence may come to, the same in each of its steps: LongRoPE's factors
  // depend on it (ModelInfo::long_rope_after).
  uint32_t reach = 0;
};

// One batch of rows. Rows of one sequence are contiguous, positions ascending by one.
struct Step {
  std::span<const int32_t> tokens;      // [rows], each in [0, vocab_size)
  std::span<const uint32_t> positions;  // [rows]
  std::span<const uint32_t> sequence;   // [rows] index into sequences
  std::span<const SequenceView> sequences;
  KvPoolView kv;
  std::span<const uint32_t> output_rows;  // rows whose logits are wanted, ascending
};

struct ModelInfo {
  std::string architecture;
  std::string name;  // general.name or the directory's name
  uint32_t layers = 0;
  uint32_t hidden = 0;
  uint32_t vocab_size = 0;      // rows of the output matrix
  uint32_t context_length = 0;  // the longest the model was made for
  // LongRoPE: a sequence whose reach is above this is rotated by the long factors from its start,
  // so that its K is of another kind. 0: the model makes no such difference.
  uint32_t long_rope_after = 0;
  uint64_t parameters = 0;
  uint64_t weights_mapped_bytes = 0;   // of the mapped weight files, used in place
  uint64_t weights_private_bytes = 0;  // copies this process made (norms, packed matrices)
  std::string weight_types;            // "Q4_1 210, F32 61, Q8_0 1"
};

struct ModelOptions {
  Precision precision = Precision::kFast;
  const kernels::KernelSet* kernels = nullptr;  // null: the best this CPU runs
  // Weights are quantized into private memory while loading. Null: used as they are, in place.
  const QuantizationType* quantize = nullptr;
  uint32_t threads = 0;  // that quantize and pack; 0: usable_cpu_count()
  // Block weights become panels for the integer kernels, in private memory (pack_weights.h).
  // Without, they are used where the file is mapped: loading is quicker, answers come slower.
  bool pack = true;
  // That is done by pack_more(), while the model is in use; not for what `quantize` makes.
  bool pack_later = false;
  // Only info() says what a load would make; the weights stay as they are.
  bool predict_only = false;
};

// Scratch of forward(), grown to the largest step seen. One per thread that calls forward().
class Workspace;

class Model {
 public:
  // Checks every tensor's name, shape and type against the architecture before any is used.
  // Errors: kUnsupported (architecture or type, named), kCorrupt (a missing or misshapen tensor, a
  // hyperparameter that contradicts a shape), all naming the file.
  static Result<std::unique_ptr<Model>> load(std::shared_ptr<const formats::Checkpoint> checkpoint,
                                             const ModelOptions& options);
  virtual ~Model() = default;

  [[nodiscard]] virtual const ModelInfo& info() const = 0;
  [[nodiscard]] virtual const StateGeometry& state() const = 0;
  [[nodiscard]] virtual std::unique_ptr<Workspace> make_workspace() const = 0;
  // What a workspace comes to, at most, with steps of up to `rows` rows over sequences of up to
  // `blocks` KV blocks on `threads` threads. 0: not known.
  [[nodiscard]] virtual uint64_t workspace_bytes(size_t /*rows*/, size_t /*blocks*/,
                                                 size_t /*threads*/) const {
    return 0;
  }
  // Runs one batch: writes K/V of every row into the cache, then logits [output_rows, vocab_size].
  // Deterministic bit by bit: a row's logits depend on its sequence alone, not on the batch, the
  // split into steps or the thread count. The caller has checked tokens and positions.
  virtual void forward(const Step& step, Workspace& workspace, ThreadPool& pool,
                       float* logits) const = 0;
  // Packs one more matrix (ModelOptions::pack_later); false when there was none left. Not while
  // forward() runs. Changes no bit of what that gives.
  virtual bool pack_more(ThreadPool& /*pool*/) { return false; }
};

// Names of the architectures that load(), for error messages and `localai show`.
std::vector<std::string> known_architectures();

class Workspace {
 public:
  virtual ~Workspace() = default;
  [[nodiscard]] virtual uint64_t bytes() const = 0;
};

}  // namespace localai::models
