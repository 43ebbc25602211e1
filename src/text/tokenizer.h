#pragma once
// Text to token ids and back. Immutable once built; thread-safe.
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/vocabulary.h"

namespace localai::text {

struct EncodeOptions {
  bool add_special = true;  // the model's BOS/EOS
  bool parse_special =
      true;  // control tokens written in the text become their ids; off for user text
};

class Tokenizer {
 public:
  // Errors: kCorrupt / kUnsupported, naming what is wrong (a merge of unknown tokens, an id past
  // the vocabulary, an unknown pre-tokenizer).
  static Result<std::unique_ptr<Tokenizer>> create(VocabularySpec spec);
  virtual ~Tokenizer() = default;

  // Any bytes; those that are not UTF-8 are treated as U+FFFD, as the reference does. Linearithmic
  // in the length of the text.
  [[nodiscard]] virtual std::vector<TokenId> encode(std::string_view text,
                                                    const EncodeOptions& options) const = 0;
  // Text of all ids together. Control tokens are left out unless `with_special`. May end inside a
  // UTF-8 character when the ids do; ids outside the vocabulary add nothing.
  [[nodiscard]] virtual std::string decode(std::span<const TokenId> ids,
                                           bool with_special = false) const = 0;
  // The raw bytes that one id contributes in the middle of a text.
  [[nodiscard]] virtual std::string piece(TokenId id, bool with_special = false) const = 0;

  [[nodiscard]] const VocabularySpec& spec() const { return spec_; }
  [[nodiscard]] bool ends_generation(TokenId id) const;
  [[nodiscard]] size_t size() const { return spec_.tokens.size(); }

 protected:
  explicit Tokenizer(VocabularySpec spec) : spec_(std::move(spec)) {}
  VocabularySpec spec_;
};

// Ids in, text out, never inside a UTF-8 character. One per answer; one thread.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  // The text that is certain after this id; may be empty.
  std::string push(TokenId id);
  // What is left at the end; bytes that never became a character are U+FFFD.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;
};

// tokenizer.json of a model directory (Hugging Face `tokenizers` format).
Result<VocabularySpec> parse_tokenizer_json(std::string_view json);
// tokenizer.model (a SentencePiece protobuf, read through libsentencepiece).
Result<VocabularySpec> parse_sentencepiece_model(std::string_view bytes);

}  // namespace localai::text
