#include "net/guard.h"

#include <algorithm>

#include "base/number.h"

namespace localai::net {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

size_t count_of(const Request& request, std::string_view name) {
  return static_cast<size_t>(std::count_if(request.headers.begin(), request.headers.end(),
                                           [&](const Header& h) { return h.name == name; }));
}

// "name:port", "[::1]:port" to the lower-case name or address; nothing when malformed.
std::optional<std::string> host_name(std::string_view authority) {
  std::string_view name = authority, port;
  bool has_port = false;
  if (!authority.empty() && authority.front() == '[') {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    name = authority.substr(1, close - 1);
    port = authority.substr(close + 1);
    has_port = !port.empty();
    if (has_port && port.front() != ':') return std::nullopt;
    if (has_port) port.remove_prefix(1);
  } else if (const size_t colon = authority.find(':'); colon != std::string_view::npos) {
    name = authority.substr(0, colon);
    port = authority.substr(colon + 1);
    has_port = true;
  }
  if (name.empty() || (has_port && !parse_number<uint16_t>(port))) return std::nullopt;
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ':';
  });
  if (!plain) return std::nullopt;
  return lower(name);
}

// 127.0.0.0/8 in its one plain spelling: four decimal numbers.
bool is_loopback_v4(std::string_view host) {
  for (int part = 0; part < 4; ++part) {
    const size_t dot = host.find('.');
    const std::string_view digits = host.substr(0, dot);
    const auto value = parse_number<uint8_t>(digits);
    if (!value || (digits.size() > 1 && digits.front() == '0')) return false;
    if (part == 0 && *value != 127) return false;
    if ((dot == std::string_view::npos) != (part == 3)) return false;
    host.remove_prefix(dot == std::string_view::npos ? host.size() : dot + 1);
  }
  return true;
}

}  // namespace

bool is_loopback_host(std::string_view host) {
  return host == "localhost" || host == "::1" || is_loopback_v4(host);
}

std::optional<Refusal> check_host(const Request& request, const HostPolicy& policy) {
  if (count_of(request, "host") != 1)
    return Refusal{400, "invalid_host", "exactly one Host header is needed"};
  const std::optional<std::string> host = host_name(request.header("host"));
  if (!host) return Refusal{400, "invalid_host", "the Host header is malformed"};
  if (is_loopback_host(*host) || *host == policy.local_address ||
      std::find(policy.names.begin(), policy.names.end(), *host) != policy.names.end())
    return std::nullopt;
  return Refusal{
      403, "host_not_allowed",
      "this server does not answer under the name of the Host header (see --allow-host)"};
}

std::optional<Refusal> check_origin(const Request& request) {
  if (request.method == "GET" || request.method == "HEAD") return std::nullopt;
  if (lower(request.header("sec-fetch-site")) == "cross-site")
    return Refusal{403, "origin_not_allowed", "requests from other sites are refused"};
  if (count_of(request, "origin") == 0) return std::nullopt;
  const std::string origin = lower(request.header("origin"));
  const std::string host = lower(request.header("host"));
  if (count_of(request, "origin") == 1 &&
      (origin == "http://" + host || origin == "https://" + host))
    return std::nullopt;
  return Refusal{403, "origin_not_allowed", "requests from another Origin are refused"};
}

std::optional<Refusal> check_head(const Request& request, const Limits& limits) {
  if (request.method.size() + request.path.size() + request.query.size() + 11 >
      limits.request_line_bytes_max)
    return Refusal{414, "uri_too_long",
                   "the request line is longer than " +
                       std::to_string(limits.request_line_bytes_max) + " bytes"};
  if (request.headers.size() > limits.headers_count_max)
    return Refusal{431, "headers_too_large",
                   "more than " + std::to_string(limits.headers_count_max) + " header fields"};
  for (const Header& header : request.headers)
    if (header.name.size() + header.value.size() > limits.header_bytes_max)
      return Refusal{
          431, "headers_too_large",
          "a header field is longer than " + std::to_string(limits.header_bytes_max) + " bytes"};
  if (request.path.empty() || request.path.front() != '/')
    return Refusal{400, "invalid_target", "the request target must be a path that begins with '/'"};
  const bool has_coding = count_of(request, "transfer-encoding") != 0;
  if (has_coding && (count_of(request, "transfer-encoding") != 1 ||
                     lower(request.header("transfer-encoding")) != "chunked"))
    return Refusal{400, "invalid_framing", "Transfer-Encoding: only 'chunked' is supported"};
  if (count_of(request, "content-length") > 1 ||
      (has_coding && count_of(request, "content-length") != 0))
    return Refusal{400, "invalid_framing",
                   "Content-Length must stand once, and not beside Transfer-Encoding"};
  if (const std::string coding = lower(request.header("content-encoding"));
      !coding.empty() && coding != "identity")
    return Refusal{415, "unsupported_encoding", "Content-Encoding: bodies must not be compressed"};
  return std::nullopt;
}

std::optional<Refusal> check_json_content(const Request& request) {
  const std::string_view type = request.header("content-type");
  if (lower(trim(type.substr(0, type.find(';')))) == "application/json") return std::nullopt;
  return Refusal{415, "unsupported_content_type",
                 "Content-Type must be application/json (parameters are allowed)"};
}

}  // namespace localai::net
