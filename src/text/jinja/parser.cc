#include "text/jinja/parser.h"

#include <algorithm>
#include <set>

#include "text/jinja/expression_parser.h"

namespace localai::text::jinja {
namespace {

using StmtPtr = std::unique_ptr<Stmt>;

class Parser {
 public:
  Parser(std::vector<Token> tokens, uint32_t depth_max)
      : tokens_(std::move(tokens)), expressions_(tokens_, program_, depth_max) {}

  Result<Program> run() {
    LAI_TRY(program_.body, parse_block({}));
    LAI_TRY_STATUS(check_calls());
    return std::move(program_);
  }

 private:
  using Words = std::vector<std::string_view>;

  // Statements up to a tag named in `ends`; that tag's name is then the current token. An empty
  // list: up to the end of the source.
  Result<Block> parse_block(const Words& ends) {
    const ExpressionParser::Nested nested(expressions_);
    if (!nested.status.ok()) return nested.status.error();
    Block block;
    const Token start = tokens_.current();
    while (!tokens_.is(TokenKind::kEnd)) {
      if (tokens_.is(TokenKind::kData)) {
        const Token& token = tokens_.next();
        StmtPtr text = make(StmtKind::kText, token);
        text->text = token.text;
        block.push_back(std::move(text));
      } else if (tokens_.is(TokenKind::kVariableBegin)) {
        LAI_TRY(StmtPtr output, parse_output());
        block.push_back(std::move(output));
      } else {
        LAI_TRY_STATUS(tokens_.expect(TokenKind::kBlockBegin, "'{%'"));
        const auto ends_here = [&](std::string_view end) { return tokens_.is_name(end); };
        if (std::any_of(ends.begin(), ends.end(), ends_here)) return block;
        LAI_TRY_STATUS(parse_tag(block, ends));
        LAI_TRY_STATUS(tokens_.expect(TokenKind::kBlockEnd, "'%}'"));
      }
    }
    if (ends.empty()) return block;
    return TokenStream::fail_at(start, "the template ends before '" + std::string(ends.back()) +
                                           "', which this block needs");
  }

  // The body of a tag, from its '%}' to one of `ends`, whose name is left as the current token.
  Result<Block> parse_body(const Words& ends) {
    tokens_.skip_op(":");
    LAI_TRY_STATUS(tokens_.expect(TokenKind::kBlockEnd, "'%}'"));
    return parse_block(ends);
  }
  Status parse_only_body(Stmt& stmt, std::string_view end) {
    LAI_TRY(Block body, parse_body({end}));
    tokens_.next();
    stmt.blocks.push_back(std::move(body));
    return Ok{};
  }

  static StmtPtr make(StmtKind kind, const Token& at) {
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = kind;
    stmt->line = at.line;
    return stmt;
  }

  Result<StmtPtr> parse_output() {
    StmtPtr stmt = make(StmtKind::kOutput, tokens_.next());
    LAI_TRY(ExprPtr value, expressions_.parse_tuple(true));
    LAI_TRY_STATUS(tokens_.expect(TokenKind::kVariableEnd, "'}}'"));
    stmt->exprs.push_back(std::move(value));
    return stmt;
  }

  Status parse_tag(Block& block, const Words& ends) {
    static constexpr std::pair<std::string_view, Result<StmtPtr> (Parser::*)()> kTags[] = {
        {"if", &Parser::parse_if},
        {"for", &Parser::parse_for},
        {"set", &Parser::parse_set},
        {"macro", &Parser::parse_macro},
        {"call", &Parser::parse_call_block},
        {"filter", &Parser::parse_filter_block},
        {"with", &Parser::parse_with},
        {"generation", &Parser::parse_generation},
        {"break", &Parser::parse_loop_control},
        {"continue", &Parser::parse_loop_control},
    };
    const Token token = tokens_.current();
    if (token.kind != TokenKind::kName)
      return tokens_.fail("expected the name of a tag, found " + tokens_.describe());
    if (token.text == "print") return parse_print(block);
    for (const auto& [name, parse] : kTags) {
      if (name != token.text) continue;
      LAI_TRY(StmtPtr stmt, (this->*parse)());
      block.push_back(std::move(stmt));
      return Ok{};
    }
    return unknown_tag(token, ends);
  }

