#pragma once
// The pre-tokenizer steps of a VocabularySpec: a piece of normalised text becomes words.
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/pattern.h"
#include "text/vocabulary.h"

namespace localai::text {

// Words as views into the text that was split, or into `owned` where a step changed the text.
struct Words {
  std::vector<std::string_view> words;
  bool from_start = true;  // nothing before the first word was dropped
  std::deque<std::string> owned;
};

// Immutable, thread-safe.
class PreTokenizer {
 public:
  // Errors: kUnsupported (a regex), kCorrupt (an unknown prepend_scheme, an empty literal).
  static Result<PreTokenizer> create(const std::vector<PreTokenizerStep>& steps);
  // `first`: the piece begins the whole text. The result views `piece`.
  [[nodiscard]] Words split(std::string_view piece, bool first) const;

 private:
  struct Step {
    PreTokenizerStep spec;
    std::unique_ptr<Pattern> pattern;
  };
  std::vector<Step> steps_;
};

}  // namespace localai::text
