#include "text/pre_tokenizer.h"

#include <utility>

#include "text/unicode.h"

namespace localai::text {
namespace {

using Kind = PreTokenizerStep::Kind;

// A text cut into matches and the gaps between them, left to right.
struct Cut {
  Span span;
  bool match;
};

template <class Find>
std::vector<Cut> cut_by(std::string_view text, bool invert, const Find& find) {
  std::vector<Cut> cuts;
  size_t at = 0;
  while (at < text.size()) {
    const std::optional<Span> found = find(at);
    if (!found) break;
    if (found->begin > at) cuts.push_back({{at, found->begin}, invert});
    cuts.push_back({*found, !invert});
    at = found->end;
  }
  if (at < text.size()) cuts.push_back({{at, text.size()}, invert});
  return cuts;
}

// Source: tokenizers, NormalizedString::split.
std::vector<Span> fold(const std::vector<Cut>& cuts, SplitBehavior behavior) {
  std::vector<Span> out;
  bool previous_match = false;
  bool open = false;  // kMergedWithNext: a match waits for what follows it
  for (const Cut& cut : cuts) {
    bool join = false;
    if (behavior == SplitBehavior::kRemoved && cut.match) continue;
    if (behavior == SplitBehavior::kContiguous) join = cut.match == previous_match;
    if (behavior == SplitBehavior::kMergedWithPrevious) join = cut.match && !previous_match;
    if (behavior == SplitBehavior::kMergedWithNext) join = open && !cut.match;
    if (join && !out.empty()) {
      out.back().end = cut.span.end;
    } else {
      out.push_back(cut.span);
    }
    open = cut.match;
    previous_match = cut.match;
  }
  return out;
}

void add(Words& out, std::string_view text, const std::vector<Span>& spans) {
  for (const Span& span : spans)
    out.words.push_back(text.substr(span.begin, span.end - span.begin));
}

std::optional<Span> find_literal(std::string_view text, std::string_view literal, size_t from) {
  const size_t at = text.find(literal, from);
  if (at == std::string_view::npos) return std::nullopt;
  return Span{at, at + literal.size()};
}

std::optional<Span> find_class(std::string_view text, uint32_t classes, size_t from) {
  for (TextChar c = char_at(text, from); c.bytes > 0; c = char_at(text, from)) {
    if (c.is(classes)) return Span{from, from + c.bytes};
    from += c.bytes;
  }
  return std::nullopt;
}

// \w+|[^\w\s]+
std::optional<Span> find_word(std::string_view text, size_t from) {
  for (TextChar c = char_at(text, from); c.bytes > 0; c = char_at(text, from)) {
    if (c.is(kWord)) return Span{from, run_end(text, from, kWord)};
    if (!c.is(kSpace)) {
      size_t end = from;
      for (; c.bytes > 0 && !c.is(kWord | kSpace); c = char_at(text, end)) end += c.bytes;
      return Span{from, end};
    }
    from += c.bytes;
  }
  return std::nullopt;
}

constexpr std::string_view kMetaspace = "\u2581";

std::string spaces_replaced(std::string_view text) {
  std::string out;
  out.reserve(text.size() + kMetaspace.size());
  for (const char c : text) {
    if (c == ' ') {
      out += kMetaspace;
    } else {
      out.push_back(c);
    }
  }
  return out;
}

void metaspace(Words& out, std::string_view piece, bool first, const PreTokenizerStep& spec) {
  std::string text = spaces_replaced(piece);
  const bool wanted = spec.prepend_scheme == "always" || (spec.prepend_scheme == "first" && first);
  if (wanted && !text.starts_with(kMetaspace)) text.insert(0, kMetaspace);
  const std::string_view kept = out.owned.emplace_back(std::move(text));
  if (!spec.split) {
    out.words.push_back(kept);
    return;
  }
  const auto cuts =
      cut_by(kept, false, [&](size_t from) { return find_literal(kept, kMetaspace, from); });
  add(out, kept, fold(cuts, SplitBehavior::kMergedWithNext));
}

void prefix_space(Words& out, std::string_view piece) {
  if (piece.starts_with(' ')) {
    out.words.push_back(piece);
  } else {
    out.words.push_back(out.owned.emplace_back(" " + std::string(piece)));
  }
}

}  // namespace

Result<PreTokenizer> PreTokenizer::create(const std::vector<PreTokenizerStep>& steps) {
  PreTokenizer out;
  for (const PreTokenizerStep& spec : steps) {
    Step step{spec, nullptr};
    if (spec.kind == Kind::kSplitRegex) {
      LAI_TRY(step.pattern, Pattern::compile(spec.pattern), "pre-tokenizer");
    } else if (spec.kind == Kind::kSplitLiteral && spec.pattern.empty()) {
      return corrupt("pre-tokenizer: the string to split by is empty");
    } else if (spec.kind == Kind::kMetaspace) {
      const std::string& scheme = spec.prepend_scheme;
      if (scheme != "always" && scheme != "first" && scheme != "never")
        return corrupt("pre-tokenizer: prepend_scheme '" + scheme +
                       "' is not one of always, first, never");
    }
    out.steps_.push_back(std::move(step));
  }
  return out;
}

Words PreTokenizer::split(std::string_view piece, bool first) const {
  Words now;
  now.words.push_back(piece);
  for (const Step& step : steps_) {
    Words next;
    next.owned = std::move(now.owned);
    for (size_t i = 0; i < now.words.size(); ++i) {
      const std::string_view text = now.words[i];
      const PreTokenizerStep& spec = step.spec;
      const auto split_by = [&](const auto& find, SplitBehavior behavior) {
        add(next, text, fold(cut_by(text, spec.invert, find), behavior));
      };
      switch (spec.kind) {
        case Kind::kSplitRegex:
          split_by([&](size_t from) { return step.pattern->find(text, from); }, spec.behavior);
          break;
        case Kind::kSplitLiteral:
          split_by([&](size_t from) { return find_literal(text, spec.pattern, from); },
                   spec.behavior);
          break;
        case Kind::kSplitClass:
          split_by([&](size_t from) { return find_class(text, spec.classes, from); },
                   spec.behavior);
          break;
        case Kind::kSplitWords:
          add(next, text,
              fold(cut_by(text, true, [&](size_t from) { return find_word(text, from); }),
                   SplitBehavior::kRemoved));
          break;
        case Kind::kMetaspace:
          metaspace(next, text, first && i == 0, spec);
          break;
        case Kind::kPrefixSpace:
          prefix_space(next, text);
          break;
      }
    }
    now = std::move(next);
  }
  return now;
}

}  // namespace localai::text