  static Error unknown_tag(const Token& token, const Words& ends) {
    const std::string place = where(token.line, token.column) + ": ";
    if (token.text.starts_with("end") || token.text == "else" || token.text == "elif") {
      std::string expected;
      for (const std::string_view end : ends)
        expected += (expected.empty() ? "" : " or ") + ("'" + std::string(end) + "'");
      return invalid(place + "the tag " + in_quotes(token.text) + " stands where " +
                     (expected.empty() ? "no block is open" : expected + " is expected"));
    }
    return unsupported(place + "the tag " + in_quotes(token.text) + " is not supported");
  }

  Status parse_print(Block& block) {
    const Token token = tokens_.next();
    while (!tokens_.is(TokenKind::kBlockEnd)) {
      LAI_TRY(ExprPtr value, expressions_.parse_expression());
      StmtPtr output = make(StmtKind::kOutput, token);
      output->exprs.push_back(std::move(value));
      block.push_back(std::move(output));
      if (!tokens_.skip_op(",")) break;
    }
    return Ok{};
  }

  Result<StmtPtr> parse_if() {
    StmtPtr stmt = make(StmtKind::kIf, tokens_.next());
    while (true) {
      LAI_TRY(ExprPtr condition, expressions_.parse_tuple(false));
      stmt->exprs.push_back(std::move(condition));
      LAI_TRY(Block body, parse_body({"elif", "else", "endif"}));
      stmt->blocks.push_back(std::move(body));
      const std::string end = tokens_.next().text;
      if (end == "elif") continue;
      if (end == "else") LAI_TRY_STATUS(parse_only_body(*stmt, "endif"));
      return stmt;
    }
  }

  Result<StmtPtr> parse_for() {
    StmtPtr stmt = make(StmtKind::kFor, tokens_.next());
    LAI_TRY(Target target, parse_target(false, "in"));
    stmt->targets.push_back(std::move(target));
    LAI_TRY_STATUS(tokens_.expect_name("in"));
    LAI_TRY(ExprPtr source, expressions_.parse_tuple(false, "recursive"));
    stmt->exprs.push_back(std::move(source));
    ExprPtr condition;
    if (tokens_.skip_name("if")) {
      LAI_TRY(condition, expressions_.parse_expression());
    }
    stmt->exprs.push_back(std::move(condition));
    if (tokens_.is_name("recursive"))
      return unsupported(where(tokens_.current().line, tokens_.current().column) +
                         ": recursive loops are not supported: use a macro");
    ++loops_;
    LAI_TRY(Block body, parse_body({"else", "endfor"}));
    --loops_;
    stmt->blocks.push_back(std::move(body));
    if (tokens_.next().text == "else") LAI_TRY_STATUS(parse_only_body(*stmt, "endfor"));
    return stmt;
  }

  Result<StmtPtr> parse_set() {
    const Token token = tokens_.next();
    LAI_TRY(Target target, parse_target(true, {}));
    if (tokens_.skip_op("=")) {
      StmtPtr stmt = make(StmtKind::kSet, token);
      stmt->targets.push_back(std::move(target));
      LAI_TRY(ExprPtr value, expressions_.parse_tuple(true));
      stmt->exprs.push_back(std::move(value));
      return stmt;
    }
    StmtPtr stmt = make(StmtKind::kSetBlock, token);
    stmt->targets.push_back(std::move(target));
    LAI_TRY(ExprPtr filters, expressions_.parse_filters(nullptr, false));
    stmt->exprs.push_back(std::move(filters));
    LAI_TRY_STATUS(parse_only_body(*stmt, "endset"));
    return stmt;
  }

