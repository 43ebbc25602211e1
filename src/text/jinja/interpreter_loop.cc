// `loop` inside of a for block.
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"

namespace localai::text::jinja {

Result<std::optional<Value>> Interpreter::next_element(LoopObject& loop) {
  if (loop.peeked) {
    std::optional<Value> element = std::move(loop.peeked);
    loop.peeked.reset();
    return element;
  }
  while (loop.next < loop.items.size()) {
    LAI_TRY_STATUS(runtime_.step());
    Value element = loop.items[loop.next++];
    const ExprPtr& filter = loop.statement->exprs[1];
    if (!filter || loop.unfiltered) return std::optional<Value>(std::move(element));
    Scope scope;
    scope.parent = loop.outer;
    LAI_TRY_STATUS(assign(loop.statement->targets[0], element, scope));
    LAI_TRY(const Value keep, evaluate(*filter, scope));
    if (is_true(keep)) return std::optional<Value>(std::move(element));
  }
  return std::optional<Value>();
}

Result<std::optional<Value>> Interpreter::peek_element(LoopObject& loop) {
  if (!loop.peeked) {
    LAI_TRY(loop.peeked, next_element(loop));
  }
  return loop.peeked;
}

// With a filter the elements that are left are searched once, as jinja2 does.
Result<int64_t> Interpreter::loop_length(LoopObject& loop) {
  if (loop.length) return *loop.length;
  if (!loop.statement || !loop.statement->exprs[1]) {
    loop.length = static_cast<int64_t>(loop.items.size());
    return *loop.length;
  }
  std::vector<Value> rest;
  while (true) {
    LAI_TRY(std::optional<Value> element, next_element(loop));
    if (!element) break;
    rest.push_back(std::move(*element));
  }
  loop.length = loop.index0 + 1 + static_cast<int64_t>(rest.size());
  LAI_TRY(const Value kept, runtime_.make_list(rest));
  loop.items = kept.items();
  loop.next = 0;
  loop.unfiltered = true;
  return *loop.length;
}

Result<Value> Interpreter::loop_attribute(const Value& value, std::string_view name) {
  auto& loop = value.get<LoopObject>();
  if (name == "index") return Value::integer(loop.index0 + 1);
  if (name == "index0") return Value::integer(loop.index0);
  if (name == "first") return Value::boolean(loop.index0 == 0);
  if (name == "depth") return Value::integer(1);
  if (name == "depth0") return Value::integer(0);
  if (name == "cycle" || name == "changed") return runtime_.make_method(value, name);
  if (name == "previtem") {
    if (loop.index0 > 0) return loop.before;
    return runtime_.make_undefined("there is no previous item");
  }
  if (name == "last" || name == "nextitem") {
    LAI_TRY(std::optional<Value> next, peek_element(loop));
    if (name == "last") return Value::boolean(!next);
    if (next) return std::move(*next);
    return runtime_.make_undefined("there is no next item");
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    LAI_TRY(const int64_t length, loop_length(loop));
    if (name == "length") return Value::integer(length);
    return Value::integer(length - loop.index0 - (name == "revindex" ? 0 : 1));
  }
  return runtime_.make_undefined("'loop' has no attribute " + in_quotes(name));
}

Result<Value> Interpreter::call_loop_method(LoopObject& loop, std::string_view name,
                                            Arguments& arguments) {
  if (!arguments.named.empty())
    return invalid("loop." + std::string(name) + "() takes no named arguments");
  auto& values = arguments.values;
  if (name == "cycle") {
    if (values.empty()) return invalid("loop.cycle() needs items");
    if (loop.index0 < 0) return invalid("loop.cycle() outside of its loop");
    return values[static_cast<size_t>(loop.index0) % values.size()];
  }
  bool same = loop.changed && loop.changed->size() == values.size();
  for (size_t i = 0; same && i < values.size(); ++i) {
    LAI_TRY(same, is_equal(runtime_, (*loop.changed)[i], values[i]));
  }
  if (loop.statement) loop.changed = std::move(values);
  return Value::boolean(!same);
}

}  // namespace localai::text::jinja
