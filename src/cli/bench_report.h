#pragma once
// localai bench: rows of results as text, JSON, CSV or Markdown, and beside those of an earlier
// run.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace localai::cli {

enum class BenchFormat { kText, kJson, kCsv, kMarkdown };

// {"median", "min", "max", "values"} of at least one value.
Json bench_spread(const std::vector<double>& values);

// `rows`: at least one JSON object as `localai bench --json` prints for one case.
std::string format_bench(const std::vector<Json>& rows, BenchFormat format);

// How much faster b is than a, as the ratio of geometric means, with the interval that holds the
// true one in 95 of 100 cases (Welch's t interval of the logarithms). Without an interval where
// either side has one value only. {"ratio", "low", "high"}
Json bench_ratio(const std::vector<double>& a, const std::vector<double>& b);

// The rows of a file that `localai bench --json` wrote. Errors: kNotFound, kInvalidArgument.
Result<std::vector<Json>> read_bench(const std::filesystem::path& path);
// Adds "against_baseline" to the rows that have one of the same model, settings and lengths there.
// Returns how many have.
size_t add_baseline(const std::vector<Json>& baseline, std::vector<Json>& rows);

}  // namespace localai::cli
