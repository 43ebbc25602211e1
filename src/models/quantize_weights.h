#pragma once
// Load-time quantization: the matrices of bound weights, from where they are mapped into private
// memory, with the same types and bytes as `localai quantize` would have written.
#include <map>
#include <string_view>

#include "base/thread_pool.h"
#include "formats/checkpoint.h"
#include "models/arch.h"
#include "models/model.h"
#include "models/quantization.h"

namespace localai::models {

// What quantize_weights() will make, from bound weights; nothing is read or changed.
struct QuantizedWeights {
  uint64_t bytes = 0;                        // of all matrices
  std::map<std::string_view, size_t> types;  // how many matrices of each
};
QuantizedWeights plan_quantization(const ArchSpec& spec, const Hyperparameters& hyper,
                                   const QuantizationType& type, Weights& weights);

// Replaces every matrix of `weights` by a private copy of the chosen type, one after the other,
// each converted on all threads; the mapped pages of one are given back before the next is read.
// Errors: kUnsupported (a matrix of a type that is no weight, or without a kernel), naming it.
Status quantize_weights(const ArchSpec& spec, const Hyperparameters& hyper,
                        const QuantizationType& type, const kernels::KernelSet& kernels,
                        Precision precision, ThreadPool& pool, Weights& weights);

}  // namespace localai::models
