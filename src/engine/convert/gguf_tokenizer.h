#pragma once
// VocabularySpec -> tokenizer.ggml.* keys.
#include "base/result.h"
#include "formats/gguf_writer.h"
#include "text/vocabulary.h"

namespace localai::engine {

// `vocab`: rows of the embedding; GGUF has a token for each, so missing ones become unused "[PAD]"
// tokens, and tokens past the embedding are left out.
// Errors: kUnsupported: a pipeline that GGUF readers have no name for, or merges that no scores can
// stand for.
Status add_tokenizer(const text::VocabularySpec& spec, uint32_t vocab, formats::GgufHeader& header);

// A score for each token so that merging the best-scored pair first does what `spec.merges` by rank
// do: minus the place of the token among those that merges make. 0 for all others.
// Errors: kUnsupported: two tokens' merges interleave, or a pair that makes a token is no merge.
Result<std::vector<float>> scores_of_merges(const text::VocabularySpec& spec);

}  // namespace localai::engine
