#pragma once
// What turns one word into ids: the last step of encoding.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace localai::text {

// Memory that encode() uses again from word to word. One thread.
struct ModelScratch {
  struct Symbol {
    TokenId id;        // -1: not a token (yet)
    int32_t previous;  // -1: none
    int32_t next;
    uint32_t begin, bytes;  // in the word; bytes 0: merged away
  };
  struct Candidate {
    uint64_t order;  // rank, then position: what comes first
    uint32_t bytes;  // of both symbols together, to see that they are still the same
    TokenId id;
  };
  struct Best {
    double score = 0;
    int32_t begin = -1;  // of the last token; -1: none ends here
    TokenId id = -1;
  };
  std::vector<Symbol> symbols;  // of BPE
  std::vector<Candidate> heap;
  std::string spelled;
  std::vector<Best> best;  // of Unigram
  std::vector<int32_t> cuts;
};

// Immutable, thread-safe. Control and unknown tokens are never made out of text by a model: they
// enter only as added tokens.
class WordModel {
 public:
  virtual ~WordModel() = default;
  // Appends the ids of one word (valid UTF-8, under 2 GiB).
  virtual void encode(std::string_view word, ModelScratch& scratch,
                      std::vector<TokenId>& out) const = 0;
};

// Tokens of `spec` that words may be made of: no control, unknown or unused ones, no added ones
// that are only looked for in the text; byte tokens where spec.bytes_in_text.
std::vector<bool> tokens_of_words(const VocabularySpec& spec);

}  // namespace localai::text
