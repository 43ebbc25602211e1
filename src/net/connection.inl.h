// One client's connection over Asio and Beast, and what all connections share. Included by
// server.cc alone: these headers take most of this layer's compile time, so no other file may see
// them.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <mutex>
#include <random>
#include <unordered_map>

#include "base/log.h"
#include "net/exchange.h"
#include "net/peer.h"
#include "net/server.h"

namespace localai::net {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Parser = http::request_parser<http::string_body>;

constexpr auto kUse = asio::as_tuple(asio::use_awaitable);
// Pipelined requests that may wait while one is answered; the rest stays in the kernel.
constexpr size_t kReadBufferBytes = 96 << 10;
constexpr size_t kPipelinedBytesMax = 64 << 10;
constexpr auto kPeerCheckInterval = std::chrono::milliseconds(100);
constexpr auto kLingerMax = std::chrono::seconds(2);

Clock::duration seconds(double value) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(value));
}

std::string new_request_id() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  static constexpr char kHex[] = "0123456789abcdef";
  std::string id = "req_";
  for (int word = 0; word < 2; ++word) {
    uint64_t bits = random();
    for (int i = 0; i < 12; ++i, bits >>= 4) id += kHex[bits & 15];
  }
  return id;
}

class Connection;

// What all connections share. Outlives them.
struct Core {
  Core(ServerOptions o, Handler h) : options(std::move(o)), handler(std::move(h)) {}
  ServerOptions options;
  Handler handler;
  std::atomic<bool> draining{false};
  mutable std::mutex mutex;
  std::unordered_map<Connection*, std::weak_ptr<Connection>> connections;
  std::function<void()> on_empty;  // called when the last connection of a drain has gone
  asio::io_context io;             // last: destroyed first, with the coroutines that use the rest

  void remove(Connection* connection) {
    bool empty = false;
    {
      const std::lock_guard lock(mutex);
      connections.erase(connection);
      empty = connections.empty();
    }
    if (empty && draining) on_empty();
  }
  void for_each(void (*call)(Connection&));
};

