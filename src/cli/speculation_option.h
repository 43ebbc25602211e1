#pragma once
// --speculation of the commands that generate.
#include "engine/engine.h"

namespace CLI {
class App;
}

namespace localai::cli {

// Declares --speculation off|auto|always; `value` holds the default and is borrowed.
void add_speculation_option(CLI::App& command, engine::Speculation& value);

}  // namespace localai::cli
