// With server.cc the only place that sees Asio and Beast.
#include "net/client.h"

#ifdef __SANITIZE_THREAD__
#define BOOST_ASIO_DISABLE_FENCED_BLOCK 1
#endif

#include <array>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <future>
#include <optional>
#include <thread>
#include <unordered_set>
#include <vector>

#include "base/number.h"

namespace localai::net {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr auto kUse = asio::as_tuple(asio::use_awaitable);
constexpr size_t kIdleConnectionsMax = 16;
constexpr size_t kPieceBytes = 16 << 10;

struct Connection {
  explicit Connection(asio::io_context& io) : socket(io) {}
  tcp::socket socket;
  boost::beast::flat_buffer buffer;
};

class AsioClient;

// One exchange. Everything but cancel() runs on the client's thread.
class Call : public std::enable_shared_from_this<Call> {
 public:
  Call(AsioClient& client, ClientRequest request, ClientTimeouts timeouts, ClientEvents events);
  asio::awaitable<void> run();
  void abort() {
    cancelled_ = true;
    error_code ignored;
    if (connection_) connection_->socket.close(ignored);
    resolver_.cancel();
    timer_.cancel();
  }

 private:
  using Parser = http::response_parser<http::buffer_body>;

  asio::awaitable<Status> exchange();
  asio::awaitable<Status> connect();
  asio::awaitable<Status> write_and_read_head(std::optional<Parser>& parser);
  asio::awaitable<Status> read_body(Parser& parser);
  // Closes the connection when `limit` passes before the guard goes.
  class Deadline;
  [[nodiscard]] Error failure(const char* step, const error_code& error) const;

  AsioClient& client_;
  ClientRequest request_;
  const ClientTimeouts timeouts_;
  ClientEvents events_;
  tcp::resolver resolver_;
  asio::steady_timer timer_;
  std::unique_ptr<Connection> connection_;
  uint64_t wait_ = 0;  // number of the wait that the timer watches
  bool sent_ = false, timed_out_ = false, cancelled_ = false;
};

class AsioClient final : public Client {
 public:
  explicit AsioClient(Upstream upstream)
      : upstream_(std::move(upstream)),
        work_(asio::make_work_guard(io_)),
        thread_([this] { io_.run(); }) {}
  AsioClient(const AsioClient&) = delete;
  AsioClient& operator=(const AsioClient&) = delete;
  ~AsioClient() override {
    asio::post(io_, [this] {
      for (Call* call : calls_) call->abort();
      idle_.clear();
    });
    work_.reset();
    thread_.join();
  }

  std::unique_ptr<ClientCall> send(ClientRequest request, ClientTimeouts timeouts,
                                   ClientEvents events) override;

  asio::io_context& io() { return io_; }
  [[nodiscard]] const Upstream& upstream() const { return upstream_; }
  std::unique_ptr<Connection> take_idle() {
    while (!idle_.empty()) {
      auto connection = std::move(idle_.back());
      idle_.pop_back();
      if (still_open(*connection)) return connection;
    }
    return nullptr;
  }
  void keep(std::unique_ptr<Connection> connection) {
    if (idle_.size() < kIdleConnectionsMax) idle_.push_back(std::move(connection));
  }
  void add(Call* call) { calls_.insert(call); }
  void remove(Call* call) { calls_.erase(call); }

 private:
  // An idle connection that has bytes or an end waiting is of no use.
  static bool still_open(Connection& connection) {
    error_code error;
    connection.socket.non_blocking(true, error);
    char byte = 0;
    connection.socket.receive(asio::buffer(&byte, 1), tcp::socket::message_peek, error);
    return error == asio::error::would_block;
  }

