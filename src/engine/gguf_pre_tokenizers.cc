#include "engine/gguf_pre_tokenizers.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "text/pattern.h"
#include "text/unicode.h"

namespace localai::engine {
namespace {

using text::PreTokenizerStep;
using text::VocabularySpec;

// Source: llama-vocab.cpp of llama.cpp. Where it approximates the regex of the model's own
// tokenizer.json, because its regex engine lacks classes, this is the model's.
struct PreTokenizer {
  std::vector<std::string_view> names;
  std::vector<const char*> patterns;
  bool ignore_merges = false;
  bool add_bos = false;
};

std::vector<PreTokenizer> pre_tokenizers() {
  using namespace text;
  const auto number = kPatternNumber, numbers_of_3 = kPatternNumbersOf3;
  const auto gpt2 = kPatternGpt2, llama3 = kPatternLlama3, qwen2 = kPatternQwen2;
  return {
      {{"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
        "jina-v5-nano"},
       {llama3},
       true,
       true},
      {{"dbrx", "smaug-bpe", "chatglm-bpe"}, {llama3}},
      {{"glm4", "glm5"}, {llama3}, true},
      {{"jais-2"}, {kPatternJais2}},
      {{"minicpm5"}, {numbers_of_3, llama3}, true},
      {{"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan",
        "solar-open", "grok-2", "bailingmoe", "bailingmoe2", "llada-moe"},
       {qwen2}},
      {{"laguna"}, {kPatternLines, qwen2}},
      {{"qwen35"}, {kPatternQwen35}},
      {{"seed-coder"}, {kPatternSeedCoder}},
      {{"ufakzeka"}, {kPatternUfakzeka}},
      {{"exaone-moe"}, {kPatternExaoneMoe}},
      {{"smollm", "command-r", "starcoder", "refact", "codeshell", "exaone", "minerva-7b",
        "mellum2"},
       {number, gpt2}},
      {{"gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0",
        "mellum", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4", "modern-bert"},
       {gpt2}},
      {{"falcon"}, {kPatternFalconPunctuation, gpt2, kPatternAsciiDigits3}},
      {{"tekken"}, {kPatternTekken}, true, true},
      {{"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}, {kPatternGpt4o}},
      {{"youtu"}, {kPatternYoutuBlocks, kPatternYoutu}, true},
      {{"deepseek-llm"},
       {kPatternLineEnd, kPatternDeepseekLetters, kPatternDeepseekMarks, kPatternSpacesAtEnd,
        kPatternDeepseekIdeographs, kPatternNumbers}},
      {{"deepseek-coder"},
       {kPatternLineEnd, kPatternSpacedLetters, kPatternSpacedPunctuation,
        kPatternDeepseekIdeographs, number}},
      {{"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"},
       {numbers_of_3, kPatternDeepseekCjk, kPatternDeepseekWords}},
      {{"poro-chat", "bloom", "gpt3-finnish"}, {kPatternPoro}},
      {{"viking"}, {kPatternPoro, number}},
      {{"superbpe"}, {kPatternNumbers, kPatternDigitTriples}},
      {{"default", ""}, {kPatternPunctuation, gpt2, kPatternNumbers, kPatternAsciiDigits3}},
  };
}

}  // namespace

Status use_gguf_pre_tokenizer(const std::string& name, VocabularySpec& spec) {
  for (const PreTokenizer& known : pre_tokenizers()) {
    if (std::find(known.names.begin(), known.names.end(), name) == known.names.end()) continue;
    for (const char* pattern : known.patterns)
      spec.pre_tokenizer.push_back({PreTokenizerStep::Kind::kSplitRegex, pattern});
    spec.ignore_merges = known.ignore_merges;
    spec.add_bos = known.add_bos;
    return Ok{};
  }
  return unsupported("tokenizer.ggml.pre: pre-tokenizer '" + name + "' is not known");
}

std::string gguf_pre_tokenizer_name(const VocabularySpec& spec) {
  std::vector<std::string> patterns;
  for (const PreTokenizerStep& step : spec.pre_tokenizer) {
    const bool isolates = step.behavior == text::SplitBehavior::kIsolated && !step.invert;
    const bool regex = isolates && step.kind == PreTokenizerStep::Kind::kSplitRegex;
    const bool digits = isolates && step.kind == PreTokenizerStep::Kind::kSplitClass &&
                        step.classes == text::kDigit;
    if (!regex && !digits) return "";
    patterns.push_back(digits ? text::kPatternNumber : step.pattern);
  }
  for (const PreTokenizer& known : pre_tokenizers())
    if (known.ignore_merges == spec.ignore_merges &&
        std::equal(known.patterns.begin(), known.patterns.end(), patterns.begin(), patterns.end()))
      return std::string(known.names.front());
  return "";
}

}  // namespace localai::engine
