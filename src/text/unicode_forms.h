#pragma once
// Unicode normalization forms (UAX #15) as the reference tokenizers library sees them: characters
// younger than its tables neither decompose, nor reorder, nor compose.
#include <string>
#include <string_view>

namespace localai::text {

struct UnicodeForm {
  bool compatibility = false;  // the K of NFKC and NFKD
  bool compose = false;        // C rather than D
};

// `text` is valid UTF-8. n log n, whatever the text.
std::string normal_form(std::string_view text, UnicodeForm form);

}  // namespace localai::text
