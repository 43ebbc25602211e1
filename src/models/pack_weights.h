#pragma once
// Block-quantized matrices into the panels that the integer kernels stream (kernels/packed.h): no
// shuffles in the inner loop, one stream of memory, huge pages. Same bits as from file layout.
#include <cstdint>

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
// threads, the mapped pages given back as it goes. in_place: the matrices are
// copies that quantize_weights() made, with room for whole panels. Errors: kExhausted.
Status pack_weights(const ArchSpec& spec, const Hyperparameters& hyper,
                    const kernels::KernelSet& kernels, bool in_place, ThreadPool& pool,
                    Weights& weights);

}  // namespace localai::models
