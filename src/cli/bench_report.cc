#include "cli/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <numeric>
#include <string_view>

#include "base/file.h"

namespace localai::cli {
namespace {

constexpr uint64_t kFileBytesMax = 64 << 20;

// What makes two rows comparable.
constexpr std::array<std::string_view, 8> kIdentity = {"model",      "precision", "threads",
                                                       "parallel",   "depth",     "prompt_tokens",
                                                       "gen_tokens", "quantize"};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

struct Column {
  std::string_view title, key, part;  // part: of a spread
  int decimals;
};
constexpr std::array<Column, 17> kColumns = {{{"model", "model", "", 0},
                                              {"weights", "weight_types", "", 0},
                                              {"precision", "precision", "", 0},
                                              {"threads", "threads", "", 0},
                                              {"parallel", "parallel", "", 0},
                                              {"depth", "depth", "", 0},
                                              {"prompt", "prompt_tokens", "", 0},
                                              {"answer", "gen_tokens", "", 0},
                                              {"rounds", "repeat", "", 0},
                                              {"prefill tok/s", "prefill_tok_s", "median", 1},
                                              {"prefill min", "prefill_tok_s", "min", 1},
                                              {"prefill max", "prefill_tok_s", "max", 1},
                                              {"decode tok/s", "decode_tok_s", "median", 1},
                                              {"decode min", "decode_tok_s", "min", 1},
                                              {"decode max", "decode_tok_s", "max", 1},
                                              {"first token ms", "ttft_ms", "", 1},
                                              {"rss bytes", "rss_bytes", "", 0}}};

std::string cell(const Json& row, const Column& column) {
  const std::string key(column.key), part(column.part);
  const Json& value = part.empty() ? row[key] : row[key][part];
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{:.{}f}", value.get<double>(), column.decimals);
  return dump_json(value);
}

// RFC 4180.
std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string csv(const std::vector<Json>& rows) {
  std::string out;
  for (const Column& column : kColumns)
    out += fmt::format("{}{}", out.empty() ? "" : ",", column.title);
  for (const Json& row : rows) {
    out += "\n";
    for (const Column& column : kColumns)
      out += (&column == kColumns.data() ? "" : ",") + csv_cell(cell(row, column));
  }
  return out + "\n";
}

std::string markdown(const std::vector<Json>& rows) {
  std::string out = "|", line = "|";
  for (const Column& column : kColumns) {
    out += fmt::format(" {} |", column.title);
    line += "---|";
  }
  out += "\n" + line + "\n";
  for (const Json& row : rows) {
    out += "|";
    for (const Column& column : kColumns) out += fmt::format(" {} |", cell(row, column));
    out += "\n";
  }
  return out;
}

std::string ratio_text(const Json& ratio) {
  if (ratio["low"].is_null())
    return fmt::format("{:.3f} (one round: no interval)", ratio["ratio"].get<double>());
  return fmt::format("{:.3f} (95 %: {:.3f} to {:.3f})", ratio["ratio"].get<double>(),
                     ratio["low"].get<double>(), ratio["high"].get<double>());
}

std::string text(const Json& row) {
  const auto number = [&](const char* key) { return row[key].get<double>(); };
  std::string out = fmt::format("{}: {} threads, {} at once, ", row["model"].get<std::string>(),
                                dump_json(row["threads"]), dump_json(row["parallel"]));
  if (row["depth"] != 0)
    out += fmt::format("{} before ({:.0f} found in the cache), ", dump_json(row["depth"]),
                       number("cached_tokens"));
  out += fmt::format("{} + {} tokens, {} rounds, {}\n", dump_json(row["prompt_tokens"]),
                     dump_json(row["gen_tokens"]), dump_json(row["repeat"]),
                     row["precision"].get<std::string>());
  for (const auto& [name, key] :
       {std::pair("prefill", "prefill_tok_s"), std::pair("decode", "decode_tok_s")}) {
    const Json& values = row[key];
    out += fmt::format("{:<8} {:10.2f} tok/s  ({:.2f} to {:.2f})\n", name,
                       values["median"].get<double>(), values["min"].get<double>(),
                       values["max"].get<double>());
    if (row.contains("against_baseline"))
      out += fmt::format("{:<8} {:>10} times the baseline's\n", "",
                         ratio_text(row["against_baseline"][key]));
  }
  constexpr double kMib = 1 << 20;
  return out + fmt::format(
                   "load {:.0f} ms, first token {:.0f} ms, {:.0f} MiB resident, weights "
                   "{:.0f} MiB read at {:.2f} GB/s\n",
                   number("load_ms"), number("ttft_ms"), number("rss_bytes") / kMib,
                   number("weights_bytes") / kMib, number("decode_weights_gb_s"));
}

// Two-sided 95 % quantile of Student's t for whole degrees of freedom.
double t_quantile(double degrees) {
  constexpr std::array<double, 30> kTable = {
      12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
      2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
      2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
  if (degrees >= 31) return 1.96;
  return kTable[static_cast<size_t>(std::max(degrees, 1.0)) - 1];
}

struct Moments {
  double mean = 0, error2 = 0, count = 0;  // error2: the mean's variance
};

Moments moments_of_logs(const std::vector<double>& values) {
  Moments m;
  m.count = static_cast<double>(values.size());
  for (const double v : values) m.mean += std::log(v) / m.count;
  for (const double v : values) m.error2 += (std::log(v) - m.mean) * (std::log(v) - m.mean);
  m.error2 = m.count > 1 ? m.error2 / (m.count - 1) / m.count : 0;
  return m;
}

std::vector<double> values_of(const Json& row, const char* key) {
  return row[key]["values"].get<std::vector<double>>();
}

bool is_row(const Json& row) {
  if (!row.is_object()) return false;
  for (const char* key : {"prefill_tok_s", "decode_tok_s"}) {
    const auto spread = row.find(key);
    if (spread == row.end() || !spread->is_object() || !spread->contains("values")) return false;
    const Json& values = (*spread)["values"];
    if (!values.is_array() || values.empty()) return false;
    for (const Json& value : values)
      if (!value.is_number() || !(value.get<double>() > 0)) return false;
  }
  return true;
}

}  // namespace

Json bench_spread(const std::vector<double>& values) {
  return Json{{"median", median(values)},
              {"min", *std::min_element(values.begin(), values.end())},
              {"max", *std::max_element(values.begin(), values.end())},
              {"values", values}};
}

std::string format_bench(const std::vector<Json>& rows, BenchFormat format) {
  switch (format) {
    case BenchFormat::kJson:
      return dump_json(rows.size() == 1 ? rows.front() : Json{{"runs", rows}}) + "\n";
    case BenchFormat::kCsv:
      return csv(rows);
    case BenchFormat::kMarkdown:
      return markdown(rows);
    case BenchFormat::kText:
      break;
  }
  std::string out;
  for (const Json& row : rows) out += text(row);
  return out;
}

Json bench_ratio(const std::vector<double>& a, const std::vector<double>& b) {
  const Moments from = moments_of_logs(a), to = moments_of_logs(b);
  const double difference = to.mean - from.mean, error2 = from.error2 + to.error2;
  Json out = {{"ratio", std::exp(difference)}, {"low", nullptr}, {"high", nullptr}};
  if (from.count < 2 || to.count < 2) return out;
  // Welch and Satterthwaite; without any spread, any number of degrees will do.
  const double below =
      from.error2 * from.error2 / (from.count - 1) + to.error2 * to.error2 / (to.count - 1);
  const double reach = t_quantile(below > 0 ? error2 * error2 / below : 1) * std::sqrt(error2);
  out["low"] = std::exp(difference - reach);
  out["high"] = std::exp(difference + reach);
  return out;
}

Result<std::vector<Json>> read_bench(const std::filesystem::path& path) {
  LAI_TRY(const std::string content, read_file(path, kFileBytesMax));
  LAI_TRY(Json parsed, parse_json(content), path.string());
  std::vector<Json> rows;
  if (parsed.is_object() && parsed.contains("runs") && parsed["runs"].is_array())
    rows.assign(parsed["runs"].begin(), parsed["runs"].end());
  else
    rows.push_back(std::move(parsed));
  if (rows.empty() || !std::all_of(rows.begin(), rows.end(), is_row))
    return invalid(path.string() + ": not what `localai bench --json` prints");
  return rows;
}

size_t add_baseline(const std::vector<Json>& baseline, std::vector<Json>& rows) {
  const auto field = [](const Json& row, std::string_view key) {
    const auto found = row.find(key);
    return found == row.end() ? Json() : *found;
  };
  size_t count = 0;
  for (Json& row : rows) {
    const auto earlier = std::find_if(baseline.begin(), baseline.end(), [&](const Json& other) {
      return std::all_of(kIdentity.begin(), kIdentity.end(), [&](std::string_view key) {
        return field(row, key) == field(other, key);
      });
    });
    if (earlier == baseline.end()) continue;
    ++count;
    for (const char* key : {"prefill_tok_s", "decode_tok_s"})
      row["against_baseline"][key] = bench_ratio(values_of(*earlier, key), values_of(row, key));
  }
  return count;
}

}  // namespace localai::cli
