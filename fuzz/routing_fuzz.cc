// A domain's routing rules as JSON and a prompt, parted by a NUL byte: the rules are refused by
// name or hold, the prompt is read within its limits, and the same prompt is read the same way
// twice.
#include <algorithm>
#include <string_view>

#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"
#include "runtime/domain_keys.h"
#include "runtime/keyword_index.h"
#include "runtime/route_text.h"
#include "runtime/routing_config.h"

namespace {

using namespace localai;
using namespace localai::runtime;

constexpr size_t kMessageBytesMax = 1u << 20;  // a pattern's source stands in its error

RoutingRules rules_of(std::string_view json) {
  const auto parsed = parse_json(json);
  if (!parsed.ok() || !parsed->is_object()) return {};
  const KeySpec* key = find_key(domain_keys(), "routing");
  LAI_CHECK(key != nullptr);
  if (const Status status = check_value(*key, *parsed); !status.ok()) {
    LAI_CHECK(status.error().message.size() <= kMessageBytesMax);
    return {};
  }
  auto rules = read_routing_rules(*parsed);
  if (!rules.ok()) return {};
  return std::move(*rules);
}

void check_words(const RouteText& text) {
  const char* end = text.folded.data();
  for (const Word& word : text.words) {
    LAI_CHECK(!word.text.empty() && word.text.data() >= end);
    end = word.text.data() + word.text.size();
  }
  LAI_CHECK(end <= text.folded.data() + text.folded.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t cut = std::min(all.find('\0'), all.size());
  const std::string_view prompt = cut < all.size() ? all.substr(cut + 1) : "";
  const RoutingRules rules = rules_of(all.substr(0, cut));

  const RouteText text = read_route_text(prompt);
  LAI_CHECK(is_valid_utf8(text.text) && is_valid_utf8(text.folded));
  LAI_CHECK(text.characters <= prompt.size());
  LAI_CHECK(text.language.size() <= 2);
  check_words(text);
  LAI_CHECK(read_route_text(prompt).language == text.language);

  KeywordIndex index;
  int most = -1;
  for (const auto& [keyword, weight] : rules.keywords) most = std::max(most, index.add(keyword));
  // A prompt that is a keyword holds that keyword.
  const bool whole = prompt.size() <= 1024 && prompt.find('*') == std::string_view::npos;
  const int own = whole ? index.add(text.text) : -1;
  most = std::max(most, own);
  const std::vector<bool> found = index.find(text.words);
  LAI_CHECK(found.size() == static_cast<size_t>(most + 1));
  LAI_CHECK(own < 0 || found[static_cast<size_t>(own)]);

  for (const PatternRule& rule : rules.patterns) (void)rule.pattern->find(text.text, 0);
  return 0;
}
