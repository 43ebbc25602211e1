#pragma once
// The normalizer steps of a VocabularySpec.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/charsmap.h"
#include "text/pattern.h"
#include "text/vocabulary.h"

namespace localai::text {

// Immutable, thread-safe.
class Normalizer {
 public:
  // Errors: kUnsupported (a regex), kCorrupt.
  static Result<Normalizer> create(const std::vector<NormalizerStep>& steps);
  // `text` is valid UTF-8, and so is the result; steps run in order. n log n, whatever the text,
  // but for regexes that are not known ones.
  [[nodiscard]] std::string run(std::string_view text) const;

 private:
  struct Step {
    NormalizerStep spec;
    std::unique_ptr<Pattern> pattern = nullptr;
    Charsmap charsmap = {};
  };
  std::vector<Step> steps_;
};

}  // namespace localai::text
