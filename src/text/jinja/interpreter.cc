#include "text/jinja/interpreter.h"

#include <algorithm>

#include "text/jinja/operators.h"
#include "text/jinja/printing.h"

namespace localai::text::jinja {

// A scope for one block. It outlives the block only when a macro was made in it.
class Interpreter::ScopeGuard {
 public:
  ScopeGuard(Interpreter& interpreter, Scope& parent)
      : interpreter_(interpreter), scope_(std::make_unique<Scope>()) {
    scope_->parent = &parent;
  }
  ~ScopeGuard() {
    if (scope_->is_captured) interpreter_.captured_scopes_.push_back(std::move(scope_));
  }
  ScopeGuard(const ScopeGuard&) = delete;
  ScopeGuard& operator=(const ScopeGuard&) = delete;
  Scope& operator*() { return *scope_; }

 private:
  Interpreter& interpreter_;
  std::unique_ptr<Scope> scope_;
};

// A loop's state can be kept by the template, and even by itself: at the end it lets go of all.
class Interpreter::LoopGuard {
 public:
  explicit LoopGuard(LoopObject& loop) : loop_(loop) {}
  ~LoopGuard() {
    loop_.items.clear();
    loop_.next = 0;
    loop_.changed.reset();
    loop_.peeked.reset();
    loop_.before = loop_.current = Value();
    loop_.statement = nullptr;
    loop_.outer = nullptr;
  }
  LoopGuard(const LoopGuard&) = delete;
  LoopGuard& operator=(const LoopGuard&) = delete;

