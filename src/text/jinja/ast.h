#pragma once
// The compiled template: expressions and statements as trees. Chains of operators of one level are
// one node with many operands, so that long chains are not deep.
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/builtins.h"
#include "text/jinja/value.h"

namespace localai::text::jinja {

enum class ExprKind : uint8_t {
  kConst,
  kName,
  kList,
  kTuple,
  kDict,       // args: key, value, key, value, ...
  kAttribute,  // args[0].text
  kItem,       // args[0][args[1]]
  kSlice,      // args[0][args[1]:args[2]:args[3]], absent parts null
  kCall,       // args[0](args[1..], named, starred)
  kFilter,     // args[0] | filter(args[1..], ...); args[0] is null in filter blocks
  kTest,       // args[0] is test(args[1..], ...)
  kNot,
  kNegative,
  kPositive,
  kArithmetic,  // args with ops between, left to right
  kConcat,
  kAnd,
  kOr,
  kCompare,      // args with ops between, chained
  kConditional,  // args[1] if args[0] else args[2], which may be null
};

enum class Operator : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  ExprKind kind = ExprKind::kConst;
  uint32_t line = 1, column = 1;
  uint32_t depth = 1;  // of the tree below and with this node
  uint32_t name = 0;   // kName: index into Program::names
  Value constant;      // kConst
  std::string text;    // kAttribute, kFilter, kTest: the name
  std::vector<ExprPtr> args;
  std::vector<Operator> ops;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, star_star;  // *args, **kwargs
  FilterFunction filter = nullptr;
  TestFunction test = nullptr;
};

// Where a value is stored: a name, a member of a namespace, or several of them.
struct Target {
  enum class Kind : uint8_t { kName, kMember, kTuple } kind = Kind::kName;
  uint32_t name = 0;
  std::string member;
  std::vector<Target> parts;
};

struct Stmt;
using Block = std::vector<std::unique_ptr<Stmt>>;

struct MacroDefinition {
  std::string name;
  std::vector<uint32_t> parameters;
  std::vector<std::string> parameter_names;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Block body;
  bool uses_varargs = false, uses_kwargs = false, uses_caller = false;
};

enum class StmtKind : uint8_t {
  kText,
  kOutput,
  kIf,
  kFor,
  kSet,
  kSetBlock,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kWith,
  kScope,  // generation
  kBreak,
  kContinue,
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  uint32_t line = 1;
  std::string text;            // kText
  std::vector<ExprPtr> exprs;  // kOutput: one; kIf: conditions; kFor: source, filter or null
  std::vector<Target> targets;
  std::vector<Block> blocks;  // kIf: one a condition, then else; kFor: body, else; others: body
  MacroDefinition macro;      // kMacro, kCallBlock
};

struct Program {
  Block body;
  std::vector<std::string> names;
  std::map<std::string, uint32_t, std::less<>> name_index;
  std::map<std::string, bool, std::less<>> mentions;  // names, attributes and string literals
};

}  // namespace localai::text::jinja
