#include "cli/convert_progress.h"

#include <unistd.h>

#include <iostream>

namespace localai::cli {

std::function<void(uint64_t done, uint64_t total)> convert_progress() {
  if (::isatty(STDERR_FILENO) == 0) return nullptr;
  return [shown = uint64_t{101}](uint64_t done, uint64_t total) mutable {
    const uint64_t percent = done * 100 / total;
    if (percent == shown) return;
    shown = percent;
    std::cerr << '\r' << percent << " % of " << total / (1 << 20) << " MiB"
              << (done == total ? "\n" : "") << std::flush;
  };
}

}  // namespace localai::cli
