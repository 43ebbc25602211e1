// The listening server: accepts, limits, drains. With connection.inl.h the only place that sees
// Asio and Beast.
#include "net/server.h"

// ThreadSanitizer knows no fences (g++ refuses them); Asio's mutexes order the same accesses.
#ifdef __SANITIZE_THREAD__
#define BOOST_ASIO_DISABLE_FENCED_BLOCK 1
#endif

#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/strand.hpp>
#include <thread>

#include "net/connection.inl.h"

namespace localai::net {
namespace {

class AsioServer final : public Server {
 public:
  AsioServer(ServerOptions options, Handler handler)
      : core_(std::move(options), std::move(handler)),
        strand_(asio::make_strand(core_.io)),
        acceptor_(strand_),
        signals_(strand_),
        timer_(strand_) {
    core_.on_empty = [this] { asio::post(strand_, [this] { stop_waiting(); }); };
  }

  Status bind() {
    ServerOptions& options = core_.options;
    error_code error;
    const std::string literal = options.host == "localhost" ? "127.0.0.1" : options.host;
    const asio::ip::address address = asio::ip::make_address(literal, error);
    if (error)
      return invalid("--host: '" + options.host +
                     "' is not an IPv4 or IPv6 address and not 'localhost'");
    tcp::endpoint endpoint(address, options.port);
    const bool bound =
        !acceptor_.open(endpoint.protocol(), error).failed() &&
        !acceptor_.set_option(tcp::acceptor::reuse_address(true), error).failed() &&
        (!address.is_v6() || !acceptor_.set_option(asio::ip::v6_only(true), error).failed()) &&
        !acceptor_.bind(endpoint, error).failed() &&
        !acceptor_.listen(asio::socket_base::max_listen_connections, error).failed();
    if (bound) endpoint = acceptor_.local_endpoint(error);
    const std::string shown =
        address.is_v6() ? '[' + address.to_string() + ']' : address.to_string();
    if (error)
      return unavailable("cannot listen on " + shown + ":" + std::to_string(options.port) + ": " +
                         error.message());
    if (options.handle_signals) {  // here, so that one that comes before run() is not lost
      signals_.add(SIGTERM, error);
      signals_.add(SIGINT, error);
    }
    port_ = endpoint.port();
    url_ = "http://" + shown + ":" + std::to_string(port_);
    return Ok{};
  }

  [[nodiscard]] uint16_t port() const override { return port_; }
  [[nodiscard]] std::string url() const override { return url_; }
  [[nodiscard]] bool draining() const override { return core_.draining; }
  [[nodiscard]] size_t connections() const override {
    const std::lock_guard lock(core_.mutex);
    return core_.connections.size();
  }

  void run() override {
    if (core_.options.handle_signals) asio::co_spawn(strand_, wait_for_signals(), asio::detached);
    asio::co_spawn(strand_, accept_all(), asio::detached);
    std::vector<std::thread> threads;
    for (uint32_t i = 1; i < core_.options.threads; ++i)
      threads.emplace_back([this] { core_.io.run(); });
    core_.io.run();  // returns when no coroutine is left: after a drain
    for (std::thread& thread : threads) thread.join();
  }

  void stop() override {
    asio::post(strand_, [this] { begin_drain(); });
  }

 private:
  asio::awaitable<void> accept_all() {
    while (!core_.draining) {
      tcp::socket socket(asio::make_strand(core_.io));
      auto [error] = co_await acceptor_.async_accept(socket, kUse);
      if (core_.draining) co_return;
      if (error) {  // out of descriptors or memory: the queue of the kernel waits meanwhile
        log::warn("accept: {}", error.message());
        timer_.expires_after(kAcceptPause);
        co_await timer_.async_wait(kUse);
        continue;
      }
      add(std::move(socket));
    }
  }

  void add(tcp::socket socket) {
    const auto connection = std::make_shared<Connection>(core_, std::move(socket));
    bool full = false;
    {
      const std::lock_guard lock(core_.mutex);
      full = core_.connections.size() >= core_.options.limits.connections_max;
      core_.connections.emplace(connection.get(), connection);
    }
    connection->start(full);
  }

  asio::awaitable<void> wait_for_signals() {
    while (!over_) {  // a drain with nothing to wait for is over before the next wait begins
      auto [error, number] = co_await signals_.async_wait(kUse);
      if (error) co_return;
      if (!core_.draining) {
        log::info("signal {}: draining", number);
        begin_drain();
      } else {
        core_.for_each(Connection::abort);
      }
    }
  }

  void begin_drain() {
    if (core_.draining.exchange(true)) return;
    error_code ignored;
    acceptor_.close(ignored);
    core_.for_each(Connection::drain);
    asio::co_spawn(strand_, limit_drain(), asio::detached);
  }

  asio::awaitable<void> limit_drain() {
    if (connections() != 0) {
      timer_.expires_after(seconds(core_.options.limits.drain_seconds_max));
      auto [error] = co_await timer_.async_wait(kUse);
      if (!error) core_.for_each(Connection::abort);
    }
    stop_waiting();
  }

  void stop_waiting() {
    over_ = true;
    error_code ignored;
    timer_.cancel();
    signals_.cancel(ignored);
  }

  static constexpr auto kAcceptPause = std::chrono::milliseconds(100);

  Core core_;
  asio::strand<asio::io_context::executor_type> strand_;
  tcp::acceptor acceptor_;
  asio::signal_set signals_;
  asio::steady_timer timer_;
  bool over_ = false;  // touched on strand_ only
  uint16_t port_ = 0;
  std::string url_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::listen(ServerOptions options, Handler handler) {
  if (options.threads == 0) return invalid("threads: 0 is not within 1..1024");
  auto server = std::make_unique<AsioServer>(std::move(options), std::move(handler));
  LAI_TRY_STATUS(server->bind());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace localai::net
