#pragma once
// Every architecture's table row, one arch_NAME.cc each.
#include "models/arch.h"

namespace localai::models {

extern const ArchSpec kLlama;
extern const ArchSpec kMistral;
extern const ArchSpec kQwen2;
extern const ArchSpec kQwen3;
extern const ArchSpec kGranite;
extern const ArchSpec kGraniteMoe;
extern const ArchSpec kGraniteHybrid;
extern const ArchSpec kGemma;
extern const ArchSpec kGemma2;
extern const ArchSpec kGemma3;
extern const ArchSpec kVaultGemma;
extern const ArchSpec kPhi3;
extern const ArchSpec kBert;

}  // namespace localai::models
