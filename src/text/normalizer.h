#pragma once
// The normalizer steps of a VocabularySpec.
#include <string>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace localai::text {

// `text` is valid UTF-8; steps run in order. n log n, whatever the text.
std::string normalize(std::string_view text, const std::vector<NormalizerStep>& steps);

}  // namespace localai::text
