#pragma once
// From messages to the token ids of a prompt. Text that a user wrote never becomes a control token:
// "<|im_end|>" inside a message is tokenized as the characters that it is.
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "runtime/backend.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace localai::runtime {

struct Prompt {
  std::vector<text::TokenId> tokens;
  std::vector<std::string> stop;   // that this form of prompt needs
  bool trim_answer_start = false;  // the answer begins with a space that belongs to the form
};

// A half-open range of bytes.
struct Span {
  size_t begin = 0, end = 0;
};

// Finds the texts of control tokens.
class ControlTexts {
 public:
  // Control, unknown and end tokens of the vocabulary, and user-defined ones that the template
  // writes (their names are part of the form there).
  ControlTexts(const text::VocabularySpec& spec, const text::ChatTemplate& form);
  // Every place where one begins; the longest at each. Linear in the text for usual vocabularies.
  [[nodiscard]] std::vector<Span> find(std::string_view text) const;
  [[nodiscard]] bool any_in(std::string_view text) const { return !find(text).empty(); }
  // The text with a space after the first character of each one, so that none is left.
  [[nodiscard]] std::string defuse(std::string_view text) const;

 private:
  void add(std::string_view text);
  std::array<std::vector<std::string>, 256> by_first_byte_;  // longest first
};

// Immutable; thread-safe.
class PromptBuilder {
 public:
  // `source`: the model's chat template; "" gives the documented plain form. A template that does
  // not compile is kept as an error that chats get; raw text still works.
  PromptBuilder(std::shared_ptr<const text::Tokenizer> tokenizer, const std::string& source,
                std::string bos_text, std::string eos_text);

  // Errors: kInvalidArgument (messages malformed, what the template raises, no tokens at all),
  // kUnsupported (a part that is not text; tools for a template without them).
  [[nodiscard]] Result<Prompt> build(const GenerateInput& input) const;
  // The prompt's text, for tests and tools.
  [[nodiscard]] Result<std::string> render(const ChatInput& input) const;
  [[nodiscard]] bool has_template() const { return has_template_; }

 private:
  struct Rendered {
    std::string text;
    std::vector<Span> user_text;  // of messages' contents; only where it matters
  };
  [[nodiscard]] Result<std::string> fill(const text::ChatTemplate& form, const ChatInput& input,
                                         const Json& messages) const;
  [[nodiscard]] Result<Rendered> render_safely(const ChatInput& input) const;
  [[nodiscard]] Result<const text::ChatTemplate*> form_of(const ChatInput& input) const;
  [[nodiscard]] std::vector<text::TokenId> encode(const Rendered& prompt,
                                                  const ControlTexts& control) const;
  [[nodiscard]] std::vector<text::TokenId> with_bos(std::vector<text::TokenId> tokens) const;

  std::shared_ptr<const text::Tokenizer> tokenizer_;
  Result<text::ChatTemplate> form_;
  bool has_template_;
  std::string bos_text_, eos_text_;
};

// Checks messages and brings them into the form that templates expect: "developer" is "system",
// text parts are joined with newlines, null content is "" unless tools are called.
// Errors: kInvalidArgument, kUnsupported; they name the message's index.
Result<Json> normalize_messages(const Json& messages);

}  // namespace localai::runtime