 private:
  LoopObject& loop_;
};

Interpreter::Interpreter(const Program& program, const TemplateLimits& limits,
                         const Json& variables)
    : program_(program), variables_(variables), runtime_(limits), globals_(program.names.size()) {}

Result<std::string> Interpreter::run() {
  std::string out;
  output_ = &out;
  Scope root;
  auto flow = execute(program_.body, root);
  if (!flow.ok()) return std::move(flow.error());
  return out;
}

Status Interpreter::emit(std::string_view text) {
  output_bytes_ += text.size();
  const uint64_t bytes_max = runtime_.limits().output_bytes_max;
  // Buffers of blocks that are captured may hold as much again.
  if (output_->size() + text.size() > bytes_max || output_bytes_ > 2 * bytes_max)
    return exhausted("the template's output is longer than " + std::to_string(bytes_max) +
                     " bytes");
  output_->append(text);
  return Ok{};
}

Result<Interpreter::Flow> Interpreter::execute(const Block& block, Scope& scope) {
  if (depth_ >= kEvaluationDepthMax) return too_deep();
  ++depth_;
  for (const auto& stmt : block) {
    LAI_TRY_STATUS(runtime_.step());
    auto flow = execute(*stmt, scope);
    if (!flow.ok()) {
      if (!located_ && !runtime_.raised()) {
        located_ = true;
        return std::move(flow.error()).at("line " + std::to_string(stmt->line));
      }
      return flow;
    }
    if (*flow != Flow::kNormal) {
      --depth_;
      return flow;
    }
  }
  --depth_;
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::execute(const Stmt& stmt, Scope& scope) {
  switch (stmt.kind) {
    case StmtKind::kText:
      LAI_TRY_STATUS(emit(stmt.text));
      return Flow::kNormal;
    case StmtKind::kOutput:
      LAI_TRY_STATUS(execute_output(*stmt.exprs[0], scope));
      return Flow::kNormal;
    case StmtKind::kIf:
      return execute_if(stmt, scope);
    case StmtKind::kFor:
      return execute_for(stmt, scope);
    case StmtKind::kSet: {
      LAI_TRY(Value value, evaluate(*stmt.exprs[0], scope));
      LAI_TRY_STATUS(assign(stmt.targets[0], std::move(value), scope));
      return Flow::kNormal;
    }
    case StmtKind::kSetBlock:
    case StmtKind::kFilterBlock:
      return execute_captured(stmt, scope);
    case StmtKind::kMacro: {
      LAI_TRY(Value macro, make_macro(stmt.macro, scope));
      LAI_TRY_STATUS(assign(stmt.targets[0], std::move(macro), scope));
      return Flow::kNormal;
    }
    case StmtKind::kCallBlock:
      LAI_TRY_STATUS(execute_call_block(stmt, scope));
      return Flow::kNormal;
    case StmtKind::kWith:
      return execute_with(stmt, scope);
    case StmtKind::kScope: {
      ScopeGuard inner(*this, scope);
      return execute(stmt.blocks[0], *inner);
    }
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

Status Interpreter::execute_output(const Expr& expr, Scope& scope) {
  LAI_TRY(const Value value, evaluate(expr, scope));
  if (value.is(Kind::kString)) {
    LAI_TRY_STATUS(runtime_.scan(value.text().size()));
    return emit(value.text());
  }
  LAI_TRY(const std::string text, to_text(runtime_, value));
  return emit(text);
}

Result<Interpreter::Flow> Interpreter::execute_if(const Stmt& stmt, Scope& scope) {
  for (size_t i = 0; i < stmt.exprs.size(); ++i) {
    LAI_TRY(const Value condition, evaluate(*stmt.exprs[i], scope));
    if (is_true(condition)) return execute(stmt.blocks[i], scope);
  }
  if (stmt.blocks.size() > stmt.exprs.size()) return execute(stmt.blocks.back(), scope);
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::execute_for(const Stmt& stmt, Scope& scope) {
  LAI_TRY(const Value source, evaluate(*stmt.exprs[0], scope));
  auto loop = std::make_shared<LoopObject>();
  LAI_TRY(loop->items, runtime_.iterate(source));
  loop->statement = &stmt;
  loop->outer = &scope;
  LAI_TRY_STATUS(runtime_.adopt(loop, sizeof(LoopObject) + loop->items.capacity() * sizeof(Value),
                                source.depth()));
  const LoopGuard guard(*loop);
  const Value loop_value = Value::object(Kind::kLoop, loop);
  const auto loop_name = program_.name_index.find("loop");
  while (true) {
    LAI_TRY(std::optional<Value> element, next_element(*loop));
    if (!element) break;
    ScopeGuard inner(*this, scope);
    LAI_TRY_STATUS(assign(stmt.targets[0], *element, *inner));
    loop->before = std::move(loop->current);
    loop->current = std::move(*element);
    ++loop->index0;
    if (loop_name != program_.name_index.end()) set_variable(*inner, loop_name->second, loop_value);
    LAI_TRY(const Flow flow, execute(stmt.blocks[0], *inner));
    if (flow == Flow::kBreak) break;
  }
  if (loop->index0 < 0 && stmt.blocks.size() > 1) {
    ScopeGuard inner(*this, scope);
    return execute(stmt.blocks[1], *inner);
  }
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::execute_with(const Stmt& stmt, Scope& scope) {
  ScopeGuard inner(*this, scope);
  for (size_t i = 0; i < stmt.targets.size(); ++i) {
    LAI_TRY(Value value, evaluate(*stmt.exprs[i], scope));
    LAI_TRY_STATUS(assign(stmt.targets[i], std::move(value), *inner));
  }
  return execute(stmt.blocks[0], *inner);
}

Result<std::string> Interpreter::capture(const Block& block, Scope& scope, Flow& flow) {
  std::string text;
  std::string* const outer = std::exchange(output_, &text);
  auto result = execute(block, scope);
  output_ = outer;
  output_bytes_ -= text.size();
  LAI_TRY(flow, std::move(result));
  return text;
}

Result<Interpreter::Flow> Interpreter::execute_captured(const Stmt& stmt, Scope& scope) {
  Flow flow = Flow::kNormal;
  ScopeGuard inner(*this, scope);
  LAI_TRY(std::string text, capture(stmt.blocks[0], *inner, flow));
  if (flow != Flow::kNormal) return flow;  // break or continue: the block never ends
  LAI_TRY(Value value, runtime_.make_string(std::move(text)));
  if (stmt.exprs[0]) {
    LAI_TRY(value, apply_filters(*stmt.exprs[0], std::move(value), scope));
  }
  if (stmt.kind == StmtKind::kSetBlock) {
    LAI_TRY_STATUS(assign(stmt.targets[0], std::move(value), scope));
    return Flow::kNormal;
  }
  LAI_TRY(const std::string printed, to_text(runtime_, value));
  LAI_TRY_STATUS(emit(printed));
  return Flow::kNormal;
}

Status Interpreter::execute_call_block(const Stmt& stmt, Scope& scope) {
  LAI_TRY(Value caller, make_macro(stmt.macro, scope));
  Arguments extra;
  extra.named.emplace_back("caller", std::move(caller));
  LAI_TRY(const Value value, evaluate_call(*stmt.exprs[0], scope, std::move(extra)));
  LAI_TRY(const std::string text, to_text(runtime_, value));
  return emit(text);
}

Result<Value> Interpreter::make_macro(const MacroDefinition& definition, Scope& scope) {
  constexpr uint64_t kScopeBytes = 256;  // of a scope that now stays until the end
  auto macro = std::make_shared<MacroObject>();
  macro->definition = &definition;
  macro->scope = &scope;
  for (Scope* s = &scope; s && !s->is_captured; s = s->parent) {
    LAI_TRY_STATUS(runtime_.hold(kScopeBytes));
    s->is_captured = true;
  }
  LAI_TRY_STATUS(runtime_.adopt(macro, sizeof(MacroObject)));
  return Value::object(Kind::kMacro, std::move(macro));
}

void Interpreter::set_variable(Scope& scope, uint32_t name, Value value) {
  for (auto& [known, old] : scope.variables)
    if (known == name) {
      old = std::move(value);
      return;
    }
  scope.variables.emplace_back(name, std::move(value));
}

Status Interpreter::assign(const Target& target, Value value, Scope& scope) {
  LAI_TRY_STATUS(runtime_.step());
  if (target.kind == Target::Kind::kName) {
    set_variable(scope, target.name, std::move(value));
    return Ok{};
  }
  if (target.kind == Target::Kind::kMember) return assign_member(target, std::move(value), scope);
  LAI_TRY(std::vector<Value> parts, runtime_.iterate(value));
  if (parts.size() != target.parts.size())
    return invalid("cannot unpack " + std::to_string(parts.size()) + " values into " +
                   std::to_string(target.parts.size()) + " names");
  for (size_t i = 0; i < parts.size(); ++i)
    LAI_TRY_STATUS(assign(target.parts[i], std::move(parts[i]), scope));
  return Ok{};
}

Status Interpreter::assign_member(const Target& target, Value value, Scope& scope) {
  LAI_TRY(const Value object, lookup(target.name, scope));
  if (!object.is(Kind::kNamespace))
    return invalid("cannot set the member " + in_quotes(target.member) + ": " +
                   in_quotes(program_.names[target.name]) + " is no namespace");
  return runtime_.set_member(object.get<NamespaceObject>(), target.member, std::move(value));
}

}  // namespace localai::text::jinja
