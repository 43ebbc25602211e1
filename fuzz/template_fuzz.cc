// Template source and its JSON variables, parted by a NUL byte, under tight limits.
#include "base/json.h"
#include "text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace localai;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t cut = std::min(all.find('\0'), all.size());
  const text::TemplateLimits limits{.steps_max = 50'000,
                                    .output_bytes_max = 1u << 16,
                                    .memory_bytes_max = 1u << 20,
                                    .depth_max = 64};
  const auto compiled = text::ChatTemplate::compile(all.substr(0, cut), limits);
  if (!compiled.ok()) return 0;
  const auto parsed = parse_json(cut < all.size() ? all.substr(cut + 1) : "");
  (void)compiled->render(parsed.ok() && parsed->is_object() ? *parsed : Json::object());
  return 0;
}
