#pragma once
// Numbers that the two formats hold differently.
#include "models/arch.h"

namespace localai::engine {

struct ElementChange {
  float (*apply)(float);  // source -> output
  float (*undo)(float);   // output -> source
  bool (*takes)(float);   // what `apply` is defined for; null: everything
  const char* expected;   // those, in words
};

// What becomes of the elements of `row`; null: nothing. Gemma's norms are w in safetensors and
// 1 + w in GGUF, Mamba2's A is its logarithm A_log in safetensors and -exp(A_log) in GGUF.
const ElementChange* change_of(const models::TensorRow& row, const models::ArchSpec& spec,
                               bool to_gguf);

}  // namespace localai::engine
