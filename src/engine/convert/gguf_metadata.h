#pragma once
// Hyperparameters -> keys of GGUF metadata, and how to be sure that they say the same.
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/gguf_writer.h"
#include "models/arch.h"

namespace localai::engine {

// general.architecture of files that hold such models: their own, or the one with the same graph
// (mistral: llama; vaultgemma: gemma; a hybrid without Mamba2 layers: granite or granitemoe).
std::string_view gguf_architecture(const models::ArchSpec& spec,
                                   const models::Hyperparameters& hyper);
// Do both formats hold the fused tensors of its table (phi3), and only those?
bool holds_fused(const models::ArchSpec& spec);
// config.json's "model_type", and the class of transformers that it means.
std::string_view model_type(const models::ArchSpec& spec, const models::Hyperparameters& hyper);
std::string_view hf_class(std::string_view model_type);

// Keys of our own beside the standard ones; other readers skip them. What a model_type or a RoPE
// scaling was called before it became another architecture's or a tensor of divisors.
inline constexpr std::string_view kKeyModelType = "localai.model_type";
inline constexpr std::string_view kKeyRopeFactor = "localai.rope.factor";
inline constexpr std::string_view kKeyRopeLow = "localai.rope.low_freq_factor";
inline constexpr std::string_view kKeyRopeHigh = "localai.rope.high_freq_factor";
inline constexpr std::string_view kKeyRopeContext = "localai.rope.original_context";

void add_hyperparameters(const models::ArchSpec& spec, const models::Hyperparameters& hyper,
                         formats::GgufHeader& header);

// What of a model `b` would compute otherwise than `a`, as "name: x and y"; "" when nothing. RoPE's
// divisors (llama3, LongRoPE) are left out: in GGUF they are tensors.
std::string difference(const models::Hyperparameters& a, const models::Hyperparameters& b);

}  // namespace localai::engine
