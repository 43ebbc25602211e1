#pragma once
// The language of a prompt, as far as its script and its commonest words tell.
#include <span>
#include <string_view>

#include "runtime/route_text.h"

namespace localai::runtime {

// ISO 639-1: by script ar, el, he, hi, ja, ko, ru, th, zh; by common words de, en, es, fr, it, nl,
// pt, tr. "" when nothing speaks for one, or two speak alike. `folded` is case-folded valid UTF-8,
// `words` are its words.
std::string_view detect_language(std::string_view folded, std::span<const Word> words);

}  // namespace localai::runtime
