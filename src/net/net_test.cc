// The parts without sockets as tables, then a real server on the loopback, driven byte by byte.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>

#include "net/exchange.h"
#include "net/server.h"

namespace localai::net {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Http, RendersAHeadAndKeepsControlBytesOutOfIt) {
  EXPECT_EQ(render_head(404, {{"x-model", "a\r\nset-cookie: b\xc3\xa9"}}),
            "HTTP/1.1 404 Not Found\r\nx-model: a%0D%0Aset-cookie: b%C3%A9\r\n\r\n");
}

TEST(Http, DecodesPercentEscapes) {
  std::string out;
  EXPECT_TRUE(percent_decode("a%2Fb%2fc", out));
  EXPECT_EQ(out, "a/b/c");
  for (const char* bad : {"%", "%2", "%zz", "a%00", "%ff"})
    EXPECT_FALSE(percent_decode(bad, out)) << bad;
}

TEST(Http, EventDataIsSplitAtLineBreaks) {
  EXPECT_EQ(sse_event("{}"), "data: {}\n\n");
  EXPECT_EQ(sse_event("a\nb\r\nc"), "data: a\ndata: b\ndata: c\n\n");
  EXPECT_EQ(sse_event(""), "data: \n\n");
}

Request with(Headers headers, std::string method = "POST") {
  Request request;
  request.method = std::move(method);
  request.path = "/";
  request.headers = std::move(headers);
  return request;
}

int status(const std::optional<Refusal>& refusal) { return refusal ? refusal->status : 200; }

TEST(Guard, AnswersOnlyUnderItsOwnNames) {
  const HostPolicy policy{{"box.example"}, "192.168.7.2"};
  const std::vector<std::pair<const char*, int>> cases = {{"localhost", 200},
                                                          {"LocalHost:8080", 200},
                                                          {"127.0.0.1:1", 200},
                                                          {"127.9.9.9", 200},
                                                          {"[::1]:80", 200},
                                                          {"box.example:443", 200},
                                                          {"192.168.7.2", 200},
                                                          {"192.168.7.3", 403},
                                                          {"evil.example", 403},
                                                          {"localhost.evil", 403},
                                                          {"localhost.", 403},
                                                          {"127.0.0.1.evil", 403},
                                                          {"0127.0.0.1", 403},
                                                          {"127.0.0", 403},
                                                          {"127.1", 403},
                                                          {"", 400},
                                                          {"localhost:", 400},
                                                          {"localhost:x", 400},
                                                          {"localhost:70000", 400},
                                                          {"user@localhost", 400},
                                                          {"[::1", 400},
                                                          {"[::1]x", 400},
                                                          {"a b", 400}};
  for (const auto& [host, expected] : cases)
    EXPECT_EQ(status(check_host(with({{"host", host}}), policy)), expected) << host;
  EXPECT_EQ(status(check_host(with({}), policy)), 400);
  EXPECT_EQ(status(check_host(with({{"host", "localhost"}, {"host", "localhost"}}), policy)), 400);
}

TEST(Guard, OtherSitesMayReadButNotAct) {
  const Headers foreign = {{"host", "localhost:80"}, {"origin", "http://evil.example"}};
  EXPECT_EQ(status(check_origin(with(foreign, "GET"))), 200);
  EXPECT_EQ(status(check_origin(with(foreign))), 403);
  EXPECT_EQ(status(check_origin(with({{"host", "localhost:80"}, {"origin", "null"}}))), 403);
  EXPECT_EQ(status(check_origin(with({{"host", "localhost:80"}, {"origin", "http://localhost"}}))),
            403);
  EXPECT_EQ(
      status(check_origin(with({{"host", "localhost:80"}, {"origin", "http://localhost:80"}}))),
      200);
  EXPECT_EQ(status(check_origin(with({{"host", "a"}, {"sec-fetch-site", "cross-site"}}))), 403);
}

TEST(Guard, WantsJson) {
  EXPECT_EQ(status(check_json_content(with({{"content-type", "application/json"}}))), 200);
  EXPECT_EQ(
      status(check_json_content(with({{"content-type", "Application/JSON ; charset=utf-8"}}))),
      200);
  EXPECT_EQ(status(check_json_content(with({{"content-type", "text/plain"}}))), 415);
  EXPECT_EQ(status(check_json_content(with({{"content-type", "application/jsonx"}}))), 415);
  EXPECT_EQ(status(check_json_content(with({}))), 415);
}

