#pragma once
// Hyperparameters -> config.json of a Hugging Face directory.
#include <optional>

#include "base/json.h"
#include "base/result.h"
#include "formats/checkpoint.h"
#include "models/arch.h"
#include "models/weights.h"
#include "text/vocabulary.h"

namespace localai::engine {

// What the weights of a GGUF file say beyond its hyperparameters.
struct WeightFacts {
  bool tied = false;
  bool attention_bias = false, mlp_bias = false;
  bool conv_bias = false, mamba_bias = false;
  DType dtype = DType::kF32;  // of the matrices that are written
};

// `vocabulary` may be null (a file without a tokenizer).
Json make_config(const models::ArchSpec& spec, const models::Hyperparameters& hyper,
                 const WeightFacts& facts, const text::VocabularySpec* vocabulary);

// The scaling behind the tensors that divide RoPE's frequencies: LongRoPE's factors as they are;
// llama3's parameters behind rope_freqs.weight by our own keys or by the values of the published
// models. Errors: kUnsupported when neither gives these divisors.
Result<models::RopeParameters> scaling_of_divisors(const formats::GgufFile& file,
                                                   models::RopeParameters rope,
                                                   const models::Weights& weights);

}  // namespace localai::engine
