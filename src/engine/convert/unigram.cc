#include "engine/convert/unigram.h"

#include <string_view>

#include "base/base64.h"
#include "text/bert_steps.h"

namespace localai::engine {
namespace {

using text::NormalizerStep;
using text::PreTokenizerStep;
using text::TokenType;
using text::VocabularySpec;

constexpr std::string_view kSpace = "\u2581";

// What squeezing does, in the regexes of the tokenizers library: no space at the start, one between
// words, none at the end, U+2581 included.
struct Replacement {
  std::string_view regex, by;
};
constexpr Replacement kSqueeze[] = {{"\\A +", ""}, {" {2,}", " "}, {"[ \u2581]+\\z", ""}};

bool is_regex(const NormalizerStep& step, std::string_view regex, std::string_view by) {
  return step.kind == NormalizerStep::Kind::kReplaceRegex && step.from == regex && step.to == by;
}

// The steps of a normalizer, taken off from the front.
class Steps {
 public:
  explicit Steps(const std::vector<NormalizerStep>& steps) : steps_(steps) {}
  template <class Match>
  const NormalizerStep* take(Match match) {
    if (at_ == steps_.size() || !match(steps_[at_])) return nullptr;
    return &steps_[at_++];
  }
  const NormalizerStep* take(NormalizerStep::Kind kind) {
    return take([&](const NormalizerStep& step) { return step.kind == kind; });
  }
  [[nodiscard]] bool empty() const { return at_ == steps_.size(); }

 private:
  const std::vector<NormalizerStep>& steps_;
  size_t at_ = 0;
};

// Where a text is cut at its spaces, a token may not go over one: GGUF readers do not cut.
Status check_words(const VocabularySpec& spec) {
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const bool normal = id >= spec.types.size() || spec.types[id] == TokenType::kNormal;
    if (normal && spec.tokens[id].find(kSpace, 1) != std::string::npos)
      return unsupported("token '" + spec.tokens[id] +
                         "' goes over the border of two words, which GGUF readers would use");
  }
  return Ok{};
}

bool is_whitespace_split(const PreTokenizerStep& step) {
  VocabularySpec bert;
  text::add_bert_pre_tokenizer(bert);  // its first step
  const PreTokenizerStep& wanted = bert.pre_tokenizer.front();
  return step.kind == wanted.kind && step.classes == wanted.classes &&
         step.behavior == wanted.behavior && step.invert == wanted.invert;
}

Error no_key(const char* what) {
  return unsupported(std::string("GGUF has no key for the tokenizer's ") + what);
}

}  // namespace

Result<UnigramSteps> unigram_steps(const VocabularySpec& spec) {
  using Kind = NormalizerStep::Kind;
  if (spec.byte_fallback)
    return unsupported("GGUF readers know no bytes in place of unknown characters for Unigram");
  UnigramSteps out;
  Steps steps(spec.normalizer);
  const NormalizerStep* map = steps.take(Kind::kCharsmapHf);
  if (map == nullptr) map = steps.take(Kind::kCharsmap);
  if (map != nullptr) out.charsmap = map->from;
  out.squeeze_spaces = steps.take(Kind::kSqueezeSpaces) != nullptr;
  size_t ours = 0;
  while (ours < std::size(kSqueeze) && steps.take([&](const NormalizerStep& step) {
    return is_regex(step, kSqueeze[ours].regex, kSqueeze[ours].by);
  }) != nullptr)
    ++ours;
  if (ours != 0 && ours != std::size(kSqueeze)) return no_key("normalizer");
  out.squeeze_spaces = out.squeeze_spaces || ours != 0;
  // With compiled rules all whitespace is spaces by now, so that stripping means only those.
  const bool strips = steps.take([&](const NormalizerStep& step) {
    return step.kind == Kind::kStrip && step.right && !out.charsmap.empty();
  }) != nullptr;
  const bool joins = steps.take([](const NormalizerStep& step) {
    return is_regex(step, " {2,}", " ") || is_regex(step, " {2,}", kSpace);
  }) != nullptr;
  out.space_prefix = steps.take([](const NormalizerStep& step) {
    return step.kind == Kind::kPrepend && step.to == kSpace;
  }) != nullptr;
  bool replaced = steps.take([](const NormalizerStep& step) {
    return step.kind == Kind::kReplace && step.from == " " && step.to == kSpace;
  }) != nullptr;
  if (!steps.empty()) return no_key("normalizer");

  bool words = false;  // cut at whitespace, which is dropped
  bool doubles = false;
  for (const PreTokenizerStep& step : spec.pre_tokenizer) {
    if (step.kind == PreTokenizerStep::Kind::kMetaspace) {
      if (step.prepend_scheme == "first") return no_key("pre-tokenizer (Metaspace, 'first')");
      if (step.split) LAI_TRY_STATUS(check_words(spec));
      replaced = true;
      out.space_prefix = out.space_prefix || step.prepend_scheme != "never";
      doubles = step.prepend_scheme != "never";
    } else if (!words && !replaced && is_whitespace_split(step)) {
      words = true;
    } else {
      return no_key("pre-tokenizer");
    }
  }
  if (!replaced) return unsupported("the tokenizer does not turn spaces into U+2581");
  if (words && out.charsmap.empty()) return no_key("pre-tokenizer (whitespace that is no space)");
  out.squeeze_spaces = out.squeeze_spaces || words || (strips && joins);
  // Metaspace puts nothing before a space, GGUF readers do: without squeezing they would differ.
  if (!out.squeeze_spaces && (strips || joins || doubles)) return no_key("handling of spaces");
  return out;
}

Json unigram_normalizer(const VocabularySpec& spec) {
  Json steps = Json::array();
  const auto regex = [&](std::string_view pattern, std::string_view by) {
    steps.push_back({{"type", "Replace"}, {"pattern", {{"Regex", pattern}}}, {"content", by}});
  };
  for (const NormalizerStep& step : spec.normalizer) {
    if (step.kind == NormalizerStep::Kind::kCharsmap)
      steps.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", base64_of(step.from)}});
    if (step.kind == NormalizerStep::Kind::kSqueezeSpaces)
      for (const Replacement& one : kSqueeze) regex(one.regex, one.by);
  }
  if (spec.add_space_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", kSpace}});
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}});
  return {{"type", "Sequence"}, {"normalizers", std::move(steps)}};
}

}  // namespace localai::engine