  // `with_member`: name.member is allowed. Commas make a tuple.
  Result<Target> parse_target(bool with_member, std::string_view end_word) {
    Target all;
    all.kind = Target::Kind::kTuple;
    bool is_tuple = false;
    while (!tokens_.is(TokenKind::kBlockEnd) && !tokens_.is_op("=") && !tokens_.is_op(")") &&
           (end_word.empty() || !tokens_.is_name(end_word))) {
      LAI_TRY(Target part, parse_target_part(with_member));
      all.parts.push_back(std::move(part));
      if (!tokens_.skip_op(",")) break;
      is_tuple = true;
    }
    if (all.parts.empty()) return tokens_.fail("expected a name, found " + tokens_.describe());
    if (!is_tuple) return std::move(all.parts[0]);
    return all;
  }

  Result<Target> parse_target_part(bool with_member) {
    const ExpressionParser::Nested nested(expressions_);
    if (!nested.status.ok()) return nested.status.error();
    if (tokens_.skip_op("(")) {
      LAI_TRY(Target inner, parse_target(with_member, {}));
      LAI_TRY_STATUS(tokens_.expect_op(")"));
      return inner;
    }
    Target target;
    const Token token = tokens_.current();
    LAI_TRY(const uint32_t name, parse_new_name());
    target.name = name;
    if (with_member && tokens_.skip_op(".")) {
      target.kind = Target::Kind::kMember;
      LAI_TRY(target.member, tokens_.expect_any_name());
      if (target.member.starts_with('_'))
        return TokenStream::fail_at(token, "a namespace has no members that start with '_'");
    } else {
      assigned_.insert(token.text);
    }
    return target;
  }

  Result<uint32_t> parse_new_name() {
    const Token token = tokens_.current();
    LAI_TRY(const std::string name, tokens_.expect_any_name());
    static constexpr std::string_view kConstants[] = {"true", "false", "none",
                                                      "True", "False", "None"};
    if (std::find(std::begin(kConstants), std::end(kConstants), name) != std::end(kConstants))
      return TokenStream::fail_at(token, "cannot assign to " + in_quotes(name));
    return expressions_.intern(name);
  }

  Status parse_signature(MacroDefinition& macro) {
    LAI_TRY_STATUS(tokens_.expect_op("("));
    while (!tokens_.is_op(")")) {
      if (!macro.parameters.empty()) LAI_TRY_STATUS(tokens_.expect_op(","));
      const Token token = tokens_.current();
      LAI_TRY(const uint32_t parameter, parse_new_name());
      const auto& known = macro.parameters;
      if (std::find(known.begin(), known.end(), parameter) != known.end())
        return TokenStream::fail_at(token,
                                    "the parameter " + in_quotes(token.text) + " stands twice");
      macro.parameters.push_back(parameter);
      macro.parameter_names.push_back(token.text);
      assigned_.insert(token.text);
      if (tokens_.skip_op("=")) {
        LAI_TRY(ExprPtr value, expressions_.parse_expression());
        macro.defaults.push_back(std::move(value));
      } else if (!macro.defaults.empty()) {
        return TokenStream::fail_at(token, "a parameter without a default follows one with it");
      }
    }
    return tokens_.expect_op(")");
  }

  Status parse_macro_body(MacroDefinition& macro, std::string_view end) {
    const auto before = expressions_.uses;
    const uint32_t loops_outside = std::exchange(loops_, 0u);
    LAI_TRY(macro.body, parse_body({end}));
    loops_ = loops_outside;
    tokens_.next();
    macro.uses_caller = expressions_.uses.caller > before.caller;
    macro.uses_varargs = expressions_.uses.varargs > before.varargs;
    macro.uses_kwargs = expressions_.uses.kwargs > before.kwargs;
    return Ok{};
  }

