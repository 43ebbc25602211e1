#pragma once
// Names out of untrusted files, made fit for a message or a terminal.
#include <string>
#include <string_view>

namespace localai::formats {

// 'text' in quotes: malformed UTF-8 becomes U+FFFD, control characters become \xNN, and what is
// longer than 100 bytes is cut with "...".
std::string quote(std::string_view text);

// The same without quotes and without the cut.
std::string printable(std::string_view text);

}  // namespace localai::formats
