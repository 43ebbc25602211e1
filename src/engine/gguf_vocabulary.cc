#include "engine/gguf_vocabulary.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "text/pattern.h"

namespace localai::engine {
namespace {

using formats::GgufFile;
using text::AddedToken;
using text::PreTokenizerStep;
using text::TokenId;
using text::TokenizerKind;
using text::TokenType;
using text::VocabularySpec;

// What a name in tokenizer.ggml.pre stands for. Source: llama-vocab.cpp of
// llama.cpp, as in llama-cpp-python 0.3.36.
struct PreTokenizer {
  std::vector<std::string_view> names;
  std::vector<const char*> patterns;
  bool ignore_merges = false;
  bool add_bos = false;
};

std::vector<PreTokenizer> pre_tokenizers() {
  using namespace text;
  const auto number = kPatternNumber, gpt2 = kPatternGpt2, llama3 = kPatternLlama3;
  return {
      {{"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
        "jina-v5-nano"},
       {llama3},
       true,
       true},
      {{"dbrx", "smaug-bpe", "chatglm-bpe"}, {llama3}},
      {{"glm4", "glm5"}, {llama3}, true},
      {{"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan",
        "solar-open", "grok-2"},
       {kPatternQwen2}},
      {{"qwen35"}, {kPatternQwen35}},
      {{"smollm", "command-r", "starcoder", "refact", "codeshell", "exaone", "minerva-7b",
        "mellum2"},
       {number, gpt2}},
      {{"gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0",
        "mellum", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4"},
       {gpt2}},
      {{"tekken"}, {kPatternTekken}, true, true},
      {{"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}, {kPatternGpt4o}},
      {{"deepseek-v3", "hunyuan-dense", "joyai-llm"},
       {kPatternNumbersOf3, kPatternDeepseekCjk, kPatternDeepseekWords}},
      {{"default", ""}, {kPatternPunctuation, gpt2, kPatternNumbers, kPatternAsciiDigits3}},
  };
}

Status use_pre_tokenizer(const std::string& name, VocabularySpec& spec) {
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

Status read_tokens(const GgufFile& file, VocabularySpec& spec) {
  LAI_TRY(const auto tokens, file.array("tokenizer.ggml.tokens"));
  if (!tokens || tokens->type() != formats::GgufType::kString || tokens->size() == 0)
    return corrupt("tokenizer.ggml.tokens is not an array of strings");
  for (const std::string_view token : tokens->strings()) spec.tokens.emplace_back(token);
  const size_t count = spec.tokens.size();

  LAI_TRY(const auto types, file.array("tokenizer.ggml.token_type"));
  spec.types.assign(count, TokenType::kNormal);
  if (types && types->size() < count)
    return corrupt("tokenizer.ggml.token_type has " + std::to_string(types->size()) +
                   " elements, there are " + std::to_string(count) + " tokens");
  for (size_t id = 0; types && id < count; ++id) {
    const auto type = types->integer(id);
    if (!type || *type < 0 || *type > 6)
      return corrupt("tokenizer.ggml.token_type[" + std::to_string(id) + "] is not within 0..6");
    if (*type > 0) spec.types[id] = static_cast<TokenType>(*type);
  }

  LAI_TRY(const auto scores, file.array("tokenizer.ggml.scores"));
  if (!scores) return Ok{};
  if (scores->size() < count)
    return corrupt("tokenizer.ggml.scores has " + std::to_string(scores->size()) +
                   " elements, there are " + std::to_string(count) + " tokens");
  spec.scores.reserve(count);
  for (size_t id = 0; id < count; ++id) {
    const auto score = scores->number(id);
    if (!score) return corrupt("tokenizer.ggml.scores is not an array of numbers");
    spec.scores.push_back(static_cast<float>(*score));
  }
  return Ok{};
}

// "left right": split at the first space that is not the first byte.
Status read_merges(const GgufFile& file, VocabularySpec& spec) {
  LAI_TRY(const auto merges, file.array("tokenizer.ggml.merges"));
  if (!merges || merges->type() != formats::GgufType::kString)
    return corrupt("tokenizer.ggml.merges is not an array of strings");
  spec.merges.reserve(merges->size());
  for (const std::string_view merge : merges->strings()) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos)
      return corrupt("tokenizer.ggml.merges[" + std::to_string(spec.merges.size()) + "]: '" +
                     std::string(merge) + "' has no space between two tokens");
    spec.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  return Ok{};
}

// An id that is not in the vocabulary is as if it were absent, as llama.cpp has it.
Result<std::optional<TokenId>> read_id(const GgufFile& file, const VocabularySpec& spec,
                                       const std::string& key, std::optional<TokenId> absent) {
  LAI_TRY(const auto id, file.unsigned_integer("tokenizer.ggml." + key));
  if (id && *id < spec.tokens.size()) return std::optional<TokenId>(static_cast<TokenId>(*id));
  if (absent && static_cast<size_t>(*absent) >= spec.tokens.size()) return std::optional<TokenId>();
  return absent;
}

Status read_flag(const GgufFile& file, const std::string& key, bool& flag) {
  LAI_TRY(const auto value, file.boolean("tokenizer.ggml." + key));
  if (value) flag = *value;
  return Ok{};
}

void add_end(VocabularySpec& spec, TokenId id) {
  auto& ends = spec.end_of_generation;
  if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
}

Status read_special_ids(const GgufFile& file, VocabularySpec& spec) {
  const bool llama = spec.kind == TokenizerKind::kSentencePieceBpe;
  using Id = std::optional<TokenId>;
  LAI_TRY(spec.bos, read_id(file, spec, "bos_token_id", llama ? 1 : 11));
  LAI_TRY(spec.eos, read_id(file, spec, "eos_token_id", llama ? 2 : 11));
  LAI_TRY(spec.unknown, read_id(file, spec, "unknown_token_id", llama ? Id(0) : Id()));
  LAI_TRY(spec.pad, read_id(file, spec, "padding_token_id", {}));
  if (spec.eos) add_end(spec, *spec.eos);
  for (const char* key : {"eot_token_id", "eom_token_id", "fim_pad_token_id", "fim_rep_token_id",
                          "fim_sep_token_id"}) {
    LAI_TRY(const auto id, read_id(file, spec, key, {}));
    if (id) add_end(spec, *id);
  }
  for (size_t id = 0; id < spec.tokens.size(); ++id)
    if ((spec.types[id] == TokenType::kControl || spec.types[id] == TokenType::kUserDefined) &&
        text_ends_generation(spec.tokens[id]))
      add_end(spec, static_cast<TokenId>(id));
  LAI_TRY_STATUS(read_flag(file, "add_bos_token", spec.add_bos));
  LAI_TRY_STATUS(read_flag(file, "add_eos_token", spec.add_eos));
  LAI_TRY_STATUS(read_flag(file, "add_space_prefix", spec.add_space_prefix));
  return Ok{};
}

// Phi-3's role tokens swallow the whitespace after them; GGUF has no field for that, so llama.cpp
// goes by the model's name.
Result<bool> special_tokens_strip_right(const GgufFile& file) {
  LAI_TRY(auto name, file.string("general.name"));
  std::string lower = name.value_or("");
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower.find("phi-3") != std::string::npos || lower.find("phi3") != std::string::npos;
}

Status add_special_tokens(const GgufFile& file, VocabularySpec& spec) {
  LAI_TRY(const bool strip_right, special_tokens_strip_right(file));
  spec.longest_added_first = true;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenType type = spec.types[id];
    const bool control = type == TokenType::kControl || type == TokenType::kUnknown;
    if (!control && type != TokenType::kUserDefined) continue;
    AddedToken token;
    token.id = static_cast<TokenId>(id);
    token.text = spec.tokens[id];
    token.special = control;
    token.rstrip = strip_right && control && token.text != "<unk>" && token.text != "<s>" &&
                   token.text != "<|endoftext|>";
    spec.added.push_back(std::move(token));
  }
  return Ok{};
}

}  // namespace

std::string gguf_pre_tokenizer_name(const VocabularySpec& spec) {
  std::vector<std::string> patterns;
  for (const PreTokenizerStep& step : spec.pre_tokenizer) {
    const bool regex = step.kind == PreTokenizerStep::Kind::kSplitRegex && !step.invert &&
                       step.behavior == text::SplitBehavior::kIsolated;
    const bool digits = step.kind == PreTokenizerStep::Kind::kDigits && step.individual;
    if (!regex && !digits) return "";
    patterns.push_back(digits ? text::kPatternNumber : step.pattern);
  }
  for (const PreTokenizer& known : pre_tokenizers())
    if (known.ignore_merges == spec.ignore_merges &&
        std::equal(known.patterns.begin(), known.patterns.end(), patterns.begin(), patterns.end()))
      return std::string(known.names.front());
  return "";
}

bool text_ends_generation(std::string_view token_text) {
  constexpr std::array<std::string_view, 22> kTexts = {"<|eot_id|>",
                                                       "<|im_end|>",
                                                       "<|end|>",
                                                       "<|return|>",
                                                       "<|call|>",
                                                       "<|flush|>",
                                                       "<|calls|>",
                                                       "<end_of_turn>",
                                                       "<|endoftext|>",
                                                       "</s>",
                                                       "<|eom_id|>",
                                                       "<EOT>",
                                                       "_<EOT>",
                                                       "[EOT]",
                                                       "[EOS]",
                                                       "<|end_of_text|>",
                                                       "<end_of_utterance>",
                                                       "<eos>",
                                                       "<turn|>",
                                                       "<|tool_response>",
                                                       "<\uff5cend\u2581of\u2581sentence\uff5c>",
                                                       "[e~["};
  return std::find(kTexts.begin(), kTexts.end(), token_text) != kTexts.end();
}

Result<VocabularySpec> read_gguf_vocabulary(const GgufFile& file) {
  VocabularySpec spec;
  LAI_TRY(const auto found, file.string("tokenizer.ggml.model"));
  if (!found) return not_found(file.name() + ": has no tokenizer (no tokenizer.ggml.model)");
  const std::string model = found.value_or("");
  if (model != "llama" && model != "gpt2")
    return unsupported(file.name() + ": tokenizer.ggml.model '" + model +
                       "' is not supported (llama and gpt2 are)");
  LAI_TRY_STATUS(read_tokens(file, spec), file.name());
  if (model == "llama") {
    spec.kind = TokenizerKind::kSentencePieceBpe;
    spec.byte_fallback = true;
    spec.add_bos = true;
    spec.add_space_prefix = true;
    spec.normalizer.push_back({text::NormalizerStep::Kind::kReplace, " ", "\u2581"});
  } else {
    LAI_TRY(const auto pre, file.string("tokenizer.ggml.pre"));
    LAI_TRY_STATUS(use_pre_tokenizer(pre.value_or(""), spec), file.name());
    LAI_TRY_STATUS(read_merges(file, spec), file.name());
  }
  LAI_TRY_STATUS(read_special_ids(file, spec));
  if (model != "llama") spec.add_space_prefix = false;  // it belongs to the other kind
  spec.strip_decoded_space = spec.add_space_prefix;
  LAI_TRY_STATUS(add_special_tokens(file, spec));
  return spec;
}

}  // namespace localai::engine
