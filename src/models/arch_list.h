#pragma once
// Every architecture's table row, one arch_NAME.cc each.
#include "models/arch.h"

namespace localai::models {

extern const ArchSpec kLlama;
extern const ArchSpec kGemma3;

}  // namespace localai::models
