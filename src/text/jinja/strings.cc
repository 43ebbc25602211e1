#include "text/jinja/strings.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/operators.h"
#include "text/jinja/unicode.h"

namespace localai::text::jinja {
namespace {

// An empty `from` stands before every character and at the end.
Result<std::string> insert_between(Runtime& runtime, const std::string& text, const std::string& to,
                                   uint64_t count) {
  std::string out;
  uint64_t done = 0;
  size_t at = 0;
  while (done < count) {
    out += to;
    ++done;
    LAI_TRY_STATUS(runtime.reserve(out.size() + text.size() - at));
    if (at >= text.size()) break;
    const size_t bytes = decode_utf8(text, at).bytes;
    out.append(text, at, bytes);
    at += bytes;
  }
  if (at < text.size()) out.append(text, at);
  return out;
}

}  // namespace

Result<std::string> replace_all(Runtime& runtime, const std::string& text, const std::string& from,
                                const std::string& to, int64_t count) {
  LAI_TRY_STATUS(runtime.scan(text.size()));
  const uint64_t limit = count < 0 ? UINT64_MAX : static_cast<uint64_t>(count);
  if (from.empty()) return insert_between(runtime, text, to, limit);
  std::string out;
  size_t at = 0;
  for (uint64_t done = 0; done < limit; ++done) {
    const size_t found = find_bytes(text, from, at);
    if (found == std::string::npos) break;
    LAI_TRY_STATUS(runtime.step());
    LAI_TRY_STATUS(runtime.reserve(out.size() + (found - at) + to.size()));
    out.append(text, at, found - at);
    out += to;
    at = found + from.size();
  }
  out.append(text, at);
  return out;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    const size_t end = at;
    at += c.bytes;
    if (!is_line_boundary(c.code_point)) continue;
    if (c.code_point == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

Result<Value> center_text(Runtime& runtime, const std::string& text, int64_t width,
                          const std::string& fill) {
  const auto length = static_cast<int64_t>(count_code_points(text));
  if (width <= length) return runtime.make_string(text);
  const auto margin = static_cast<uint64_t>(width - length);
  LAI_TRY_STATUS(runtime.reserve(margin));
  LAI_TRY_STATUS(runtime.reserve(margin * fill.size() + text.size()));
  const uint64_t left = margin / 2 + (margin & static_cast<uint64_t>(width) & 1);
  std::string out;
  for (uint64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (uint64_t i = left; i < margin; ++i) out += fill;
  return runtime.make_string(std::move(out));
}

}  // namespace localai::text::jinja