  const Upstream upstream_;
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::vector<std::unique_ptr<Connection>> idle_;
  std::unordered_set<Call*> calls_;
  std::thread thread_;
};

class Call::Deadline {
 public:
  Deadline(Call& call, milliseconds limit) : call_(call) {
    const uint64_t wait = ++call.wait_;
    call.timer_.expires_after(limit);
    call.timer_.async_wait([self = call.weak_from_this(), wait](const error_code& error) {
      const auto alive = self.lock();
      if (error || !alive || alive->wait_ != wait) return;
      alive->timed_out_ = true;
      error_code ignored;
      if (alive->connection_) alive->connection_->socket.close(ignored);
      alive->resolver_.cancel();
    });
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline() {
    ++call_.wait_;
    call_.timer_.cancel();
  }

 private:
  Call& call_;
};

Call::Call(AsioClient& client, ClientRequest request, ClientTimeouts timeouts, ClientEvents events)
    : client_(client),
      request_(std::move(request)),
      timeouts_(timeouts),
      events_(std::move(events)),
      resolver_(client.io()),
      timer_(client.io()) {}

Error Call::failure(const char* step, const error_code& error) const {
  const Upstream& to = client_.upstream();
  const std::string where = to.host + ":" + std::to_string(to.port) + ": " + step + ": ";
  if (cancelled_) return cancelled(where + "cancelled");
  if (timed_out_) return unavailable(where + "timed out");
  if (error.category() == http::make_error_code(http::error::bad_version).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message)
    return corrupt(where + "the answer is not HTTP: " + error.message());
  return unavailable(where + error.message());
}

asio::awaitable<void> Call::run() {
  client_.add(this);
  Status status = Ok{};
  if (cancelled_)  // no co_await inside ?: here: g++ 12 destroys its temporaries twice
    status = cancelled("cancelled");
  else
    status = co_await exchange();
  connection_.reset();
  client_.remove(this);
  events_.on_end(std::move(status), sent_);
}

asio::awaitable<Status> Call::exchange() {
  std::optional<Parser> parser;
  connection_ = client_.take_idle();
  if (connection_) {
    auto status = co_await write_and_read_head(parser);
    // The upstream closed an idle connection just then, before it took a byte: once more, afresh.
    const bool stale = !status.ok() && !cancelled_ && !timed_out_ && !parser->is_header_done() &&
                       status.error().code == Code::kUnavailable;
    if (!status.ok() && !stale) co_return status;
    if (stale) connection_.reset();
    sent_ = !stale;
  }
  if (!connection_) {
    auto connected = co_await connect();
    if (!connected.ok()) co_return connected;
    auto status = co_await write_and_read_head(parser);
    if (!status.ok()) co_return status;
  }
  events_.on_head(static_cast<int>(parser->get().result_int()));
  co_return co_await read_body(*parser);
}

asio::awaitable<Status> Call::connect() {
  const Deadline deadline(*this, timeouts_.connect);
  connection_ = std::make_unique<Connection>(client_.io());
  const Upstream& to = client_.upstream();
  auto [resolve_error, endpoints] =
      co_await resolver_.async_resolve(to.host, std::to_string(to.port), kUse);
  if (resolve_error || cancelled_ || timed_out_) co_return failure("resolve", resolve_error);
  auto [error, endpoint] = co_await asio::async_connect(connection_->socket, endpoints, kUse);
  if (error || cancelled_ || timed_out_) co_return failure("connect", error);
  error_code ignored;
  connection_->socket.set_option(tcp::no_delay(true), ignored);
  co_return Ok{};
}

asio::awaitable<Status> Call::write_and_read_head(std::optional<Parser>& parser) {
  const Deadline deadline(*this, timeouts_.first_byte);
  const Upstream& to = client_.upstream();
  http::request<http::string_body> message;
  message.method_string(request_.method);
  message.target(to.prefix + request_.path);
  const std::string host = to.host.find(':') == std::string::npos ? to.host : '[' + to.host + ']';
  message.set(http::field::host, host + ":" + std::to_string(to.port));
  message.set(http::field::accept, "*/*");
  if (!request_.body.empty()) message.set(http::field::content_type, request_.content_type);
  message.body() = request_.body;
  message.prepare_payload();
  parser.emplace();
  parser->body_limit(boost::none);
  sent_ = true;
  auto [write_error, written] = co_await http::async_write(connection_->socket, message, kUse);
  if (write_error || cancelled_ || timed_out_) co_return failure("write", write_error);
  auto [error, read] =
      co_await http::async_read_header(connection_->socket, connection_->buffer, *parser, kUse);
  if (error || cancelled_ || timed_out_) co_return failure("read", error);
  co_return Ok{};
}

asio::awaitable<Status> Call::read_body(Parser& parser) {
  std::array<char, kPieceBytes> piece{};
  while (!parser.is_done()) {
    const Deadline deadline(*this, timeouts_.idle);
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    parser.get().body().more = true;
    auto [error, read] =
        co_await http::async_read_some(connection_->socket, connection_->buffer, parser, kUse);
    if (cancelled_ || (error && error != http::error::need_buffer))
      co_return failure("read", error);
    const size_t got = piece.size() - parser.get().body().size;
    if (got > 0) events_.on_body(std::string_view(piece.data(), got));
    if (cancelled_) co_return failure("read", error);
  }
  if (parser.get().keep_alive() && connection_->buffer.size() == 0)
    client_.keep(std::move(connection_));
  co_return Ok{};
}

class CallHandle final : public ClientCall {
 public:
  CallHandle(asio::io_context& io, std::weak_ptr<Call> call) : io_(io), call_(std::move(call)) {}
  CallHandle(const CallHandle&) = delete;
  CallHandle& operator=(const CallHandle&) = delete;
  ~CallHandle() override {
    if (call_.expired()) return;
    asio::post(io_, [call = call_] {
      if (const auto alive = call.lock()) alive->abort();
    });
  }

