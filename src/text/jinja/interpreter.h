#pragma once
// Renders a compiled template: walks its tree under the limits of one Runtime. One thread.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace localai::text::jinja {

// Variables of one block; the blocks around it are its parents. Small: searched in order.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<uint32_t, Value>> variables;
  bool is_captured = false;  // a macro may outlive the block and still read from it
};

struct MacroObject : Object {
  const MacroDefinition* definition = nullptr;
  Scope* scope = nullptr;
};

// The state of a running loop, which templates see as `loop`.
struct LoopObject : Object {
  std::vector<Value> items;
  size_t next = 0;              // of items: where the search for the next element goes on
  std::optional<Value> peeked;  // the next element, when it was looked at already
  const Stmt* statement = nullptr;
  Scope* outer = nullptr;
  int64_t index0 = -1;
  std::optional<int64_t> length;
  bool unfiltered = false;  // the filter has been applied to all of items
  Value before, current;
  std::optional<std::vector<Value>> changed;
};

class Interpreter {
 public:
  // Evaluations and blocks inside one another at once, macros included: some 4 KB of stack each.
  static constexpr uint32_t kEvaluationDepthMax = 640;

  Interpreter(const Program& program, const TemplateLimits& limits, const Json& variables);
  Result<std::string> run();

 private:
  enum class Flow : uint8_t { kNormal, kBreak, kContinue };
  static Error too_deep() {
    return exhausted("blocks, expressions and macro calls are nested too deep");
  }
  class ScopeGuard;
  class LoopGuard;

  // statements
  Result<Flow> execute(const Block& block, Scope& scope);
  Result<Flow> execute(const Stmt& stmt, Scope& scope);
  Status execute_output(const Expr& expr, Scope& scope);
  Result<Flow> execute_if(const Stmt& stmt, Scope& scope);
  Result<Flow> execute_for(const Stmt& stmt, Scope& scope);
  Result<Flow> execute_with(const Stmt& stmt, Scope& scope);
  Result<Flow> execute_captured(const Stmt& stmt, Scope& scope);
  Status execute_call_block(const Stmt& stmt, Scope& scope);
  Result<Value> make_macro(const MacroDefinition& definition, Scope& scope);
  Status assign(const Target& target, Value value, Scope& scope);
  Status assign_member(const Target& target, Value value, Scope& scope);
  Status emit(std::string_view text);
  // Runs `block` in a scope of its own with its output going into a string.
  Result<std::string> capture(const Block& block, Scope& scope, Flow& flow);

  // loops
  Result<std::optional<Value>> next_element(LoopObject& loop);
  Result<std::optional<Value>> peek_element(LoopObject& loop);
  Result<int64_t> loop_length(LoopObject& loop);
  Result<Value> loop_attribute(const Value& loop, std::string_view name);
  Result<Value> call_loop_method(LoopObject& loop, std::string_view name, Arguments& arguments);

  // expressions
  Result<Value> evaluate(const Expr& expr, Scope& scope);
  Result<Value> evaluate_kind(const Expr& expr, Scope& scope);
  Result<Value> evaluate_items(const Expr& expr, Scope& scope);
  Result<Value> evaluate_dict(const Expr& expr, Scope& scope);
  Result<Value> evaluate_attribute(const Expr& expr, Scope& scope);
  Result<Value> evaluate_item(const Expr& expr, Scope& scope);
  Result<Value> evaluate_slice(const Expr& expr, Scope& scope);
  Result<Value> evaluate_arithmetic(const Expr& expr, Scope& scope);
  Result<Value> evaluate_concat(const Expr& expr, Scope& scope);
  Result<Value> evaluate_logic(const Expr& expr, Scope& scope);
  Result<Value> evaluate_compare(const Expr& expr, Scope& scope);
  Result<Value> evaluate_conditional(const Expr& expr, Scope& scope);
  Result<Value> evaluate_call(const Expr& expr, Scope& scope, Arguments extra);
  Result<Value> apply_filter(const Expr& expr, const Value& input, Scope& scope);
  Result<Value> apply_filters(const Expr& expr, Value text, Scope& scope);
  Result<Value> evaluate_test(const Expr& expr, Scope& scope);
  Result<Arguments> evaluate_arguments(const Expr& expr, Scope& scope);
  Status evaluate_starred(const Expr& expr, Scope& scope, Arguments& arguments);
  Result<Value> lookup(uint32_t name, Scope& scope);
  Result<Value> call(const Value& callee, Arguments& arguments);
  Result<Value> call_macro(const MacroObject& macro, Arguments& arguments);
  Status bind_parameters(const MacroDefinition& macro, Arguments& arguments, Scope& scope);
  Status bind_extras(const MacroDefinition& macro, Arguments& arguments, size_t taken,
                     Scope& scope);
  void set_variable(Scope& scope, uint32_t name, Value value);

  const Program& program_;
  const Json& variables_;
  Runtime runtime_;
  std::vector<std::unique_ptr<Scope>> captured_scopes_;
  std::vector<std::optional<Value>> globals_;  // by name: variables and functions already made
  std::string* output_ = nullptr;
  uint64_t output_bytes_ = 0;  // in all buffers that are being filled
  uint32_t depth_ = 0, macro_depth_ = 0;
  bool located_ = false;  // the error that is on its way already names its line
};

}  // namespace localai::text::jinja