TEST(Guard, RefusesAmbiguousFraming) {
  const Limits limits;
  EXPECT_EQ(status(check_head(with({{"transfer-encoding", "chunked"}}), limits)), 200);
  EXPECT_EQ(status(check_head(with({{"transfer-encoding", "gzip, chunked"}}), limits)), 400);
  EXPECT_EQ(
      status(check_head(with({{"transfer-encoding", "chunked"}, {"content-length", "3"}}), limits)),
      400);
  EXPECT_EQ(status(check_head(with({{"content-length", "3"}, {"content-length", "3"}}), limits)),
            400);
  EXPECT_EQ(status(check_head(with({{"content-encoding", "gzip"}}), limits)), 415);
}

ExchangeOptions exchange_options() { return {"req_1", true, true, false, 64}; }

TEST(ExchangeTest, ADroppedSinkAnswers500) {
  const auto exchange = std::make_shared<Exchange>(exchange_options(), [] {});
  exchange->make_sink().reset();
  EXPECT_THAT(exchange->take().bytes, StartsWith("HTTP/1.1 500 "));
}

TEST(ExchangeTest, ADroppedStreamIsBrokenOff) {
  const auto exchange = std::make_shared<Exchange>(exchange_options(), [] {});
  auto sink = exchange->make_sink();
  sink->begin_stream({});
  sink->write("x");
  sink.reset();
  const Exchange::Output out = exchange->take();
  EXPECT_TRUE(out.broken);
  EXPECT_THAT(out.bytes, EndsWith("\r\n\r\n1\r\nx\r\n"));
}

TEST(ExchangeTest, TellsWhenTheBufferIsFullAndWhenItHasRoomAgain) {
  const auto exchange = std::make_shared<Exchange>(exchange_options(), [] {});
  const auto sink = exchange->make_sink();
  int room = 0;
  sink->on_writable([&] { ++room; });
  sink->begin_stream({});
  exchange->take();
  exchange->sent();
  EXPECT_TRUE(sink->writable());
  EXPECT_TRUE(sink->write(std::string(100, 'x')));
  EXPECT_FALSE(sink->writable());
  exchange->take();
  EXPECT_FALSE(sink->writable()) << "bytes on their way still count";
  EXPECT_EQ(room, 0);
  exchange->sent();
  EXPECT_TRUE(sink->writable());
  EXPECT_EQ(room, 1);
}

TEST(ExchangeTest, CallbacksAreToldOnceAlsoWhenTheyComeLate) {
  const auto exchange = std::make_shared<Exchange>(exchange_options(), [] {});
  const auto sink = exchange->make_sink();
  int told = 0;
  sink->on_end([&](EndReason reason) { told += reason == EndReason::kSlowReader ? 1 : 100; });
  exchange->end(EndReason::kSlowReader);
  exchange->end(EndReason::kSent);
  EXPECT_EQ(told, 1);
  sink->on_end([&](EndReason) { ++told; });
  EXPECT_EQ(told, 2);
  sink->begin_stream({});
  EXPECT_FALSE(sink->write("late"));
  EXPECT_EQ(exchange->take().bytes, "");
}

// A blocking client that sends bytes as they are.
class Client {
 public:
  explicit Client(uint16_t port, int receive_buffer_bytes = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer_bytes > 0)
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    timeval limit{20, 0};  // so that a fault fails the test instead of hanging it
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  void half_close() const { ::shutdown(fd_, SHUT_WR); }
  // Until `end` has been seen, or the server closes.
  std::string read_until(std::string_view end) const {
    std::string out;
    char buffer[4096];
    while (end.empty() || out.find(end) == std::string::npos) {
      const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      out.append(buffer, static_cast<size_t>(n));
    }
    return out;
  }
  std::string read_all() const { return read_until(""); }

 private:
  int fd_ = -1;
};

// What the test server's handler saw and did.
struct Seen {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Request> requests;
  std::vector<std::shared_ptr<Sink>> held;
  std::vector<EndReason> ends;

  template <class F>
  bool wait(F done) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), done);
  }
  bool wait_held(size_t count) {
    return wait([&] { return held.size() >= count; });
  }
  bool wait_ends(size_t count) {
    return wait([&] { return ends.size() >= count; });
  }
};

