#pragma once
// What the members of the Gemma family share beside their tensor rows.
#include "models/arch.h"

namespace localai::models {

// sqrt(hidden) in f32, as transformers has it for float32 weights (with bf16 weights it rounds the
// factor to bf16).
void set_gemma_embedding_scale(Hyperparameters& hyper);

// 1/sqrt(query_pre_attn_scalar); `config_default` when config.json leaves it out. GGUF has no such
// key: there it is the head's size, but hidden / heads in the 27B models, which only their number
// of layers tells apart (llama.cpp has the same rule).
Status read_gemma_attention_scale(const Metadata& metadata, double config_default,
                                  uint32_t layers_of_27b, Hyperparameters& hyper);

// Soft caps of attention and final logits; null, or the default where a key is absent.
Status read_gemma_softcaps(const Metadata& metadata, double attention_default, double final_default,
                           Hyperparameters& hyper);

}  // namespace localai::models
