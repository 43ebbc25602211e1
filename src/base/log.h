#pragma once
// The log: levels and fmt formatting through spdlog, to stderr. Prompts and keys never go into it.
#include <spdlog/spdlog.h>

#include <string_view>

namespace localai::log {

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

// Once at start: stderr, the level by name ("debug", "info", "warn", "error", "off").
void init(std::string_view level);

}  // namespace localai::log