class ServerTest : public ::testing::Test {
 protected:
  void serve(Limits limits = {}) {
    ServerOptions options;
    options.port = 0;
    options.limits = limits;
    options.render_refusal = [](const Refusal& refusal) {
      return Response{refusal.status, "text/plain", {}, refusal.code};
    };
    auto server = Server::listen(std::move(options), [this](Request request, auto sink) {
      handle(std::move(request), std::move(sink));
    });
    ASSERT_TRUE(server.ok()) << server.error().message;
    server_ = std::move(*server);
    thread_ = std::thread([this] { server_->run(); });
  }
  void TearDown() override {
    if (!server_) return;
    {
      const std::lock_guard lock(seen_.mutex);
      seen_.held.clear();
    }
    server_->stop();
    thread_.join();
  }

  // /hold keeps the sink for the test; anything else answers its method, path and body.
  void handle(Request request, std::shared_ptr<Sink> sink) {
    const std::lock_guard lock(seen_.mutex);
    sink->on_end([this](EndReason reason) {
      const std::lock_guard inner(seen_.mutex);
      seen_.ends.push_back(reason);
      seen_.changed.notify_all();
    });
    seen_.requests.push_back(request);
    if (request.path == "/hold")
      seen_.held.push_back(sink);
    else
      sink->respond({200, "text/plain", {}, request.method + request.path + '|' + request.body});
    seen_.changed.notify_all();
  }
  std::shared_ptr<Sink> held(size_t i) {
    EXPECT_TRUE(seen_.wait_held(i + 1));
    const std::lock_guard lock(seen_.mutex);
    return seen_.held[i];
  }

  std::string exchange(std::string_view bytes) {
    const Client one(server_->port());
    one.send(bytes);
    one.half_close();
    return one.read_all();
  }

  Seen seen_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

constexpr const char* kHold = "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n";

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
  serve();
  std::string all;
  for (int i = 0; i < 50; ++i)
    all += "POST /" + std::to_string(i) +
           " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi";
  const std::string got = exchange(all);
  size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = got.find("POST/" + std::to_string(i) + "|hi", at);
    ASSERT_NE(at, std::string::npos) << i << '\n' << got;
  }
}

