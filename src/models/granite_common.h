#pragma once
// What Granite models share: the four multipliers, and the tensors of their MoE variants.
#include "models/arch.h"

namespace localai::models::granite {

// The multipliers, and whether attention has positions.
Status read_common(const Metadata& metadata, Hyperparameters& hyper);
// Experts; `hyper.ffn` becomes the width of the dense or shared part.
Status read_experts(const Metadata& metadata, Hyperparameters& hyper);

}  // namespace localai::models::granite