  Result<StmtPtr> parse_macro() {
    StmtPtr stmt = make(StmtKind::kMacro, tokens_.next());
    const Token token = tokens_.current();
    LAI_TRY(const uint32_t name, parse_new_name());
    stmt->macro.name = token.text;
    assigned_.insert(token.text);
    Target target;
    target.name = name;
    stmt->targets.push_back(std::move(target));
    LAI_TRY_STATUS(parse_signature(stmt->macro));
    LAI_TRY_STATUS(parse_macro_body(stmt->macro, "endmacro"));
    return stmt;
  }

  Result<StmtPtr> parse_call_block() {
    StmtPtr stmt = make(StmtKind::kCallBlock, tokens_.next());
    stmt->macro.name = "caller";
    if (tokens_.is_op("(")) LAI_TRY_STATUS(parse_signature(stmt->macro));
    const Token token = tokens_.current();
    LAI_TRY(ExprPtr call, expressions_.parse_expression());
    if (call->kind != ExprKind::kCall)
      return TokenStream::fail_at(token, "a call block needs a call");
    stmt->exprs.push_back(std::move(call));
    LAI_TRY_STATUS(parse_macro_body(stmt->macro, "endcall"));
    return stmt;
  }

  Result<StmtPtr> parse_filter_block() {
    StmtPtr stmt = make(StmtKind::kFilterBlock, tokens_.next());
    LAI_TRY(ExprPtr filters, expressions_.parse_filters(nullptr, true));
    stmt->exprs.push_back(std::move(filters));
    LAI_TRY_STATUS(parse_only_body(*stmt, "endfilter"));
    return stmt;
  }

  Result<StmtPtr> parse_with() {
    StmtPtr stmt = make(StmtKind::kWith, tokens_.next());
    while (!tokens_.is(TokenKind::kBlockEnd)) {
      if (!stmt->targets.empty()) LAI_TRY_STATUS(tokens_.expect_op(","));
      LAI_TRY(Target target, parse_target(false, {}));
      stmt->targets.push_back(std::move(target));
      LAI_TRY_STATUS(tokens_.expect_op("="));
      LAI_TRY(ExprPtr value, expressions_.parse_expression());
      stmt->exprs.push_back(std::move(value));
    }
    LAI_TRY_STATUS(parse_only_body(*stmt, "endwith"));
    return stmt;
  }

  Result<StmtPtr> parse_generation() {
    StmtPtr stmt = make(StmtKind::kScope, tokens_.next());
    const uint32_t loops_outside = std::exchange(loops_, 0u);
    LAI_TRY_STATUS(parse_only_body(*stmt, "endgeneration"));
    loops_ = loops_outside;
    return stmt;
  }

  Result<StmtPtr> parse_loop_control() {
    const Token token = tokens_.next();
    if (loops_ == 0)
      return TokenStream::fail_at(token, in_quotes(token.text) + " stands outside of a loop");
    return make(token.text == "break" ? StmtKind::kBreak : StmtKind::kContinue, token);
  }

  // A call of a name that is no function and is never assigned cannot work: variables hold no
  // functions. A template that asks `is defined` first may name what this program lacks.
  Status check_calls() const {
    for (const auto& call : expressions_.calls) {
      static constexpr std::string_view kBound[] = {"loop", "caller"};
      const auto& guarded = expressions_.guarded;
      if (find_global(call.name) || assigned_.contains(call.name) ||
          std::find(std::begin(kBound), std::end(kBound), call.name) != std::end(kBound) ||
          std::find(guarded.begin(), guarded.end(), call.name) != guarded.end())
        continue;
      return unsupported(where(call.line, call.column) + ": the function " + in_quotes(call.name) +
                         " is not supported");
    }
    return Ok{};
  }

  Program program_;
  TokenStream tokens_;
  ExpressionParser expressions_;
  uint32_t loops_ = 0;
  std::set<std::string, std::less<>> assigned_;
};

}  // namespace

Result<Program> parse_template(std::string_view source, uint32_t depth_max) {
  LAI_TRY(std::vector<Token> tokens, tokenize_template(source));
  return Parser(std::move(tokens), depth_max).run();
}

}  // namespace localai::text::jinja
