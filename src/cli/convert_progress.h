#pragma once
// What a conversion says on a terminal while it runs.
#include "engine/convert/convert.h"

namespace localai::cli {

// One line of percents on stderr, rewritten in place; null where stderr is no terminal.
std::function<void(uint64_t done, uint64_t total)> convert_progress();

}  // namespace localai::cli
