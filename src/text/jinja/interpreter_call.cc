// Calls: functions, methods, macros.
#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/interpreter.h"

namespace localai::text::jinja {

Result<Value> Interpreter::call(const Value& callee, Arguments& arguments) {
  LAI_TRY_STATUS(runtime_.step());
  switch (callee.kind()) {
    case Kind::kFunction:
      return find_global(callee.get<FunctionObject>().name)(runtime_, arguments);
    case Kind::kMacro:
      return call_macro(callee.get<MacroObject>(), arguments);
    case Kind::kMethod: {
      const auto& method = callee.get<MethodObject>();
      if (method.self.is(Kind::kLoop))
        return call_loop_method(method.self.get<LoopObject>(), method.name, arguments);
      return find_method(method.self.kind(), method.name)(runtime_, method.self, arguments);
    }
    case Kind::kLoop:
      return unsupported("recursive loops are not supported");
    case Kind::kUndefined:
      return invalid(std::string(callee.undefined_message()));
    default:
      return invalid("a value of type " + std::string(type_name(callee)) + " cannot be called");
  }
}

Result<Value> Interpreter::call_macro(const MacroObject& macro, Arguments& arguments) {
  if (macro_depth_ >= runtime_.limits().depth_max)
    return exhausted("macros call one another deeper than " +
                     std::to_string(runtime_.limits().depth_max) + " levels");
  const MacroDefinition& definition = *macro.definition;
  auto scope = std::make_unique<Scope>();
  scope->parent = macro.scope;
  ++macro_depth_;
  std::string text;
  Status status = bind_parameters(definition, arguments, *scope);
  if (status.ok()) {
    Flow flow = Flow::kNormal;
    auto captured = capture(definition.body, *scope, flow);
    if (captured.ok()) {
      text = std::move(*captured);
    } else {
      status = std::move(captured.error());
    }
  }
  --macro_depth_;
  if (scope->is_captured) captured_scopes_.push_back(std::move(scope));
  if (!status.ok()) return std::move(status.error());
  return runtime_.make_string(std::move(text));
}

Status Interpreter::bind_parameters(const MacroDefinition& macro, Arguments& arguments,
                                    Scope& scope) {
  const size_t count = macro.parameters.size();
  const size_t positional = std::min(count, arguments.values.size());
  for (size_t i = 0; i < positional; ++i)
    set_variable(scope, macro.parameters[i], arguments.values[i]);
  for (size_t i = positional; i < count; ++i) {
    const auto given =
        std::find_if(arguments.named.begin(), arguments.named.end(),
                     [&](const auto& named) { return named.first == macro.parameter_names[i]; });
    const size_t first_default = count - macro.defaults.size();
    if (given != arguments.named.end()) {
      set_variable(scope, macro.parameters[i], std::move(given->second));
      arguments.named.erase(given);
    } else if (i >= first_default) {
      LAI_TRY(Value value, evaluate(*macro.defaults[i - first_default], scope));
      set_variable(scope, macro.parameters[i], std::move(value));
    } else {
      LAI_TRY(Value value,
              runtime_.make_undefined("the parameter " + in_quotes(macro.parameter_names[i]) +
                                      " was not given"));
      set_variable(scope, macro.parameters[i], std::move(value));
    }
  }
  return bind_extras(macro, arguments, positional, scope);
}

// caller, kwargs and varargs, for macros that read them.
Status Interpreter::bind_extras(const MacroDefinition& macro, Arguments& arguments, size_t taken,
                                Scope& scope) {
  auto& named = arguments.named;
  const auto id = [&](std::string_view name) { return program_.name_index.find(name)->second; };
  const auto& known = macro.parameter_names;
  if (macro.uses_caller && std::find(known.begin(), known.end(), "caller") == known.end()) {
    const auto given =
        std::find_if(named.begin(), named.end(), [](const auto& n) { return n.first == "caller"; });
    LAI_TRY(Value caller, runtime_.make_undefined("no caller is defined"));
    if (given != named.end()) {
      caller = std::move(given->second);
      named.erase(given);
    }
    set_variable(scope, id("caller"), std::move(caller));
  }
  if (macro.uses_kwargs) {
    std::vector<std::pair<Value, Value>> entries;
    for (auto& [name, value] : named) {
      LAI_TRY(Value key, runtime_.make_string(name));
      entries.emplace_back(std::move(key), std::move(value));
    }
    LAI_TRY(Value kwargs, runtime_.make_dict(std::move(entries)));
    set_variable(scope, id("kwargs"), std::move(kwargs));
  } else if (!named.empty()) {
    return invalid("the macro " + in_quotes(macro.name) + " takes no argument " +
                   in_quotes(named[0].first));
  }
  if (macro.uses_varargs) {
    std::vector<Value> rest(arguments.values.begin() + static_cast<std::ptrdiff_t>(taken),
                            arguments.values.end());
    LAI_TRY(Value varargs, runtime_.make_tuple(std::move(rest)));
    set_variable(scope, id("varargs"), std::move(varargs));
  } else if (arguments.values.size() > taken) {
    return invalid("the macro " + in_quotes(macro.name) + " takes at most " +
                   std::to_string(macro.parameters.size()) + " arguments, not " +
                   std::to_string(arguments.values.size()));
  }
  return Ok{};
}

}  // namespace localai::text::jinja