// One client. Everything runs on the socket's strand, in three coroutines: run() reads a request
// and writes its answer, watch() notices while an answer is made that the client went away, and
// watchdog() enforces deadline_. (g++ 12 destroys a braced temporary inside a co_await expression
// twice: arguments of awaited calls are named variables here.)
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Core& core, tcp::socket socket)
      : core_(core),
        limits_(core.options.limits),
        socket_(std::move(socket)),
        deadline_timer_(socket_.get_executor()),
        notify_timer_(socket_.get_executor()),
        watch_timer_(socket_.get_executor()) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    if (exchange_) exchange_->end(EndReason::kShutdown);
  }

  void start(bool refuse) {
    const auto spawn = [&](asio::awaitable<void> work) {
      asio::co_spawn(socket_.get_executor(), std::move(work), asio::detached);
    };
    spawn(watchdog(shared_from_this()));
    spawn(refuse ? refuse_one(shared_from_this()) : run(shared_from_this()));
  }

  // Both are called from any thread.
  static void drain(Connection& connection) {
    asio::post(connection.socket_.get_executor(), [self = connection.shared_from_this()] {
      if (self->idle_) self->close();
      if (self->exchange_) self->exchange_->drop_keep_alive();
    });
  }
  static void abort(Connection& connection) {
    asio::post(connection.socket_.get_executor(), [self = connection.shared_from_this()] {
      self->aborted_ = true;
      self->close();
      self->notify();
    });
  }

 private:
  asio::awaitable<void> run([[maybe_unused]] std::shared_ptr<Connection> self) {
    error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    // A peer on another machine that closed while it waits is found by these probes.
    socket_.set_option(asio::socket_base::keep_alive(true), ignored);
    local_address_ = socket_.local_endpoint(ignored).address().to_string();
    while (co_await serve_one()) {
    }
    finish();
  }

  asio::awaitable<void> refuse_one([[maybe_unused]] std::shared_ptr<Connection> self) {
    Refusal refusal{503, "too_many_connections", "the server has too many connections"};
    co_await send_refusal(std::move(refusal));
    finish();
  }

  void finish() {
    close();
    closed_ = true;
    deadline_timer_.cancel();
    core_.remove(this);
  }

  void close() {
    error_code ignored;
    socket_.close(ignored);
  }

  // Deadlines: past deadline_ every operation on the socket is cancelled, and timed_out_ says why.
  void arm(Clock::duration limit) {
    timed_out_ = false;
    deadline_ = Clock::now() + limit;
    if (deadline_ < deadline_timer_.expiry()) deadline_timer_.cancel();
  }
  void disarm() { deadline_ = Clock::time_point::max(); }

  asio::awaitable<void> watchdog([[maybe_unused]] std::shared_ptr<Connection> self) {
    while (!closed_) {
      deadline_timer_.expires_at(deadline_);
      co_await deadline_timer_.async_wait(kUse);
      if (closed_ || Clock::now() < deadline_) continue;
      disarm();
      timed_out_ = true;
      error_code ignored;
      socket_.cancel(ignored);
    }
  }

  void notify() {
    notified_ = true;
    notify_timer_.cancel();
  }
  asio::awaitable<void> wait_notified(Clock::duration limit) {
    if (!notified_) {
      notify_timer_.expires_after(limit);
      co_await notify_timer_.async_wait(kUse);
    }
    notified_ = false;
  }

  // One request and its answer; false when the connection is to be closed.
  asio::awaitable<bool> serve_one() {
    if (!co_await wait_for_request()) co_return false;
    Parser parser;
    parser.header_limit(static_cast<uint32_t>(limits_.headers_bytes_max));
    parser.body_limit(limits_.body_bytes_max);
    arm(seconds(limits_.header_seconds_max));
    auto [header_error, header_bytes] =
        co_await http::async_read_header(socket_, buffer_, parser, kUse);
    if (header_error) {
      co_await report(header_error, parser);
      co_return false;
    }
    Request request = to_request(parser);
    if (std::optional<Refusal> refusal = check(request)) {
      request_id_ = request.id;
      co_await send_refusal(std::move(*refusal));
      co_return false;
    }
    if (!co_await read_body(parser, request)) co_return false;
    disarm();
    request.body = std::move(parser.get().body());
    const bool http_1_1 = parser.get().version() >= 11;
    co_return co_await answer(std::move(request), http_1_1, parser.get().keep_alive());
  }

  // Until the first byte of a request is there; bytes of a pipelined one may wait already.
  asio::awaitable<bool> wait_for_request() {
    if (buffer_.size() != 0) co_return true;
    if (end_of_input_ || core_.draining) co_return false;
    arm(seconds(served_any_ ? limits_.idle_seconds_max : limits_.header_seconds_max));
    idle_ = true;
    auto [error] = co_await socket_.async_wait(tcp::socket::wait_read, kUse);
    idle_ = false;
    co_return !error;
  }

  Request to_request(const Parser& parser) {
    const auto& head = parser.get();
    Request request;
    request.method = std::string(head.method_string());
    const std::string_view target(head.target().data(), head.target().size());
    const size_t question = target.find('?');
    request.path = std::string(target.substr(0, question));
    if (question != std::string_view::npos)
      request.query = std::string(target.substr(question + 1));
    for (const auto& field : head) {
      std::string name(field.name_string());
      for (char& c : name)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      request.headers.push_back({std::move(name), std::string(field.value())});
    }
    request.id = new_request_id();
    return request;
  }

  [[nodiscard]] std::optional<Refusal> check(const Request& request) const {
    if (auto refusal = check_head(request, limits_)) return refusal;
    if (auto refusal = check_host(request, {core_.options.host_names, local_address_}))
      return refusal;
    return check_origin(request);
  }

  asio::awaitable<bool> read_body(Parser& parser, const Request& request) {
    if (const std::string_view expect = request.header("expect"); !expect.empty()) {
      if (expect != "100-continue") {
        Refusal refusal{417, "expectation_failed", "Expect: only 100-continue is known"};
        co_await send_refusal(std::move(refusal));
        co_return false;
      }
      if (!parser.is_done() && !co_await write_all("HTTP/1.1 100 Continue\r\n\r\n"))
        co_return false;
    }
    while (!parser.is_done()) {
      arm(seconds(limits_.body_gap_seconds_max));
      auto [error, bytes] = co_await http::async_read_some(socket_, buffer_, parser, kUse);
      if (error) {
        co_await report(error, parser);
        co_return false;
      }
    }
    co_return true;
  }

  // What to answer to what the parser or the clock objected to; nothing when nobody waits for it.
  [[nodiscard]] std::optional<Refusal> refusal_of(error_code error, const Parser& parser) const {
    if (timed_out_) return Refusal{408, "request_timeout", "the request did not arrive in time"};
    if (error == http::error::body_limit)
      return Refusal{
          413, "body_too_large",
          "the body is longer than " + std::to_string(limits_.body_bytes_max) + " bytes"};
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      if (parser.get().target().empty())  // the request line itself did not end
        return Refusal{414, "uri_too_long",
                       "the request line is longer than " +
                           std::to_string(limits_.request_line_bytes_max) + " bytes"};
      return Refusal{431, "headers_too_large",
                     "the header fields are longer than " +
                         std::to_string(limits_.headers_bytes_max) + " bytes"};
    }
    if (error == http::error::end_of_stream || error == http::error::partial_message ||
        error.category() != make_error_code(http::error::bad_method).category())
      return std::nullopt;
    return Refusal{400, "malformed_http", "not valid HTTP/1.1: " + error.message()};
  }

  asio::awaitable<void> report(error_code error, const Parser& parser) {
    std::optional<Refusal> refusal = refusal_of(error, parser);
    if (refusal) co_await send_refusal(std::move(*refusal));
  }

  asio::awaitable<void> send_refusal(Refusal refusal) {
    Response response = core_.options.render_refusal(refusal);
    if (request_id_.empty()) request_id_ = new_request_id();
    const auto exchange = std::make_shared<Exchange>(
        ExchangeOptions{request_id_, true, false, false, limits_.stream_buffer_bytes_max}, [] {});
    exchange->make_sink()->respond(std::move(response));
    const Exchange::Output out = exchange->take();
    if (!co_await write_all(out.bytes)) co_return;
    co_await linger();
  }

  // Closing with unread input makes the kernel send a reset, which can overtake the answer: read
  // and forget for a while. Source: RFC 9112 section 9.6.
  asio::awaitable<void> linger() {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    arm(kLingerMax);
    std::array<char, 16384> scratch;
    while (!timed_out_) {
      auto [error, bytes] = co_await socket_.async_read_some(asio::buffer(scratch), kUse);
      if (error) break;
    }
    disarm();
  }

  asio::awaitable<bool> write_all(std::string_view bytes) {
    while (!bytes.empty()) {
      arm(seconds(limits_.slow_reader_seconds_max));
      auto [error, count] =
          co_await socket_.async_write_some(asio::buffer(bytes.data(), bytes.size()), kUse);
      if (error) co_return false;
      bytes.remove_prefix(count);
    }
    disarm();
    co_return true;
  }

  asio::awaitable<bool> answer(Request request, bool http_1_1, bool keep_alive) {
    served_any_ = true;
    exchange_ = std::make_shared<Exchange>(
        ExchangeOptions{request.id, http_1_1, keep_alive && !core_.draining,
                        request.method == "HEAD", limits_.stream_buffer_bytes_max},
        [weak = weak_from_this(), executor = socket_.get_executor()] {
          asio::post(executor, [weak] {
            if (const auto self = weak.lock()) self->notify();
          });
        });
    gone_ = stop_watching_ = false;
    watching_ = true;
    asio::co_spawn(socket_.get_executor(), watch(shared_from_this()), asio::detached);
    dispatch(std::move(request));
    const EndReason reason = co_await send_answer();
    exchange_->end(reason);
    stop_watching_ = true;
    error_code ignored;
    socket_.cancel(ignored);
    watch_timer_.cancel();
    while (watching_) co_await wait_notified(std::chrono::seconds(1));
    const bool keep = reason == EndReason::kSent && exchange_->keeps_alive();
    exchange_.reset();
    if (reason == EndReason::kSent && !keep) co_await linger();
    co_return keep;
  }

  void dispatch(Request request) {
    const std::shared_ptr<Sink> sink = exchange_->make_sink();
    try {
      core_.handler(std::move(request), sink);
    } catch (const std::exception& error) {  // std::bad_alloc, and what libraries throw
      log::error("a handler failed: {}", error.what());
    }
  }

  asio::awaitable<EndReason> send_answer() {
    for (;;) {
      if (aborted_) co_return EndReason::kShutdown;
      if (gone_) co_return EndReason::kDisconnected;
      const Exchange::Output out = exchange_->take();
      if (!out.bytes.empty()) {
        if (!co_await write_all(out.bytes))
          co_return aborted_ ? EndReason::kShutdown
          : timed_out_       ? EndReason::kSlowReader
                             : EndReason::kDisconnected;
        exchange_->sent();
      }
      if (out.broken) co_return EndReason::kDisconnected;
      if (out.last) co_return EndReason::kSent;
      if (!out.bytes.empty()) continue;
      const Clock::time_point before = Clock::now();
      co_await wait_notified(seconds(limits_.heartbeat_seconds));
      if (Clock::now() - before >= seconds(limits_.heartbeat_seconds)) exchange_->heartbeat();
    }
  }

  // Reads ahead while an answer is made: pipelined requests are kept, and the end of input or a
  // reset shows that the client may have, or has, gone.
  asio::awaitable<void> watch([[maybe_unused]] std::shared_ptr<Connection> self) {
    while (!stop_watching_ && !gone_) {
      if (end_of_input_ || buffer_.size() >= kPipelinedBytesMax) {
        gone_ = peer_is_gone(socket_.native_handle());
        if (gone_) break;
        watch_timer_.expires_after(kPeerCheckInterval);
        co_await watch_timer_.async_wait(kUse);
        continue;
      }
      auto [error, bytes] = co_await socket_.async_read_some(buffer_.prepare(4096), kUse);
      buffer_.commit(bytes);
      if (error == asio::error::eof)
        end_of_input_ = true;
      else if (error && error != asio::error::operation_aborted)
        gone_ = true;
    }
    watching_ = false;
    notify();
  }

  Core& core_;
  const Limits& limits_;
  tcp::socket socket_;
  boost::beast::flat_buffer buffer_{kReadBufferBytes};
  std::string local_address_, request_id_;
  std::shared_ptr<Exchange> exchange_;

  asio::steady_timer deadline_timer_;
  Clock::time_point deadline_ = Clock::time_point::max();
  bool timed_out_ = false, closed_ = false;

  asio::steady_timer notify_timer_;
  bool notified_ = false;

  asio::steady_timer watch_timer_;
  bool watching_ = false, stop_watching_ = false, gone_ = false, end_of_input_ = false;

  bool idle_ = false, served_any_ = false, aborted_ = false;
};

void Core::for_each(void (*call)(Connection&)) {
  std::vector<std::shared_ptr<Connection>> all;
  {
    const std::lock_guard lock(mutex);
    for (const auto& [key, weak] : connections)
      if (auto connection = weak.lock()) all.push_back(std::move(connection));
  }
  for (const auto& connection : all) call(*connection);
}

}  // namespace
}  // namespace localai::net
