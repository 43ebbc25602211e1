#pragma once
// Base64 with padding. Source: RFC 4648, section 4.
#include <string>
#include <string_view>

namespace localai {

std::string base64_of(std::string_view bytes);

}  // namespace localai