 private:
  asio::io_context& io_;
  std::weak_ptr<Call> call_;
};

std::unique_ptr<ClientCall> AsioClient::send(ClientRequest request, ClientTimeouts timeouts,
                                             ClientEvents events) {
  auto call = std::make_shared<Call>(*this, std::move(request), timeouts, std::move(events));
  auto handle = std::make_unique<CallHandle>(io_, call);
  asio::co_spawn(
      io_, [call]() -> asio::awaitable<void> { co_await call->run(); }, asio::detached);
  return handle;
}

}  // namespace

std::unique_ptr<Client> Client::create(Upstream upstream) {
  return std::make_unique<AsioClient>(std::move(upstream));
}

Result<Upstream> parse_upstream(std::string_view url) {
  const auto bad = [&](const char* what) {
    return invalid("'" + std::string(url) + "': " + what +
                   "; expected http://HOST[:PORT][/PREFIX]");
  };
  if (url.starts_with("https://"))
    return unsupported("'" + std::string(url) + "': TLS to an upstream is not supported; use http");
  if (!url.starts_with("http://")) return bad("not an http URL");
  std::string_view rest = url.substr(7);
  Upstream out;
  const size_t slash = std::min(rest.find('/'), rest.size());
  out.prefix = rest.substr(slash);
  while (out.prefix.ends_with('/')) out.prefix.pop_back();
  std::string_view authority = rest.substr(0, slash);
  std::string_view port;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return bad("'[' without ']'");
    out.host = authority.substr(1, close - 1);
    authority.remove_prefix(close + 1);
    if (!authority.empty() && authority[0] != ':') return bad("text after ']'");
    port = authority.empty() ? authority : authority.substr(1);
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    out.host = authority.substr(0, colon);
    if (colon < authority.size()) port = authority.substr(colon + 1);
  }
  if (out.host.empty()) return bad("no host");
  for (const char c : url)
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f)
      return bad("a byte that no URL may hold");
  if (!port.empty()) {
    const auto number = parse_number<uint16_t>(port);
    if (!number || *number == 0) return bad("the port is not within 1..65535");
    out.port = *number;
  }
  return out;
}

Result<ClientAnswer> fetch(Client& client, ClientRequest request, ClientTimeouts timeouts,
                           size_t body_bytes_max, const std::function<bool()>& wanted) {
  constexpr milliseconds kPoll{50};
  ClientAnswer answer;
  bool too_long = false;
  auto done = std::make_shared<std::promise<Status>>();
  auto waiting = done->get_future();
  auto call =
      client.send(std::move(request), timeouts,
                  {.on_head = [&](int status) { answer.status = status; },
                   .on_body =
                       [&](std::string_view bytes) {
                         too_long = too_long || answer.body.size() + bytes.size() > body_bytes_max;
                         if (!too_long) answer.body += bytes;
                       },
                   .on_end = [done](Status status, bool) { done->set_value(std::move(status)); }});
  while (wanted && call && waiting.wait_for(kPoll) != std::future_status::ready)
    if (!wanted()) call.reset();
  LAI_TRY_STATUS(waiting.get());
  if (too_long)
    return corrupt("the answer has more than " + std::to_string(body_bytes_max) + " bytes");
  return answer;
}

}  // namespace localai::net
