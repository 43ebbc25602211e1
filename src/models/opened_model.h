#pragma once
// What a checkpoint comes to before a forward pass is chosen: its row of the architecture table,
// hyperparameters and bound weights.
#include <memory>

#include "models/arch.h"
#include "models/model.h"
#include "models/weights.h"

namespace localai::models {

struct OpenedModel {
  std::shared_ptr<const formats::Checkpoint> checkpoint;
  const ArchSpec* spec = nullptr;
  const kernels::KernelSet* kernels = nullptr;
  Hyperparameters hyper;
  Weights weights;
  ModelInfo info;
};

// Errors: as Model::load; kInvalidArgument when the architecture is an encoder's and a decoder was
// asked for, or the reverse.
Result<OpenedModel> open_model(std::shared_ptr<const formats::Checkpoint> checkpoint,
                               const ModelOptions& options, bool encoder);

// Quantizes the weights if asked to, and packs them; with predict_only, only `info` says what that
// comes to. Errors: as Model::load.
Status prepare_weights(const ModelOptions& options, OpenedModel& opened);

}  // namespace localai::models
