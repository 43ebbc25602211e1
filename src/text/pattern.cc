#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pattern.h"

#include <pcre2.h>

#include <array>

#include "text/unicode.h"

namespace localai::text {
namespace {

class KnownPattern : public Pattern {
 public:
  explicit KnownPattern(MatchEnd match) : match_(match) {}
  std::optional<Span> find(std::string_view text, size_t from) const override {
    while (from < text.size()) {
      if (const size_t end = match_(text, from); end > from) return Span{from, end};
      from += char_at(text, from).bytes;
    }
    return std::nullopt;
  }

 private:
  MatchEnd match_;
};

// Bounds of one PCRE2 match: a regex out of a file may be of any cost. Past them there is no match.
constexpr uint32_t kMatchSteps = 1'000'000;
constexpr uint32_t kMatchHeapKib = 64 * 1024;

struct Freed {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
};

class GeneralPattern : public Pattern {
 public:
  GeneralPattern(std::unique_ptr<pcre2_code, Freed> code,
                 std::unique_ptr<pcre2_match_context, Freed> context)
      : code_(std::move(code)), context_(std::move(context)) {}

  std::optional<Span> find(std::string_view text, size_t from) const override {
    const std::unique_ptr<pcre2_match_data, Freed> data(
        pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    if (data == nullptr) return std::nullopt;
    const int found =
        pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                    PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, data.get(), context_.get());
    if (found < 0) return std::nullopt;
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data.get());
    if (offsets[0] < from || offsets[1] <= offsets[0]) return std::nullopt;  // \K moved it
    return Span{offsets[0], offsets[1]};
  }

 private:
  std::unique_ptr<pcre2_code, Freed> code_;
  std::unique_ptr<pcre2_match_context, Freed> context_;
};

// What Oniguruma, the reference's engine, reads otherwise than PCRE2.
const char* foreign_syntax(std::string_view regex) {
  for (const char* syntax : {"\\h", "\\H", "&&", "\\K", "\\C", "(?~"})
    if (regex.find(syntax) != std::string_view::npos) return syntax;
  return nullptr;
}

Result<std::unique_ptr<Pattern>> compile_general(const std::string& regex) {
  if (const char* syntax = foreign_syntax(regex); syntax != nullptr)
    return unsupported("regex '" + regex + "': '" + syntax + "' is not supported");
  int error = 0;
  PCRE2_SIZE at = 0;
  std::unique_ptr<pcre2_code, Freed> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr));
  if (code == nullptr) {
    std::array<PCRE2_UCHAR, 256> text{};
    pcre2_get_error_message(error, text.data(), text.size());
    return unsupported("regex '" + regex + "': " + reinterpret_cast<const char*>(text.data()) +
                       " at byte " + std::to_string(at));
  }
  uint32_t empty = 0;
  pcre2_pattern_info(code.get(), PCRE2_INFO_MATCHEMPTY, &empty);
  if (empty != 0)
    return unsupported("regex '" + regex + "' can match nothing, which is not supported");
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // without JIT it interprets, only slower
  std::unique_ptr<pcre2_match_context, Freed> context(pcre2_match_context_create(nullptr));
  if (context == nullptr) return exhausted("no memory for a regex");
  pcre2_set_match_limit(context.get(), kMatchSteps);
  pcre2_set_depth_limit(context.get(), kMatchSteps);
  pcre2_set_heap_limit(context.get(), kMatchHeapKib);
  return std::unique_ptr<Pattern>(
      std::make_unique<GeneralPattern>(std::move(code), std::move(context)));
}

}  // namespace

Result<std::unique_ptr<Pattern>> Pattern::compile(const std::string& regex) {
  if (const MatchEnd known = known_pattern(regex); known != nullptr)
    return std::unique_ptr<Pattern>(std::make_unique<KnownPattern>(known));
  return compile_general(regex);
}

}  // namespace localai::text
