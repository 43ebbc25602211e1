#pragma once
// What a tokenizer is made of, as plain data. engine/ fills it from GGUF metadata or from the files
// of a model directory; text/ never sees a file format of weights.
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace localai::text {

using TokenId = int32_t;

enum class TokenizerKind : uint8_t {
  kSentencePieceBpe,  // GGUF "llama": merges by score (or by rank, from tokenizer.json), byte
                      // fallback
  kByteLevelBpe,      // GGUF "gpt2": pre-tokenizer, byte alphabet, merges by rank
};

enum class TokenType : uint8_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

// How a special (added) token is found in text. Source: tokenizers.AddedToken.
struct AddedToken {
  TokenId id = 0;
  std::string text;
  bool special = false;  // control: left out of decoded text, and matched only when asked
  bool lstrip = false;   // swallows the whitespace before it
  bool rstrip = false;   // and after
  bool single_word = false;
  bool normalized = false;  // matched on normalised text
};

// Steps of the Hugging Face pipeline that the two kinds need; GGUF names map onto the same steps.
struct NormalizerStep {
  enum class Kind : uint8_t { kReplace, kPrepend, kNfc } kind;
  std::string from;  // kReplace
  std::string to;    // kReplace, kPrepend
};

// What becomes of the matches of a split. Source: tokenizers.SplitDelimiterBehavior.
enum class SplitBehavior : uint8_t {
  kRemoved,
  kIsolated,
  kMergedWithPrevious,
  kMergedWithNext,
  kContiguous
};

struct PreTokenizerStep {
  enum class Kind : uint8_t {
    kSplitRegex,    // by a known or a general regex
    kSplitLiteral,  // by a string (Gemma: " ", merged with previous)
    kDigits,        // numbers from the rest, as one piece or each digit alone
    kMetaspace,     // SentencePiece style: " " becomes U+2581, optional prefix, optional split
    kPrefixSpace,   // ByteLevel's add_prefix_space: one space before a piece that has none
  } kind;
  std::string pattern = {};                           // kSplitRegex, kSplitLiteral
  SplitBehavior behavior = SplitBehavior::kIsolated;  // kSplitRegex, kSplitLiteral
  bool invert = false;                                // they take the gaps for the matches
  bool individual = true;                             // kDigits
  std::string prepend_scheme = {};                    // kMetaspace: "always", "first", "never"
  bool split = true;                                  // kMetaspace
};

struct VocabularySpec {
  TokenizerKind kind = TokenizerKind::kByteLevelBpe;
  std::vector<std::string> tokens;  // by id; an empty text is an id that nothing encodes to
  std::vector<float> scores;        // kSentencePieceBpe from GGUF/.model; else empty
  std::vector<TokenType> types;     // by id, or empty
  std::vector<std::pair<std::string, std::string>> merges;  // by rank; empty: merge by score
  std::vector<AddedToken> added;
  // Which of overlapping added tokens wins: the longest (llama.cpp, for GGUF) or the leftmost, of
  // those the longest (Hugging Face).
  bool longest_added_first = false;
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;
  bool ignore_merges = false;  // a whole word that is a token is taken as it is
  bool byte_fallback = false;  // unknown characters become <0xXX> tokens
  bool fuse_unknown = false;
  bool add_space_prefix =
      false;  // SentencePiece dummy prefix, by GGUF's rule (start, after specials)
  bool strip_decoded_space = false;  // decode() drops one space at the start of a whole text

  std::optional<TokenId> bos, eos, unknown, pad;
  bool add_bos = false;
  bool add_eos = false;
  std::vector<TokenId> end_of_generation;  // eos, eot and what else ends an answer
};

}  // namespace localai::text
