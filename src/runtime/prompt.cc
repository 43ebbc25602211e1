#include "runtime/prompt.h"

#include <algorithm>

#include "base/number.h"
#include "base/utf8.h"

namespace localai::runtime {
namespace {

// For models without a template (base models): a plain dialogue, which such models continue well.
constexpr std::string_view kPlainForm =
    "{%- for message in messages -%}"
    "{%- if message.role == 'system' -%}{{ message.content + '\\n\\n' }}"
    "{%- elif message.role == 'assistant' -%}{{ 'Assistant: ' + message.content + '\\n' }}"
    "{%- else -%}{{ 'User: ' + message.content + '\\n' }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}";
constexpr std::string_view kPlainStops[] = {"\nUser:", "\nSystem:"};

// Private-use characters around a number: templates that trim, change case, or quote as JSON leave
// them alone.
constexpr std::string_view kOpen = "\xEE\x80\x80", kClose = "\xEE\x80\x81";

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Where a text begins and ends without the white space around it, which templates may trim.
Span core_of(std::string_view text) {
  Span span{0, text.size()};
  while (span.begin < span.end && is_space(text[span.begin])) ++span.begin;
  while (span.end > span.begin && is_space(text[span.end - 1])) --span.end;
  return span;
}

std::string mark(std::string_view text, const std::string& tag) {
  const Span core = core_of(text);
  if (core.begin == core.end) return std::string(text);
  std::string out(text.substr(0, core.begin));
  out.append(kOpen).append(tag);
  out += text.substr(core.begin, core.end - core.begin);
  out.append(kClose).append(tag);
  out += text.substr(core.end);
  return out;
}

// Takes the marks out again and says what stood between them. Nothing when they are not paired.
struct Unmarked {
  std::string text;
  std::vector<Span> spans;
};
std::optional<Unmarked> unmark(std::string_view marked, const std::string& tag) {
  const std::string open = std::string(kOpen) + tag, close = std::string(kClose) + tag;
  Unmarked out;
  while (true) {
    const size_t begin = marked.find(open);
    if (begin == std::string_view::npos) break;
    const size_t end = marked.find(close, begin);
    if (end == std::string_view::npos) return std::nullopt;
    out.text += marked.substr(0, begin);
    const size_t from = out.text.size();
    out.text += marked.substr(begin + open.size(), end - begin - open.size());
    out.spans.push_back({from, out.text.size()});
    marked.remove_prefix(end + close.size());
  }
  out.text += marked;
  return out;
}

bool has_text(const Json& message) {
  const auto content = message.find("content");
  return content != message.end() && content->is_string();
}

// Every string inside `value` but the contents of messages, which are marked instead.
void defuse_strings(Json& value, const ControlTexts& control) {
  if (value.is_string()) value = control.defuse(value.get_ref<const std::string&>());
  if (value.is_structured())
    for (Json& item : value) defuse_strings(item, control);
}

// Some templates refuse a system message: its text then stands before the first user turn's.
std::optional<Json> fold_system(const Json& messages) {
  if (messages.size() < 2 || messages[0].value("role", "") != "system") return std::nullopt;
  if (!has_text(messages[0]) || !has_text(messages[1]) || messages[1].value("role", "") != "user")
    return std::nullopt;
  Json folded = messages;
  folded[1]["content"] = messages[0]["content"].get<std::string>() + "\n\n" +
                         messages[1]["content"].get<std::string>();
  folded.erase(folded.begin());
  return folded;
}

}  // namespace

ControlTexts::ControlTexts(const text::VocabularySpec& spec, const text::ChatTemplate& form) {
  using text::TokenType;
  for (size_t id = 0; id < spec.types.size() && id < spec.tokens.size(); ++id) {
    const TokenType type = spec.types[id];
    const bool written = type == TokenType::kUserDefined && spec.tokens[id].size() > 2 &&
                         form.mentions(spec.tokens[id]);
    if (type == TokenType::kControl || type == TokenType::kUnknown || written) add(spec.tokens[id]);
  }
  for (const text::AddedToken& token : spec.added)
    if (token.special || (token.text.size() > 2 && form.mentions(token.text))) add(token.text);
  std::vector<text::TokenId> ids = spec.end_of_generation;
  for (const auto& id : {spec.bos, spec.eos, spec.pad})
    if (id) ids.push_back(*id);
  for (const text::TokenId id : ids)
    if (id >= 0 && static_cast<size_t>(id) < spec.tokens.size())
      add(spec.tokens[static_cast<size_t>(id)]);
  for (auto& texts : by_first_byte_) {
    std::sort(texts.begin(), texts.end(), [](const std::string& a, const std::string& b) {
      return a.size() != b.size() ? a.size() > b.size() : a < b;
    });
    texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  }
}

void ControlTexts::add(std::string_view text) {
  if (!text.empty()) by_first_byte_[static_cast<uint8_t>(text[0])].emplace_back(text);
}

std::vector<Span> ControlTexts::find(std::string_view text) const {
  std::vector<Span> found;
  for (size_t at = 0; at < text.size(); ++at)
    for (const std::string& candidate : by_first_byte_[static_cast<uint8_t>(text[at])])
      if (text.substr(at).starts_with(candidate)) {
        found.push_back({at, at + candidate.size()});
        break;
      }
  return found;
}

std::string ControlTexts::defuse(std::string_view text) const {
  std::string out;
  size_t done = 0;
  for (const Span& span : find(text)) {
    const size_t cut = span.begin + decode_utf8(text, span.begin).bytes;
    out += text.substr(done, cut - done);
    out += ' ';
    done = cut;
  }
  out += text.substr(done);
  return out;
}

PromptBuilder::PromptBuilder(std::shared_ptr<const text::Tokenizer> tokenizer,
                             const std::string& source, std::string bos_text, std::string eos_text)
    : tokenizer_(std::move(tokenizer)),
      form_(text::ChatTemplate::compile(source.empty() ? kPlainForm : std::string_view(source))),
      has_template_(!source.empty()),
      bos_text_(std::move(bos_text)),
      eos_text_(std::move(eos_text)) {}

Result<const text::ChatTemplate*> PromptBuilder::form_of(const ChatInput& input) const {
  if (input.chat_template) return input.chat_template.get();
  if (form_.ok()) return &*form_;
  return unsupported("the model's chat template cannot be used: " + form_.error().message);
}

Result<std::string> PromptBuilder::fill(const text::ChatTemplate& form, const ChatInput& input,
                                        const Json& messages) const {
  Json variables = input.template_kwargs.is_object() ? input.template_kwargs : Json::object();
  variables["messages"] = messages;
  if (input.tools.is_array() && !input.tools.empty()) variables["tools"] = input.tools;
  variables["add_generation_prompt"] = true;
  variables["bos_token"] = bos_text_;
  variables["eos_token"] = eos_text_;
  auto text = form.render(variables);
  if (text.ok() || text.error().code != Code::kInvalidArgument) return text;
  const auto folded = fold_system(messages);
  if (!folded) return text;
  variables["messages"] = *folded;
  auto retried = form.render(variables);
  return retried.ok() ? std::move(retried) : std::move(text);
}

Result<PromptBuilder::Rendered> PromptBuilder::render_safely(const ChatInput& input) const {
  LAI_TRY(const text::ChatTemplate* form, form_of(input));
  LAI_TRY(Json messages, normalize_messages(input.messages));
  const bool tools = input.tools.is_array() && !input.tools.empty();
  if (tools && !form->mentions("tools"))
    return unsupported("tools: this model's chat template has no place for them");

  const ControlTexts control(tokenizer_->spec(), *form);
  ChatInput clean = input;
  defuse_strings(clean.tools, control);
  defuse_strings(clean.template_kwargs, control);
  bool suspicious = false;
  std::string all;
  for (Json& message : messages) {
    for (auto& [key, value] : message.items()) {
      if (key != "content" || !value.is_string()) {
        defuse_strings(value, control);
        continue;
      }
      suspicious = suspicious || control.any_in(value.get_ref<const std::string&>());
      all += value.get_ref<const std::string&>();
    }
  }
  LAI_TRY(std::string plain, fill(*form, clean, messages));
  if (!suspicious) return Rendered{std::move(plain), {}};

  uint32_t number = 0;
  while (all.find(std::to_string(number)) != std::string::npos) ++number;
  const std::string tag = std::to_string(number);
  Json marked = messages;
  for (Json& message : marked)
    if (has_text(message))
      message["content"] = mark(message["content"].get_ref<const std::string&>(), tag);
  const auto with_marks = fill(*form, clean, marked);
  if (with_marks.ok())
    if (auto found = unmark(*with_marks, tag); found && found->text == plain)
      return Rendered{std::move(plain), std::move(found->spans)};

  // The template does something to contents that marks do not survive: break the texts instead.
  for (Json& message : messages)
    if (has_text(message))
      message["content"] = control.defuse(message["content"].get_ref<const std::string&>());
  LAI_TRY(std::string defused, fill(*form, clean, messages));
  return Rendered{std::move(defused), {}};
}

// A control token's text that touches a user's text is cut after its first character; neither piece
// holds it then, and everything else is tokenized as it would be in one piece.
std::vector<text::TokenId> PromptBuilder::encode(const Rendered& prompt,
                                                 const ControlTexts& control) const {
  const std::string_view text = prompt.text;
  std::vector<text::TokenId> tokens;
  const auto append = [&](size_t from, size_t to, bool special) {
    if (from >= to) return;
    const auto piece = tokenizer_->encode(text.substr(from, to - from),
                                          {.add_special = false, .parse_special = special});
    tokens.insert(tokens.end(), piece.begin(), piece.end());
  };
  size_t done = 0;
  const auto touches_user = [&](const Span& found) {
    return std::any_of(prompt.user_text.begin(), prompt.user_text.end(), [&](const Span& user) {
      return found.begin < user.end && user.begin < found.end;
    });
  };
  if (!prompt.user_text.empty())
    for (const Span& found : control.find(text)) {
      if (!touches_user(found)) continue;
      const size_t cut = found.begin + decode_utf8(text, found.begin).bytes;
      const bool single = cut >= found.end;  // a control token of one character cannot be cut
      append(done, single ? found.begin : cut, true);
      if (single) append(found.begin, cut, false);
      done = cut;
    }
  append(done, text.size(), true);
  return tokens;
}

// Source: what the reference implementations agree on: the template may or may not write BOS.
std::vector<text::TokenId> PromptBuilder::with_bos(std::vector<text::TokenId> tokens) const {
  const text::VocabularySpec& spec = tokenizer_->spec();
  if (spec.add_bos && spec.bos && (tokens.empty() || tokens.front() != *spec.bos))
    tokens.insert(tokens.begin(), *spec.bos);
  return tokens;
}

Result<std::string> PromptBuilder::render(const ChatInput& input) const {
  LAI_TRY(Rendered rendered, render_safely(input));
  return std::move(rendered.text);
}

Result<Prompt> PromptBuilder::build(const GenerateInput& input) const {
  Prompt prompt;
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&input)) {
    prompt.tokens = *ids;
  } else if (const auto* raw = std::get_if<std::string>(&input)) {
    prompt.tokens =
        with_bos(tokenizer_->encode(*raw, {.add_special = false, .parse_special = true}));
  } else {
    const auto& chat = std::get<ChatInput>(input);
    LAI_TRY(const Rendered rendered, render_safely(chat));
    LAI_TRY(const text::ChatTemplate* form, form_of(chat));
    prompt.tokens = with_bos(encode(rendered, ControlTexts(tokenizer_->spec(), *form)));
    if (!has_template_ && !chat.chat_template) {
      prompt.stop.assign(std::begin(kPlainStops), std::end(kPlainStops));
      prompt.trim_answer_start = true;
    }
  }
  if (prompt.tokens.empty()) return invalid("the prompt is empty: at least one token is needed");
  return prompt;
}

}  // namespace localai::runtime
