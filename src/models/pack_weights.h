#pragma once
// Block-quantized matrices into the panels that the integer kernels stream (kernels/packed.h): no
// shuffles in the inner loop, one stream of memory, huge pages. Same bits as from file layout.
#include <cstdint>
#include <memory>

#include "base/thread_pool.h"
#include "models/arch.h"
#include "models/weights.h"

namespace localai::models {

// What pack_weights() makes of bound weights.
struct PackedWeights {
  uint64_t bytes = 0;         // private, in panels
  uint64_t mapped_bytes = 0;  // of the file, no longer used
};
PackedWeights plan_packing(const ArchSpec& spec, const Hyperparameters& hyper,
                           const kernels::KernelSet& kernels, Weights& weights);

// Packs every matrix for which `kernels` have a product over panels: one after the other, on all
// threads, the mapped pages given back as it goes. Between two of them the weights can be used.
class WeightPacker {
 public:
  // in_place: the matrices are copies that quantize_weights() made, with room for whole panels.
  // Errors: kExhausted. `weights` stays where it is until the packer goes.
  static Result<WeightPacker> create(const ArchSpec& spec, const Hyperparameters& hyper,
                                     const kernels::KernelSet& kernels, bool in_place,
                                     Weights& weights);
  WeightPacker(WeightPacker&& other) noexcept;
  WeightPacker& operator=(WeightPacker&& other) noexcept;
  ~WeightPacker();

  // Packs the next matrix; false when there was none left.
  bool next(ThreadPool& pool);

 private:
  struct Work;
  explicit WeightPacker(std::unique_ptr<Work> work);
  std::unique_ptr<Work> work_;
};

}  // namespace localai::models
