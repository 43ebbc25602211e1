#pragma once
// Sampled ids in, text that may be shown out: detokenization without split characters, then stop
// strings across token boundaries. One per answer; one thread.
#include <optional>
#include <string>
#include <vector>

#include "engine/stop_matcher.h"
#include "text/tokenizer.h"

namespace localai::engine {

class OutputAssembler {
 public:
  OutputAssembler(const text::Tokenizer& tokenizer, std::vector<std::string> stops)
      : decoder_(tokenizer), stops_(std::move(stops)) {}

  struct Output {
    std::string text;
    std::optional<std::string> stop;  // the stop string that ended the answer
  };
  // The text that this token made certain. Not called again once `stop` was set.
  Output push(text::TokenId token);
  // The rest, once, when the answer ends for another reason than a stop string. The decoder's last
  // bytes can still complete one.
  Output finish();

 private:
  Output through_stops(const std::string& text);

  text::StreamDecoder decoder_;
  StopMatcher stops_;
};

}  // namespace localai::engine
