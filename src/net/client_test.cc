// The client against our own server, and against peers that misbehave byte by byte.
#include "net/client.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <mutex>
#include <thread>

#include "net/server.h"

namespace localai::net {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

TEST(Upstream, ReadsItsUrl) {
  const auto whole = parse_upstream("http://[::1]:9090/base/");
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->host, "::1");
  EXPECT_EQ(whole->port, 9090);
  EXPECT_EQ(whole->prefix, "/base");
  EXPECT_EQ(parse_upstream("http://box")->port, 80);
  for (const char* bad : {"", "box:1", "http://", "http://:1", "http://a:0", "http://a:70000",
                          "http://a:x", "http://[::1", "http://[::1]x", "http://a b/"})
    EXPECT_EQ(parse_upstream(bad).error().code, Code::kInvalidArgument) << bad;
  EXPECT_EQ(parse_upstream("https://a").error().code, Code::kUnsupported);
}

// Our server, running until the end of the test.
class RunningServer {
 public:
  explicit RunningServer(Handler handler) {
    ServerOptions options;
    options.port = 0;
    auto server = Server::listen(std::move(options), std::move(handler));
    LAI_CHECK(server.ok());
    server_ = std::move(*server);
    thread_ = std::thread([this] { server_->run(); });
  }
  RunningServer(const RunningServer&) = delete;
  RunningServer& operator=(const RunningServer&) = delete;
  ~RunningServer() {
    server_->stop();
    thread_.join();
  }
  [[nodiscard]] Upstream upstream() const { return {"127.0.0.1", server_->port(), ""}; }

 private:
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

// A peer that takes connections one after the other, reads one request from each and answers with
// fixed bytes; then it closes, or holds the connection open.
class RawPeer {
 public:
  RawPeer(std::string answer, bool hold) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    LAI_CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    LAI_CHECK(::listen(listener_, 8) == 0);
    LAI_CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, answer = std::move(answer), hold] { serve(answer, hold); });
  }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;
  ~RawPeer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  [[nodiscard]] Upstream upstream() const { return {"127.0.0.1", port_, ""}; }

 private:
  void serve(const std::string& answer, bool hold) const {
    std::vector<int> held;
    while (true) {
      const int peer = ::accept(listener_, nullptr, nullptr);
      if (peer < 0) break;
      std::string got;
      std::array<char, 4096> bytes{};
      while (got.find("\r\n\r\n") == std::string::npos) {
        const ssize_t n = ::recv(peer, bytes.data(), bytes.size(), 0);
        if (n <= 0) break;
        got.append(bytes.data(), static_cast<size_t>(n));
      }
      (void)::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL);
      if (hold)
        held.push_back(peer);
      else
        ::close(peer);
    }
    for (const int peer : held) ::close(peer);
  }

  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
};

Handler echo() {
  return [](const Request& request, const std::shared_ptr<Sink>& sink) {
    Response response;
    response.body = request.method + " " + request.path + " " + request.body;
    sink->respond(std::move(response));
  };
}

ClientTimeouts quick() { return {milliseconds(2000), milliseconds(300), milliseconds(300)}; }

TEST(Client, KeepsConnectionsForTheNextRequest) {
  const RunningServer server(echo());
  const auto client = Client::create(server.upstream());
  for (int i = 0; i < 3; ++i) {
    const auto answer = fetch(*client, {"POST", "/a", "application/json", "body"}, {});
    ASSERT_TRUE(answer.ok()) << answer.error().message;
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, "POST /a body");
  }
}

TEST(Client, AStaleConnectionIsReplacedWithoutAWord) {
  // The peer closes after each answer although it promised to keep the connection.
  const RawPeer peer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false);
  const auto client = Client::create(peer.upstream());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(fetch(*client, {}, {})->body, "ok");
}