TEST_F(ServerTest, JoinsChunkedBodies) {
  serve();
  EXPECT_THAT(exchange("POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "2\r\nab\r\n3;x=y\r\ncde\r\n0\r\n\r\n"),
              EndsWith("POST/a|abcde"));
}

TEST_F(ServerTest, SaysContinueOnlyWhenAsked) {
  serve();
  const Client one(server_->port());
  one.send(
      "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(one.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  one.send("x");
  EXPECT_THAT(one.read_until("|x"), EndsWith("POST/a|x"));
}

TEST_F(ServerTest, HeadHasTheLengthButNoBody) {
  serve();
  const std::string got =
      exchange("HEAD /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(got, HasSubstr("content-length: 7\r\n"));
  EXPECT_THAT(got, EndsWith("\r\n\r\n"));
}

TEST_F(ServerTest, RefusesWhatIsMalformedOrTooLarge) {
  serve();
  const std::string host = "Host: localhost\r\n";
  const std::string post = "POST / HTTP/1.1\r\n" + host;
  std::string many;
  for (int i = 0; i < 101; ++i) many += "a: b\r\n";
  const std::vector<std::pair<std::string, int>> cases = {
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
      {"GET http://localhost/ HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET / HTTP/3.0\r\n" + host + "\r\n", 400},
      {"G\x01T / HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET / HTTP/1.1\r\n" + host + "a : b\r\n\r\n", 400},
      {"GET /" + std::string(9000, 'a') + " HTTP/1.1\r\n" + host + "\r\n", 414},
      {"GET /" + std::string(100000, 'a'), 414},
      {"GET / HTTP/1.1\r\n" + host + "a: " + std::string(9000, 'b') + "\r\n\r\n", 431},
      {"GET / HTTP/1.1\r\n" + host + "a: " + std::string(100000, 'b'), 431},
      {"GET / HTTP/1.1\r\n" + host + many + "\r\n", 431},
      {post + "Content-Length: 8388609\r\n\r\n", 413},
      {post + "Content-Length: 9223372036854775808\r\n\r\n", 413},
      {post + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {post + "Content-Length: +5\r\n\r\nhello", 400},
      {post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
      {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nab\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\nab\r\n", 413},
      {post + "Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", 415},
      {post + "Origin: http://evil.example\r\nContent-Length: 0\r\n\r\n", 403},
      {post + "Expect: tea\r\nContent-Length: 0\r\n\r\n", 417},
  };
  for (const auto& [bytes, expected] : cases) {
    const std::string got = exchange(bytes);
    EXPECT_THAT(got, StartsWith("HTTP/1.1 " + std::to_string(expected) + ' '))
        << bytes.substr(0, 120) << "\n"
        << got;
    EXPECT_THAT(got, HasSubstr("connection: close\r\n"));
  }
  EXPECT_TRUE(seen_.requests.empty());
}

TEST_F(ServerTest, StreamsChunksAsTheyAreWritten) {
  serve();
  const Client one(server_->port());
  one.send(kHold);
  const auto sink = held(0);
  sink->begin_stream({{"x-extra", "1"}});
  sink->write(sse_event("a"));
  EXPECT_THAT(one.read_until("data: a\n\n\r\n"), HasSubstr("x-extra: 1\r\n"));
  sink->write(sse_event("b"));
  sink->finish();
  EXPECT_EQ(one.read_until("0\r\n\r\n"), "9\r\ndata: b\n\n\r\n0\r\n\r\n");
  one.send("GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(one.read_until("GET/next|"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(ServerTest, AStreamToHttp10EndsWithTheConnection) {
  serve();
  const Client one(server_->port());
  one.send("GET /hold HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
  const auto sink = held(0);
  sink->begin_stream({});
  sink->write(sse_event("a"));
  sink->finish();
  const std::string got = one.read_all();
  EXPECT_THAT(got, Not(HasSubstr("chunked")));
  EXPECT_THAT(got, EndsWith("\r\n\r\ndata: a\n\n"));
}

TEST_F(ServerTest, NoticesACloseWhileNothingIsSent) {
  serve();
  Client one(server_->port());
  one.send(kHold);
  const auto sink = held(0);
  one.close();
  ASSERT_TRUE(seen_.wait_ends(1));
  EXPECT_EQ(seen_.ends[0], EndReason::kDisconnected);
}

TEST_F(ServerTest, NoticesACloseDuringAStream) {
  serve();
  Client one(server_->port());
  one.send(kHold);
  const auto sink = held(0);
  sink->begin_stream({});
  sink->write(sse_event("a"));
  one.read_until("data: a");
  one.close();
  ASSERT_TRUE(seen_.wait_ends(1));
  EXPECT_EQ(seen_.ends[0], EndReason::kDisconnected);
  EXPECT_FALSE(sink->write("late"));
}

TEST_F(ServerTest, AHalfClosedClientGetsItsAnswerAndAFullCloseAfterwardsIsNoticed) {
  serve();
  const Client one(server_->port());
  one.send(kHold);
  one.half_close();
  const auto sink = held(0);
  // Longer than the interval at which the peer is looked at.
  std::this_thread::sleep_for(std::chrono::milliseconds(350));
  EXPECT_TRUE(seen_.ends.empty());
  sink->respond({200, "text/plain", {}, "late but here"});
  EXPECT_THAT(one.read_all(), EndsWith("\r\n\r\nlate but here"));

  Client two(server_->port());
  two.send(kHold);
  two.half_close();
  const auto second = held(1);
  two.close();
  ASSERT_TRUE(seen_.wait_ends(2));
  EXPECT_EQ(seen_.ends[1], EndReason::kDisconnected);
}

TEST_F(ServerTest, CutsOffAReaderThatTakesNothing) {
  Limits limits;
  limits.slow_reader_seconds_max = 0.3;
  limits.stream_buffer_bytes_max = 64 << 10;
  serve(limits);
  const Client one(server_->port(), 4096);
  one.send(kHold);
  const auto sink = held(0);
  sink->begin_stream({});
  const std::string block(32 << 10, 'x');
  while (sink->writable()) ASSERT_TRUE(sink->write(block));
  while (sink->write(block)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  ASSERT_TRUE(seen_.wait_ends(1));
  EXPECT_EQ(seen_.ends[0], EndReason::kSlowReader);
}

TEST_F(ServerTest, SlowRequestsAreAnswered408) {
  Limits limits;
  limits.header_seconds_max = limits.body_gap_seconds_max = 0.2;
  serve(limits);
  const Client head(server_->port()), body(server_->port());
  head.send("GET / HT");
  body.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhe");
  EXPECT_THAT(head.read_all(), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(body.read_all(), StartsWith("HTTP/1.1 408 "));
}

TEST_F(ServerTest, ClosesIdleConnectionsWithoutAWord) {
  Limits limits;
  limits.header_seconds_max = limits.idle_seconds_max = 0.2;
  serve(limits);
  const Client fresh(server_->port()), used(server_->port());
  used.send("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(fresh.read_all(), "");
  EXPECT_THAT(used.read_all(), EndsWith("GET/a|"));
}

TEST_F(ServerTest, RefusesConnectionsPastTheLimit) {
  Limits limits;
  limits.connections_max = 1;
  serve(limits);
  const Client one(server_->port());
  one.send(kHold);
  const auto sink = held(0);
  const Client two(server_->port());
  EXPECT_THAT(two.read_all(), StartsWith("HTTP/1.1 503 "));
}

TEST_F(ServerTest, AnOpenStreamWithoutDataCarriesComments) {
  Limits limits;
  limits.heartbeat_seconds = 0.05;
  serve(limits);
  const Client one(server_->port());
  one.send(kHold);
  const auto sink = held(0);
  sink->begin_stream({});
  EXPECT_THAT(one.read_until(": waiting\n\n"), EndsWith(": waiting\n\n\r\n"));
}

TEST_F(ServerTest, DrainLetsAnswersFinishAndRefusesNewOnes) {
  serve();
  const Client idle(server_->port()), busy(server_->port());
  idle.send("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
  idle.read_until("GET/a|");
  busy.send(kHold);
  const auto sink = held(0);
  sink->begin_stream({});
  server_->stop();
  EXPECT_EQ(idle.read_all(), "") << "idle connections close at once";
  EXPECT_TRUE(server_->draining());
  sink->write(sse_event("still here"));
  sink->finish();
  EXPECT_THAT(busy.read_all(), EndsWith("data: still here\n\n\r\n0\r\n\r\n"));
  thread_.join();
  server_.reset();
}

TEST_F(ServerTest, DrainCancelsWhatTakesTooLong) {
  Limits limits;
  limits.drain_seconds_max = 0.2;
  serve(limits);
  const Client busy(server_->port());
  busy.send(kHold);
  const auto sink = held(0);
  server_->stop();
  thread_.join();
  EXPECT_EQ(seen_.ends, std::vector{EndReason::kShutdown});
  server_.reset();
  EXPECT_FALSE(sink->write("after the server"));
}

TEST(ServerListen, NamesWhatIsWrong) {
  ServerOptions options;
  options.host = "not an address";
  auto bad = Server::listen(options, [](Request, const std::shared_ptr<Sink>&) {});
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().message,
            "--host: 'not an address' is not an IPv4 or IPv6 address and not 'localhost'");
  options.host = "127.0.0.1";
  options.port = 0;
  auto first = Server::listen(options, [](Request, const std::shared_ptr<Sink>&) {});
  ASSERT_TRUE(first.ok());
  options.port = (*first)->port();
  auto second = Server::listen(options, [](Request, const std::shared_ptr<Sink>&) {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().message, "cannot listen on 127.0.0.1:" + std::to_string(options.port) +
                                        ": Address already in use");
}

TEST(ServerSignals, ASignalEndsAnIdleServer) {
  ServerOptions options;
  options.port = 0;
  options.handle_signals = true;
  for (int round = 0; round < 20; ++round) {
    auto server = Server::listen(options, [](Request, const std::shared_ptr<Sink>&) {});
    ASSERT_TRUE(server.ok());
    std::thread serving([&] { (*server)->run(); });
    ::kill(::getpid(), round % 2 == 0 ? SIGTERM : SIGINT);
    serving.join();
    EXPECT_TRUE((*server)->draining());
  }
}

TEST(ServerListen, SpeaksIpv6) {
  ServerOptions options;
  options.host = "::1";
  options.port = 0;
  auto server = Server::listen(options, [](Request, const std::shared_ptr<Sink>&) {});
  ASSERT_TRUE(server.ok()) << server.error().message;
  EXPECT_EQ((*server)->url(), "http://[::1]:" + std::to_string((*server)->port()));
}

}  // namespace
}  // namespace localai::net
