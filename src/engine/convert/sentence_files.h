#pragma once
// What sentence-transformers reads beside an encoder's weights.
#include <filesystem>

#include "base/result.h"
#include "models/arch.h"
#include "models/pooling.h"

namespace localai::engine {

// modules.json, 1_Pooling/config.json and sentence_bert_config.json. Errors: kInternal, kExhausted.
Status write_sentence_files(const std::filesystem::path& directory,
                            const models::Hyperparameters& hyper, models::Pooling pooling,
                            uint32_t tokens_max);

}  // namespace localai::engine