TEST(Client, HandsOnPiecesAsTheyCome) {
  std::promise<std::shared_ptr<Sink>> opened;
  const RunningServer server([&](const Request&, std::shared_ptr<Sink> sink) {
    sink->begin_stream({});
    sink->write("one");
    opened.set_value(std::move(sink));
  });
  const auto client = Client::create(server.upstream());
  std::promise<void> first;
  std::promise<Status> end;
  std::string text;
  const auto call = client->send({}, {},
                                 {.on_head = [](int status) { EXPECT_EQ(status, 200); },
                                  .on_body =
                                      [&](std::string_view bytes) {
                                        if (text.empty()) first.set_value();
                                        text += bytes;
                                      },
                                  .on_end = [&](Status s, bool) { end.set_value(std::move(s)); }});
  const auto sink = opened.get_future().get();
  first.get_future().wait();  // before the second piece exists
  sink->write("two");
  sink->finish();
  EXPECT_TRUE(end.get_future().get().ok());
  EXPECT_EQ(text, "onetwo");
}

TEST(Client, DroppingACallEndsItAtTheServer) {
  std::promise<EndReason> ended;
  std::promise<void> arrived;
  std::shared_ptr<Sink> held;
  const RunningServer server([&](const Request&, std::shared_ptr<Sink> sink) {
    sink->on_end([&](EndReason reason) { ended.set_value(reason); });
    held = std::move(sink);
    arrived.set_value();
  });
  const auto client = Client::create(server.upstream());
  std::promise<Status> end;
  auto call = client->send({}, {},
                           {.on_head = [](int) {},
                            .on_body = [](std::string_view) {},
                            .on_end = [&](Status s, bool) { end.set_value(std::move(s)); }});
  arrived.get_future().wait();
  call.reset();
  EXPECT_EQ(end.get_future().get().error().code, Code::kCancelled);
  EXPECT_EQ(ended.get_future().get(), EndReason::kDisconnected);
}

TEST(Client, NamesWhatWentWrong) {
  struct Case {
    const char* answer;
    bool hold;
    Code code;
    const char* message;
  };
  for (const Case& c : {Case{"", true, Code::kUnavailable, "read: timed out"},
                        Case{"", false, Code::kUnavailable, "read: "},
                        Case{"nonsense\r\n\r\n", false, Code::kCorrupt, "not HTTP"},
                        Case{"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", false,
                             Code::kUnavailable, "partial message"},
                        Case{"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", true,
                             Code::kUnavailable, "timed out"}}) {
    const RawPeer peer(c.answer, c.hold);
    const auto client = Client::create(peer.upstream());
    const auto answer = fetch(*client, {}, quick());
    ASSERT_FALSE(answer.ok()) << c.answer;
    EXPECT_EQ(answer.error().code, c.code) << c.answer << ": " << answer.error().message;
    EXPECT_THAT(answer.error().message, HasSubstr(c.message)) << c.answer;
  }
}

TEST(Client, ARefusedConnectionSaysThatNothingWasSent) {
  Upstream upstream;
  {
    const RawPeer peer("", false);
    upstream = peer.upstream();
  }
  const auto client = Client::create(upstream);
  std::promise<std::pair<Code, bool>> end;
  const auto call = client->send({}, {},
                                 {.on_head = [](int) {},
                                  .on_body = [](std::string_view) {},
                                  .on_end =
                                      [&](const Status& s, bool sent) {
                                        end.set_value({s.error().code, sent});
                                      }});
  EXPECT_EQ(end.get_future().get(), std::make_pair(Code::kUnavailable, false));
}

TEST(Client, ALongAnswerIsRefused) {
  const RunningServer server(echo());
  const auto client = Client::create(server.upstream());
  EXPECT_EQ(
      fetch(*client, {"POST", "/", "text/plain", std::string(5000, 'x')}, {}, 4096).error().code,
      Code::kCorrupt);
}

TEST(Client, GoesWhileACallRuns) {
  const RawPeer peer("", true);
  auto client = Client::create(peer.upstream());
  std::promise<Status> end;
  auto call = client->send({}, {},
                           {.on_head = [](int) {},
                            .on_body = [](std::string_view) {},
                            .on_end = [&](Status s, bool) { end.set_value(std::move(s)); }});
  client.reset();
  EXPECT_FALSE(end.get_future().get().ok());
}

TEST(Client, AFetchThatNobodyWantsAnyMoreEnds) {
  const RawPeer peer("", true);
  const auto client = Client::create(peer.upstream());
  int asked = 0;
  const auto answer = fetch(*client, {}, {}, 1024, [&] { return ++asked < 3; });
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, Code::kCancelled);
  EXPECT_EQ(asked, 3);
}

}  // namespace
}  // namespace localai::net
