#pragma once
// What a checkpoint states about an encoder's use: how its last rows become one vector, and how
// long a text may be. Sources: sentence-transformers' files beside the weights; llama.cpp.
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "formats/checkpoint.h"

namespace localai::models {

enum class Pooling : uint8_t {
  kMean,        // over all tokens
  kFirstToken,  // [CLS]
};

// GGUF's pooling_type, or the config.json of the Pooling module in modules.json (without that file,
// 1_Pooling/config.json); the mean where neither says. Errors: kUnsupported (another pooling, or a
// module beside Transformer, Pooling and Normalize, named), kCorrupt.
Result<Pooling> read_pooling(const formats::Checkpoint& checkpoint);

// The longest text in tokens: `context`, or less where sentence_bert_config.json says so (its
// max_seq_length; in GGUF, under a key of ours). Errors: kCorrupt.
Result<uint32_t> read_tokens_max(const formats::Checkpoint& checkpoint, uint32_t context);
inline constexpr std::string_view kKeyTokensMax = "localai.max_seq_length";

}  // namespace localai::models
