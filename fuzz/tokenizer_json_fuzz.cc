// tokenizer.json: any bytes are parsed; what becomes a tokenizer encodes and decodes a short text.
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace localai::text;
  auto spec = parse_tokenizer_json({reinterpret_cast<const char*>(data), size});
  if (!spec.ok()) return 0;
  const auto tokenizer = Tokenizer::create(std::move(*spec));
  if (!tokenizer.ok()) return 0;
  constexpr std::string_view kText =
      "Hello  world's 123\r\n\xC3\xA9\xE4\xB8\xAD\xFF<s>\xE2\x96\x81 ab";
  for (const bool special : {false, true}) {
    const std::vector<TokenId> ids =
        (*tokenizer)->encode(kText, {.add_special = special, .parse_special = special});
    (void)(*tokenizer)->decode(ids, special);
    StreamDecoder stream(**tokenizer);
    for (const TokenId id : ids) (void)stream.push(id);
    (void)stream.finish();
  }
  return 0;
}
