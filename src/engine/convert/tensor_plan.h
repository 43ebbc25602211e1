#pragma once
// Which tensors a conversion writes, under which names, and what becomes of their bytes. The names
// are those of the architecture's own table (models/arch.h).
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "engine/convert/element_change.h"
#include "formats/checkpoint.h"
#include "models/arch.h"

namespace localai::engine {

struct PlannedTensor {
  std::string name;  // in the output
  DType dtype = DType::kF32;
  Shape shape;
  // Its rows, one view after the other: a whole tensor, the parts of one that holds several of the
  // table's, or several that the output holds as one.
  std::vector<TensorView> sources;
  // Not 0: the rows of each head change between halves (Hugging Face) and pairs (GGUF files of
  // architectures with interleaved RoPE).
  uint32_t head_dim = 0;
  bool to_pairs = false;
  const ElementChange* change = nullptr;  // of every element; null: none
};

struct PlanRequest {
  const models::ArchSpec* spec = nullptr;  // the table with both names
  const formats::Checkpoint* source = nullptr;
  const models::Hyperparameters* hyper = nullptr;
  bool to_gguf = false;
  bool interleaved = false;    // the GGUF side has interleaved RoPE
  bool tied = false;           // leave the output matrix out
  bool fused = false;          // the output holds the fused tensors of the table, not their parts
  std::optional<DType> dtype;  // of matrices; none: as they are
};

// Every tensor of the table that the source has, in the table's order, layer by layer. Vectors are
// F32 in GGUF, and so are routers and an encoder's positions; in safetensors they take the
// matrices' type where that loses nothing.
// Errors: kUnsupported: a quantized matrix and no type for safetensors, or parts of two types;
// kCorrupt: an element that the change does not take. They name the tensor.
Result<std::vector<PlannedTensor>> plan_tensors(const PlanRequest& request);

// Hands the output's bytes on, in order, in pieces of a few MiB.
Status write_tensor(const PlannedTensor& tensor,
                    FunctionRef<Status(std::span<const std::byte>)> sink);

}  // namespace localai::engine
