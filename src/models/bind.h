#pragma once
// Binding: every tensor of an architecture's list, found in the checkpoint, checked, and put in its
// place. After this nothing about weights can fail.
#include "base/result.h"
#include "formats/checkpoint.h"
#include "kernels/kernels.h"
#include "models/arch.h"
#include "models/model.h"
#include "models/weights.h"

namespace localai::models {

// Sets hyper.vocab from the embedding where the metadata did not say (GGUF). Warns once about
// tensors that no row names. Errors: kCorrupt (missing; another shape than the hyperparameters
// say), kUnsupported (a type that no kernel reads); they name file, tensor and shapes.
Result<Weights> bind_weights(const ArchSpec& spec, const formats::Checkpoint& checkpoint,
                             const kernels::KernelSet& kernels, Precision precision,
                             Hyperparameters& hyper);

// The matrix that a slot holds for layer `layer`; null: it holds a vector.
Matrix* matrix_of(const Slot& slot, uint32_t layer, Weights& weights);

// The product that `matrix`, of whatever type it has by now, goes through. False: no kernel reads
// that type.
bool set_kernels(const kernels::KernelSet& kernels, Precision precision, Matrix& matrix);

}  // namespace localai::models
