// SentencePiece's compiled normalization rules: any bytes are parsed; what becomes rules replaces
// them in a text, and makes UTF-8 of UTF-8.
#include <cstdlib>
#include <string_view>

#include "base/utf8.h"
#include "text/charsmap.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace localai;
  const auto rules = text::Charsmap::parse({reinterpret_cast<const char*>(data), size});
  if (!rules.ok()) return 0;
  constexpr std::string_view kText =
      "AbA\u0301 \u00e9\u4e2d\U0001F600\r\n\uff21\u3000\u2581e\u0301\u1100\u1161A";
  if (!is_valid_utf8(rules->replace_longest(kText))) std::abort();
  if (!is_valid_utf8(rules->replace_clusters(kText))) std::abort();
  return 0;
}
