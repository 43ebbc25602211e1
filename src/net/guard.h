#pragma once
// What a request must show before any handler sees it: protection of a local server against web
// pages (DNS rebinding, cross-site requests) and of its memory against large headers. Pure.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace localai::net {

// Why a request is refused below the dialects. `code` is a stable word for programs.
struct Refusal {
  int status;
  std::string code, message;
};

struct Limits {
  size_t request_line_bytes_max = 8 << 10;  // 414
  size_t header_bytes_max = 8 << 10;        // of one field: 431
  size_t headers_bytes_max = 16 << 10;      // of all, the request line included: 431
  size_t headers_count_max = 100;           // 431
  uint64_t body_bytes_max = 8 << 20;        // 413, counted after chunks are joined
  size_t stream_buffer_bytes_max = 256 << 10;
  uint32_t connections_max = 4096;
  double header_seconds_max = 10, body_gap_seconds_max = 10, idle_seconds_max = 60;
  double slow_reader_seconds_max = 30, heartbeat_seconds = 10, drain_seconds_max = 30;
};

struct HostPolicy {
  std::vector<std::string> names;  // lower case; beside the loopback names and the local address
  std::string local_address;       // the address that the connection came in on
};

// Host: exactly one, well-formed, a loopback name, `local_address` or one of `names` (400, 403).
std::optional<Refusal> check_host(const Request& request, const HostPolicy& policy);
// Requests that change or cost something (not GET or HEAD): an Origin that is not this server, or
// Sec-Fetch-Site: cross-site, is refused (403). Source: Fetch standard, "Origin header".
std::optional<Refusal> check_origin(const Request& request);
// Sizes and number of the fields, framing that two parsers could read in two ways, encodings.
// Source: RFC 9112 sections 3.2, 6.1, 6.3.
std::optional<Refusal> check_head(const Request& request, const Limits& limits);
// Content-Type: application/json with any parameters (415).
std::optional<Refusal> check_json_content(const Request& request);

// True for 127.0.0.0/8, ::1 and "localhost".
bool is_loopback_host(std::string_view host);

}  // namespace localai::net
