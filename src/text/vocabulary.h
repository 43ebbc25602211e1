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
  kWordPiece,         // GGUF "bert": of each word the longest beginning that is a token, and so on
  kUnigram,           // GGUF "t5": the tokens with the highest sum of scores
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
  bool in_model = false;    // the model's own vocabulary has it too, so that words may contain it
};

// Steps of the Hugging Face pipeline; GGUF names map onto the same steps.
struct NormalizerStep {
  enum class Kind : uint8_t {
    kReplace,       // of a string
    kReplaceRegex,  // of the matches of a regex
    kPrepend,       // before a text that is not empty
    kNfc,
    kNfd,
    kNfkc,
    kNfkd,
    kLowercase,
    kStrip,           // whitespace at the ends
    kStripCombining,  // HF StripAccents
    kNmt,             // control characters out, odd spaces to spaces
    // The parts of BertNormalizer, in their order (kNfd and kLowercase are among them).
    kCleanText,        // control characters out, whitespace to spaces
    kIdeographsApart,  // a space before and after each
    kStripNonspacing,
    kCharsmap,       // compiled rules of SentencePiece, the longest first
    kCharsmapHf,     // the same, as the tokenizers library applies them
    kSqueezeSpaces,  // SentencePiece's remove_extra_whitespaces
  } kind;
  std::string from = {};           // kReplace, kReplaceRegex; kCharsmap*: the rules
  std::string to = {};             // kReplace, kReplaceRegex, kPrepend
  bool left = true, right = true;  // kStrip
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
    kSplitClass,    // by characters of some classes (unicode.h), each a match
    kSplitWords,    // HF Whitespace: runs of word characters, runs of others, no whitespace
    kMetaspace,     // SentencePiece style: " " becomes U+2581, optional prefix, optional split
    kPrefixSpace,   // ByteLevel's add_prefix_space: one space before a piece that has none
  } kind;
  std::string pattern = {};                           // kSplitRegex, kSplitLiteral
  SplitBehavior behavior = SplitBehavior::kIsolated;  // kSplitRegex, kSplitLiteral
  bool invert = false;                                // they take the gaps for the matches
  uint32_t classes = 0;                               // kSplitClass
  std::string prepend_scheme = {};                    // kMetaspace: "always", "first", "never"
  bool split = true;                                  // kMetaspace
};

struct VocabularySpec {
  TokenizerKind kind = TokenizerKind::kByteLevelBpe;
  std::vector<std::string> tokens;  // by id; an empty text is an id that nothing encodes to
  // By id, for kUnigram and for kSentencePieceBpe from GGUF or .model; else empty.
  std::vector<double> scores;
  std::vector<TokenType> types;                             // by id, or empty
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
  bool float_sums = false;     // kUnigram: sums of scores have single precision (SentencePiece)
  bool bytes_in_text = false;  // kUnigram: "<0x41>" in a text may become the byte's token
  bool add_space_prefix =
      false;  // SentencePiece dummy prefix, by GGUF's rule (start, after specials)
  bool strip_decoded_space = false;  // decode() drops one space at the start of a whole text
  // kWordPiece: how the vocabulary spells the first token of a word and those that go on with it
  // (tokenizer.json: "" and "##"; GGUF: U+2581 and ""), and the longest word that is looked at.
  std::string word_start, word_continuation;
  size_t word_characters_max = 0;  // longer ones are unknown; 0: none is
  bool clean_spaces = false;       // decode() drops the space before . ? ! , and contractions

  std::optional<TokenId> bos, eos, unknown, pad;
  bool add_bos = false;
  bool add_eos = false;
  std::vector<TokenId> end_of_generation;  // eos, eot and what else ends an answer
};

}  // namespace localai::text
